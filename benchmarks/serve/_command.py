"""`python benchmarks/run.py serve`: prepares, takes the rounds, writes and prints the result."""

from __future__ import annotations

import datetime
import importlib.metadata
import platform
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path  # noqa: TC003  (Typer reads annotations while the program runs)
from typing import TYPE_CHECKING, Annotated, NoReturn

import msgspec
import typer
from rich.console import Console

from benchmarks.serve._environments import HERE, ROOT, peer_versions, program
from benchmarks.serve._failure import BenchmarkError
from benchmarks.serve._machine import machine, neighbours
from benchmarks.serve._material import prepare
from benchmarks.serve._plot import svg
from benchmarks.serve._report import Facts, Result, bounds_table, markdown, result, table
from benchmarks.serve._rounds import Plan, choose, pin, rounds
from benchmarks.serve._servers import SERVERS

if TYPE_CHECKING:
    from collections.abc import Iterator

RESULTS = HERE / "results"
LEAST_COLUMNS = 130
EVERY_SERVER = ",".join(SERVERS)


def main(
    *,
    rounds: Annotated[int, typer.Option(min=1, help="How often each server has a turn.")] = 5,
    seconds: Annotated[float, typer.Option(min=1, help="Length of a window; two a turn.")] = 5.0,
    servers: Annotated[str, typer.Option(help="Names with commas between.")] = EVERY_SERVER,
    results: Annotated[Path, typer.Option(help="Folder for the JSON, SVG and Markdown.")] = RESULTS,
    json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Compares servers on one core: Shoal, its peers, an echo, and the limit."""
    console = Console(stderr=True)
    try:
        with _terminable():
            seen = _run(servers.split(","), rounds, seconds, console)
    except BenchmarkError as error:
        console.print(f"benchmark given up: {error}", style="red", markup=False, highlight=False)
        raise typer.Exit(1) from error
    _write(seen, results, console)
    _print(seen, as_json=json)


@contextmanager
def _terminable() -> Iterator[None]:
    """While it lasts, SIGTERM ends the run through the `finally` blocks."""

    def leave(number: int, _: object) -> NoReturn:
        # Not KeyboardInterrupt: scikit-learn takes that for the wish to end a training early.
        raise SystemExit(128 + number)

    before = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _run(names: list[str], number: int, seconds: float, console: Console) -> Result:
    if unknown := set(names) - set(SERVERS):
        raise BenchmarkError(f"unknown servers {sorted(unknown)}; known are {EVERY_SERVER}")
    program("wrk", "apt-get install wrk")
    program("taskset", "apt-get install util-linux")
    here = machine()
    console.print("preparing the model, the environments of the peers and echo")
    material = prepare()
    settings = [SERVERS[name](material) for name in names]
    before = neighbours()
    plan = Plan(material, pin(), number, seconds, lambda words: console.print(words, markup=False))
    chosen, trials = [], []
    for choices in settings:
        best, tried = choose(plan, choices)
        chosen += best
        trials += tried
    turns = list(rounds(plan, chosen))
    date = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    facts = Facts(date, _commit(), here, before, _versions(names), number, seconds)
    return result(facts, turns, trials)


def _commit() -> str:
    """The short name of the commit, with `-changed` when tracked files differ from it."""
    describe = ["git", "describe", "--always", "--abbrev=10", "--exclude=*", "--dirty=-changed"]
    done = subprocess.run(describe, cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "none"


def _versions(names: list[str]) -> dict[str, str]:
    found = {"python": platform.python_version()}
    for name in ("shoal", "onnxruntime"):
        found[name] = importlib.metadata.version(name)
    wrk = subprocess.run(["wrk", "--version"], capture_output=True, text=True, check=False)
    found["wrk"] = wrk.stdout.split()[1]
    for peer in {"mosec", "pytriton"} & set(names):
        found |= {f"{peer}: {name}": version for name, version in peer_versions(peer).items()}
    return dict(sorted(found.items()))


def _write(seen: Result, folder: Path, console: Console) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    # With the time, so that no run overwrites another of the same day and commit.
    stem = f"{seen.facts.date.replace(':', '')}-{seen.facts.commit}"
    text = msgspec.json.format(msgspec.json.encode(seen), indent=1)
    (folder / f"{stem}.json").write_bytes(text + b"\n")
    (folder / f"{stem}.md").write_text(markdown(seen))
    (folder / f"{stem}.svg").write_text(svg(seen))
    console.print(f"written: {folder / stem}.json, .md, .svg", soft_wrap=True)


def _print(seen: Result, *, as_json: bool) -> None:
    if as_json:
        sys.stdout.write(msgspec.json.encode(seen).decode() + "\n")
        return
    console = Console()
    # A log file has no width of its own.
    console.width = max(console.width, LEAST_COLUMNS)
    console.print(table(seen))
    console.print(bounds_table(seen))
    for sentence in seen.disturbances:
        console.print(f"disturbed: {sentence}", style="yellow")
