"""The command `just bench ledger`: runs, kills, starts again, writes and prints."""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.console import Console
from rich.table import Table

from tools.machine import ROOT, Machine, commit, describe_machine, is_changed, now

FOLDER = Path(__file__).parent
SIZE_FLOOR_MB, SIZE_GOAL_MB = 10, 3
RECOVERY_FLOOR_S, RECOVERY_GOAL_S = 2.0, 0.5
# How long a run goes on until it is killed, after its first commit.
KILLED_AFTER_SECONDS = 1.0


class Recovery(msgspec.Struct, frozen=True):
    """From the call to the first commit, and from the start of the process."""

    call_s: float
    process_s: float


class Result(msgspec.Struct, frozen=True):
    """One run: where it was made, and what came out."""

    date: str
    commit: str
    is_changed: bool
    machine: Machine
    epochs: int
    seconds: float
    size_bytes: int
    recoveries: list[Recovery]


def main(
    epochs: Annotated[int, typer.Option(min=1000, help="How many epochs.")] = 100_000,
    rounds: Annotated[int, typer.Option(min=1, help="How often it is killed.")] = 5,
    results: Annotated[Path, typer.Option(help="Where the result goes.")] = FOLDER / "results",
) -> None:
    """A ledger after many epochs, and a pipeline after SIGKILL."""
    with tempfile.TemporaryDirectory(prefix="shoal-benchmark-") as directory:
        place = Path(directory)
        done = subprocess.run(_run(place, epochs), cwd=ROOT, stdout=subprocess.PIPE, check=True)
        size_bytes = sum(file.stat().st_size for file in (place / "ledger").glob("ledger.db*"))
        recoveries = [_recovery(place, epochs * 10 + number) for number in range(rounds)]
    seconds = float(done.stdout.split()[-1])
    where = (now(), commit(), is_changed(), describe_machine())
    seen = Result(*where, epochs, seconds, size_bytes, recoveries)
    results.mkdir(parents=True, exist_ok=True)
    path = results / f"{seen.date.replace(':', '')}-{seen.commit[:10]}.json"
    path.write_bytes(msgspec.json.format(msgspec.json.encode(seen), indent=1) + b"\n")
    report(seen, Console(soft_wrap=True))
    typer.echo(f"written: {path}")


def _run(place: Path, epochs: int) -> list[str]:
    return [sys.executable, "-m", "benchmarks.ledger._pipeline", str(place), str(epochs)]


def _recovery(place: Path, epochs: int) -> Recovery:
    """Kills a run in the middle, and times the start of the next up to its first commit."""
    for is_killed in (True, False):
        began = time.perf_counter()
        with subprocess.Popen(_run(place, epochs), cwd=ROOT, stdout=subprocess.PIPE) as process:
            first = float((process.stdout or sys.stdin.buffer).readline())
            process_s = time.perf_counter() - began
            if is_killed:
                time.sleep(KILLED_AFTER_SECONDS)
            process.kill()
    return Recovery(first, process_s)


def report(seen: Result, console: Console) -> None:
    """The figures beside what was asked."""
    table = Table(title=f"{seen.epochs:,} epochs in {seen.seconds:.0f} s")
    for heading in ("", "median", "least", "greatest"):
        table.add_column(heading)
    size_mb = seen.size_bytes / 1e6
    _row(table, f"ledger, MB (floor {SIZE_FLOOR_MB}, goal {SIZE_GOAL_MB})", [size_mb])
    asked = f"floor {RECOVERY_FLOOR_S:g}, goal {RECOVERY_GOAL_S:g}"
    _row(table, f"call to first commit, s ({asked})", [each.call_s for each in seen.recoveries])
    _row(table, "start to first commit, s", [each.process_s for each in seen.recoveries])
    console.print(table)


def _row(table: Table, name: str, values: list[float]) -> None:
    shown = [statistics.median(values), min(values), max(values)]
    table.add_row(name, *(f"{value:.2f}" for value in shown))
