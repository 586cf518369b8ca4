"""The command `just bench score`: prepares, takes the rounds, writes and prints.

`score` is the call in Python after the imports, which are not counted for the loop by hand either;
`command` is the whole process, from its start to its end. A machine's speed changes within a round,
so whatever `score` is held against is taken between two of its turns, and divided by their mean.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Annotated, Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import typer
from rich.console import Console
from rich.table import Table

from benchmarks.score._parts import HAND_ROWS, PARTS
from benchmarks.serve._environments import peer_python
from benchmarks.serve._figures import spread
from benchmarks.serve._material import Material, prepare
from benchmarks.serve._plot import Bar, bars
from tools.machine import ROOT, Machine, commit, describe_machine, is_changed, now

FOLDER = Path(__file__).parent
ROW_GROUP = 1 << 17
PEERS = ("spark", "ray")
HANDS = {f"hand-{rows}": "a loop by hand" for rows in HAND_ROWS}
FLOOR, GOAL = 0.80, 0.92
TIMES = {"a loop by hand": (1.1, 1.25), "spark": (2.5, 4.0), "ray": (10.0, 18.0)}
OWN = "score"
AGAIN = f"{OWN} behind "
MEMORY_FLOOR_MB, MEMORY_GOAL_MB = 500, 250


class Taken(msgspec.Struct, frozen=True):
    """One part of a round."""

    wall_s: float
    cpu_s: float
    rows: int
    peak_bytes: int


class Result(msgspec.Struct, frozen=True):
    """One run: where it was made, and what came out."""

    date: str
    commit: str
    is_changed: bool
    machine: Machine
    rows: int
    cores: int
    rounds: list[dict[str, Taken]]


def main(
    rounds: Annotated[int, typer.Option(min=1, help="How many rounds.")] = 5,
    rows: Annotated[int, typer.Option(min=1000, help="How many rows.")] = 2_000_000,
    peers: Annotated[  # noqa: FBT002 - --no-peers
        bool, typer.Option(help="Whether Spark and Ray Data run as well.")
    ] = True,
    results: Annotated[Path, typer.Option(help="Where the result goes.")] = FOLDER / "results",
) -> None:
    """Scoring two million rows, beside the limit of the machine and a loop by hand."""
    with tempfile.TemporaryDirectory(prefix="shoal-benchmark-") as directory:
        place = Path(directory)
        _write_rows(place / "rows.parquet", rows)
        chosen = tuple(PEERS) if peers else ()
        taken = [_round(place, number, chosen) for number in range(rounds)]
    cores = len(os.sched_getaffinity(0))
    seen = Result(now(), commit(), is_changed(), describe_machine(), rows, cores, taken)
    results.mkdir(parents=True, exist_ok=True)
    path = results / f"{seen.date.replace(':', '')}-{seen.commit[:10]}.json"
    path.write_bytes(msgspec.json.format(msgspec.json.encode(seen), indent=1) + b"\n")
    path.with_suffix(".svg").write_text(picture(seen), "utf-8")
    report(seen, Console(soft_wrap=True))
    typer.echo(f"written: {path}")


def _write_rows(path: Path, rows: int) -> None:
    random = np.random.default_rng(0)
    schema = pa.schema({"id": pa.int64(), "X": pa.list_(pa.float32(), 64)})
    with pq.ParquetWriter(path, schema) as writer:
        for start in range(0, rows, ROW_GROUP):
            count = min(ROW_GROUP, rows - start)
            pixels = random.integers(0, 17, count * 64).astype(np.float32)
            column = pa.FixedSizeListArray.from_arrays(pa.array(pixels), 64)
            ids = np.arange(start, start + count)
            writer.write_table(pa.table({"id": ids, "X": column}, schema=schema))


def _round(place: Path, number: int, peers: tuple[str, ...]) -> dict[str, Taken]:
    material = prepare()["digits"]
    taken = {}
    for name in [*PARTS, *peers, "command"]:
        taken[name] = _take(name, material, place, number)
        if name in HANDS or name in PEERS:
            taken[AGAIN + name] = _take(OWN, material, place, number)
    return taken


def _take(name: str, material: Material, place: Path, number: int) -> Taken:
    rows, output = place / "rows.parquet", place / f"{name}-{number}"
    if name == "command":
        seen = _command(material.package, rows, output)
    else:
        model = material.package if name == OWN else material.model
        done = subprocess.run(
            [*_program(name), str(rows), str(model), str(output)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE if name in PEERS else None,
            check=True,
        )
        # Ray may tell of itself on the same stream, also after the last line of the program.
        *_, said = (line for line in done.stdout.splitlines() if line.startswith(b'{"'))
        seen = msgspec.json.decode(said, type=Taken)
    shutil.rmtree(output, ignore_errors=True)
    typer.echo(f"round {number}: {name} {seen.wall_s:.2f} s, processor {seen.cpu_s:.2f} s")
    return seen


def _program(name: str) -> list[str]:
    if name in PEERS:
        return [peer_python(name, FOLDER), str(FOLDER / "peers" / name / "score.py")]
    return [sys.executable, str(FOLDER / "_parts.py"), name]


def _command(package: Path, rows: Path, output: Path) -> Taken:
    """The whole command, from the start of its process to its end."""
    command = ["shoal", "score", str(package), str(rows), str(output), "--json"]
    launch = [sys.executable, "-S", str(FOLDER / "_launch.py"), *command]
    done = subprocess.run(launch, stdout=subprocess.PIPE, cwd=ROOT, check=True)
    report, used = done.stdout.splitlines()[-2:]
    wall_s, cpu_s, peak_bytes = used.split()
    return Taken(float(wall_s), float(cpu_s), json.loads(report)["rows"], int(peak_bytes))


def times(taken: dict[str, Taken], name: str) -> float:
    """How many times as long something takes as the mean of both turns of `score` beside it."""
    turns = list(taken)
    at = turns.index(name)
    beside = [turn for turn in (turns[at - 1], turns[at + 1]) if turn.startswith(OWN)]
    return taken[name].wall_s / statistics.mean(taken[turn].wall_s for turn in beside)


def own_s(taken: dict[str, Taken]) -> float:
    """The median of all turns of `score`."""
    return statistics.median(
        turn.wall_s for name, turn in taken.items() if name == OWN or name.startswith(AGAIN)
    )


def limit_s(taken: dict[str, Taken], cores: int) -> float:
    """What nobody can be quicker than who reads, answers and writes."""
    return sum(taken[part].cpu_s for part in ("read", "kernel", "write")) / cores


NAMES = {
    "score": "Shoal",
    "command": "Shoal, from the start of the process to its end",
    **{f"hand-{rows}": f"a loop by hand, calls of {rows} rows" for rows in HAND_ROWS},
    "spark": "Spark 4.2.0, local[2], warm",
    "ray": "Ray Data 2.60.0, 2 actors, warm",
}


def picture(seen: Result) -> str:
    """Rows a second, as bars."""
    shown = [
        Bar(said, spread([seen.rows / _wall_s(each, name) for each in seen.rounds]), name == OWN)
        for name, said in NAMES.items()
        if name in seen.rounds[0]
    ]
    return bars(f"rows a second, Parquet to Parquet, {seen.cores} cores", shown)


def _wall_s(taken: dict[str, Taken], name: str) -> float:
    return own_s(taken) if name == OWN else taken[name].wall_s


def report(seen: Result, console: Console) -> None:
    """The figures beside what was asked."""
    table = Table(title=f"{seen.rows:,} rows, Parquet to Parquet, {seen.cores} cores")
    for heading in ("", "median", "least", "greatest"):
        table.add_column(heading)
    ways = [name for name in seen.rounds[0] if not name.startswith(AGAIN)]
    for name in ways:
        _row(table, f"{name}, s", [_wall_s(each, name) for each in seen.rounds])
    _row(table, "limit, s", [limit_s(each, seen.cores) for each in seen.rounds])
    for name in (OWN, "command"):
        shares = [limit_s(each, seen.cores) / _wall_s(each, name) for each in seen.rounds]
        _row(table, f"{name}: share of the limit (floor {FLOOR}, goal {GOAL})", shares)
    for name, (floor, goal) in TIMES.items():
        if others := [way for way in ways if way == name or name in HANDS.get(way, "")]:
            quickest = [min(times(each, way) for way in others) for each in seen.rounds]
            _row(table, f"times {name} (floor {floor}, goal {goal})", quickest)
    peaks = [each["command"].peak_bytes / 1e6 for each in seen.rounds]
    _row(table, f"peak memory, MB (floor {MEMORY_FLOOR_MB}, goal {MEMORY_GOAL_MB})", peaks)
    console.print(table)


def _row(table: Table, name: str, values: list[float]) -> None:
    shown: list[Any] = [statistics.median(values), min(values), max(values)]
    table.add_row(name, *(f"{value:.2f}" for value in shown))
