"""The command `just bench tasks`: prepares, takes the rounds, writes and prints."""

from __future__ import annotations

import importlib.metadata
import platform
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer
from rich.console import Console

from benchmarks.serve._environments import echo_program, program
from benchmarks.serve._failure import BenchmarkError
from benchmarks.serve._machine import machine, neighbours
from benchmarks.serve._material import DIGITS, prepare
from benchmarks.serve._protocols import PLAIN
from benchmarks.serve._rounds import pin
from benchmarks.tasks import _mixed
from benchmarks.tasks._figures import Facts, Kernel, Measured, Result, Turn
from benchmarks.tasks._lines import bounds
from benchmarks.tasks._protocols import PROTOCOLS
from benchmarks.tasks._report import disturbances, grids, markdown, picture
from benchmarks.tasks._sizes import sizes
from benchmarks.tasks._turns import stage
from benchmarks.tasks._ways import PARTS, WAYS, Way
from tools.machine import commit, is_changed, now

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.serve._material import Material
    from benchmarks.tasks._turns import Stage

HERE = Path(__file__).parent
WORK = HERE / "work"
QUICK_ROUNDS, QUICK_S = 1, 0.5
LEAST_COLUMNS = 170
LIBRARIES = ("shoal", "onnxruntime", "tritonclient", "aiohttp", "grpcio", "numpy", "pyarrow")


def main(
    *,
    rounds: Annotated[int, typer.Option(min=1, help="How often all ways take turns.")] = 5,
    seconds: Annotated[float, typer.Option(min=0.1, help="Length of a turn.")] = 3.0,
    parts: Annotated[str, typer.Option(help="Names with commas between; all if empty.")] = "",
    quick: Annotated[bool, typer.Option("--quick", help="One short round, to try it.")] = False,
    results: Annotated[Path, typer.Option(help="Where the result goes.")] = HERE / "results",
) -> None:
    """What envelopes, clients and their micro-batches save, beside requests and tritonclient."""
    console = Console(stderr=True)
    if quick:
        rounds, seconds = QUICK_ROUNDS, QUICK_S
    try:
        seen = _run(_chosen(parts), rounds, seconds, console)
    except BenchmarkError as error:
        console.print(f"benchmark given up: {error}", style="red", markup=False, highlight=False)
        raise typer.Exit(1) from error
    _write(seen, results, console)
    _print(seen)


def _chosen(parts: str) -> list[Way]:
    wanted = parts.split(",") if parts else list(PARTS)
    if unknown := set(wanted) - set(PARTS):
        raise BenchmarkError(f"unknown parts {sorted(unknown)}; known are {', '.join(PARTS)}")
    return [way for way in WAYS if way.part in wanted]


def _run(ways: list[Way], rounds: int, seconds: float, console: Console) -> Result:
    program("wrk", "apt-get install wrk")
    program("taskset", "apt-get install util-linux")
    console.print("preparing the models and echo")
    echo_program()
    material = _material()
    here, date, versions = machine(), now(), _versions()
    before, cores = neighbours(), pin()
    with stage(material, [material.package, WORK / "mixed"], cores) as ready:
        wire = sizes(ready.place) if any(way.part == "tables" for way in ways) else {}
        turns: list[Turn] = []
        kernels: list[Kernel] = []
        for number in range(1, rounds + 1):
            for turn, kernel in _round(ready, ways, number, seconds):
                words = f"round {number}: {turn.way}: {turn.tasks_per_s:,.0f} tasks/s"
                console.print(words, markup=False, highlight=False)
                turns.append(turn)
                kernels += [kernel] if kernel else []
    facts = Facts(date, commit(), is_changed(), here, before, versions, rounds, seconds)
    measured = Measured(turns, kernels, wire)
    return Result(facts, measured, bounds(measured))


def _material() -> Material:
    import pyarrow.parquet as pq

    material = prepare(work=WORK, protocols=(PLAIN, *PROTOCOLS.values()))[DIGITS]
    _mixed.seal(WORK / "mixed")
    pq.write_table(_mixed.table(), material.directory / "mixed.parquet")
    return material


def _round(
    ready: Stage, ways: list[Way], number: int, seconds: float
) -> Iterator[tuple[Turn, Kernel | None]]:
    """Each way in turn; who begins changes from round to round, and every other one goes back.

    What the server costs is held against the model alone at the same moment: the machine is not
    always as quick.

    A process is slower in its first turn after a while: that is not to be the same way's each time.
    """
    first = (number - 1) * 7 % len(ways)
    for way in (*ways[first:], *ways[:first])[:: 1 if number % 2 else -1]:
        turn = ready.turn(way, number, seconds)
        yield turn, ready.kernel(way, number) if way.part == "server" else None


def _versions() -> dict[str, str]:
    said = subprocess.run(["node", "--version"], capture_output=True, text=True, check=False)
    found = {"python": platform.python_version(), "node": said.stdout.strip().lstrip("v")}
    return {**found, **{name: importlib.metadata.version(name) for name in LIBRARIES}}


def _write(seen: Result, folder: Path, console: Console) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    stem = f"{seen.facts.date.replace(':', '')}-{seen.facts.commit[:10]}"
    text = msgspec.json.format(msgspec.json.encode(seen), indent=1)
    (folder / f"{stem}.json").write_bytes(text + b"\n")
    (folder / f"{stem}.md").write_text(markdown(seen), encoding="utf-8")
    drawn = picture(seen)
    if drawn:
        (folder / f"{stem}.svg").write_text(drawn, encoding="utf-8")
    console.print(f"written: {folder / stem}.json, .md{', .svg' if drawn else ''}", soft_wrap=True)


def _print(seen: Result) -> None:
    console = Console()
    console.width = max(console.width, LEAST_COLUMNS)  # a log file has no width of its own
    for grid in grids(seen):
        console.print(grid.rich())
    for sentence in disturbances(seen):
        console.print(f"disturbed: {sentence}", style="yellow")
