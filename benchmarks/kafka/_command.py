"""The command `just bench kafka`: starts a broker, takes the rounds, writes and prints."""

from __future__ import annotations

import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Annotated, Any

import msgspec
import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from benchmarks.serve._figures import spread
from benchmarks.serve._material import prepare
from benchmarks.serve._plot import Bar, bars
from tools.machine import ROOT, Machine, commit, describe_machine, is_changed, now

FOLDER = Path(__file__).parent
FLOOR, GOAL = 2.0, 1.3
PERCENTILES = (50, 90, 99, 99.9)
# What comes in the first seconds finds a cold broker, and is not counted.
WARM_SECONDS = 5.0
PARTITIONS = 2


class Taken(msgspec.Struct, frozen=True):
    """One system in one round: latencies in milliseconds."""

    sent: int
    answered: int
    doubled: int
    percentiles_ms: dict[str, float]
    sender_late_ms: float


class Result(msgspec.Struct, frozen=True):
    """One run: where it was made, and what came out."""

    date: str
    commit: str
    is_changed: bool
    machine: Machine
    rate: int
    gathers_seconds: float
    rounds: list[dict[str, Taken]]


def main(
    rounds: Annotated[int, typer.Option(min=1, help="How many rounds.")] = 5,
    rate: Annotated[int, typer.Option(min=1, help="Records a second.")] = 10_000,
    seconds: Annotated[float, typer.Option(min=6, help="How long a system is measured.")] = 25.0,
    gathers: Annotated[float, typer.Option(help="How long an epoch gathers, in seconds.")] = 0.005,
    results: Annotated[Path, typer.Option(help="Where the result goes.")] = FOLDER / "results",
) -> None:
    """Kafka to model to Kafka, beside a loop by hand."""
    sys.path.insert(0, str(ROOT / "python"))  # the broker of the tests
    from tests.services.kafka import running

    with (
        tempfile.TemporaryDirectory(prefix="shoal-benchmark-") as directory,
        running(lambda name: shutil.which(name) or name, Path(directory)) as broker,
    ):
        _taken(broker, "loop", rate, seconds, gathers)  # a cold broker answers late
        taken = [_round(broker, rate, seconds, gathers) for _ in range(rounds)]
    seen = Result(now(), commit(), is_changed(), describe_machine(), rate, gathers, taken)
    results.mkdir(parents=True, exist_ok=True)
    path = results / f"{seen.date.replace(':', '')}-{seen.commit[:10]}.json"
    path.write_bytes(msgspec.json.format(msgspec.json.encode(seen), indent=1) + b"\n")
    path.with_suffix(".svg").write_text(picture(seen), "utf-8")
    report(seen, Console(soft_wrap=True))
    typer.echo(f"written: {path}")


def _round(broker: Any, rate: int, seconds: float, gathers: float) -> dict[str, Taken]:
    taken = {}
    for name in ("loop", "shoal", "shoal-learned"):
        taken[name] = _taken(broker, name, rate, seconds, gathers)
        shown = ", ".join(f"p{p} {ms:.1f} ms" for p, ms in taken[name].percentiles_ms.items())
        typer.echo(f"{name}: {shown}, {taken[name].answered:,} of {taken[name].sent:,} answered")
    return taken


def _taken(broker: Any, name: str, rate: int, seconds: float, gathers: float) -> Taken:
    before, after = broker.topic(PARTITIONS), broker.topic(PARTITIONS)
    count = int(rate * seconds)
    with tempfile.TemporaryDirectory(prefix="shoal-benchmark-") as directory:
        file = Path(directory) / "seen.npz"
        command = _command(name, broker.bootstrap, (before, after), (Path(directory), gathers))
        system = _started(command)
        meter = _started(_load("read", broker.bootstrap, after, str(count), str(file)))
        sender = subprocess.run(
            _load("send", broker.bootstrap, before, str(rate), str(seconds)),
            stdout=subprocess.PIPE,
            cwd=ROOT,
            check=True,
        )
        meter.wait()
        system.communicate(b"")
        with np.load(file) as seen:
            return _counted(count, seen["due_ns"], seen["latency_ns"], float(sender.stdout))


def _counted(count: int, due_ns: Any, latency_ns: Any, late_ms: float) -> Taken:
    warm = latency_ns[due_ns >= due_ns.min() + int(WARM_SECONDS * 1e9)] / 1e6
    found = np.percentile(warm, PERCENTILES)
    return Taken(
        sent=count,
        answered=len(np.unique(due_ns)),
        doubled=len(due_ns) - len(np.unique(due_ns)),
        percentiles_ms={str(p): float(ms) for p, ms in zip(PERCENTILES, found, strict=True)},
        sender_late_ms=late_ms,
    )


def _command(
    name: str, servers: str, topics: tuple[str, str], more: tuple[Path, float]
) -> list[str]:
    material = prepare()["digits"]
    directory, gathers = more
    if name == "loop":
        arguments = [str(material.model), str(gathers)]
        return [sys.executable, "-m", "benchmarks.kafka._loop", servers, *topics, *arguments]
    chosen = gathers if name == "shoal" else 0.0
    arguments = [str(material.package), str(directory / "ledger"), str(chosen)]
    return [sys.executable, "-m", "benchmarks.kafka._shoal", servers, *topics, *arguments]


def _load(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "benchmarks.kafka._load", *arguments]


def _started(command: list[str]) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT)
    if process.stdout is None or not process.stdout.readline():
        raise RuntimeError(f"{command[2]} ended before it was ready")
    return process


NAMES = {
    "loop": "a loop by hand",
    "shoal": "Shoal, epochs as long as the loop's",
    "shoal-learned": "Shoal, as it learns",
}


def picture(seen: Result) -> str:
    """Latencies, as bars."""
    shown = [
        Bar(
            f"{said}, p{percentile}",
            spread([each[name].percentiles_ms[percentile] for each in seen.rounds]),
            name != "loop",
        )
        for percentile in ("50", "99")
        for name, said in NAMES.items()
    ]
    return bars(f"milliseconds from due to answered, {seen.rate:,} records a second", shown)


def report(seen: Result, console: Console) -> None:
    """The figures beside what was asked."""
    table = Table(
        title=f"{seen.rate:,} records a second, epochs of {seen.gathers_seconds * 1e3:g} ms"
    )
    for heading in ("", "median", "least", "greatest"):
        table.add_column(heading)
    for name in seen.rounds[0]:
        for percentile in PERCENTILES:
            values = [each[name].percentiles_ms[str(percentile)] for each in seen.rounds]
            _row(table, f"{name}, p{percentile}, ms", values)
    for name in ("shoal", "shoal-learned"):
        ratios = [
            each[name].percentiles_ms["99"] / each["loop"].percentiles_ms["99"]
            for each in seen.rounds
        ]
        _row(table, f"{name}, p99 of the loop's (floor {FLOOR}, goal {GOAL})", ratios)
    console.print(table)


def _row(table: Table, name: str, values: list[float]) -> None:
    shown = [statistics.median(values), min(values), max(values)]
    table.add_row(name, *(f"{value:.2f}" for value in shown))
