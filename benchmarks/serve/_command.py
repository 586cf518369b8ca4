"""`python benchmarks/run.py serve`: prepares, runs a suite, writes and prints the result."""

from __future__ import annotations

import datetime
import importlib.metadata
import platform
import signal
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path  # noqa: TC003  (Typer reads annotations while the program runs)
from typing import TYPE_CHECKING, Annotated, NoReturn

import msgspec
import typer
from rich.console import Console

from benchmarks.serve._environments import (
    HERE,
    OHA_VERSION,
    ROOT,
    oha_program,
    peer_versions,
    program,
)
from benchmarks.serve._failure import BenchmarkError
from benchmarks.serve._machine import Machine, Neighbours, machine, neighbours
from benchmarks.serve._material import prepare
from benchmarks.serve._pictures import pictures
from benchmarks.serve._report import Facts, Result, result
from benchmarks.serve._rounds import Plan, pin
from benchmarks.serve._servers import PEERS, SERVERS
from benchmarks.serve._suites import SUITES, Lengths, Suite, run
from benchmarks.serve._tables import grids, markdown

if TYPE_CHECKING:
    from collections.abc import Iterator

RESULTS = HERE / "results"
LEAST_COLUMNS = 190
SUITE_WORDS = f"What to measure: {', '.join(SUITES)}."


def main(  # noqa: PLR0913  (one parameter per option)
    *,
    suite: Annotated[str, typer.Option(help=SUITE_WORDS)] = "quick",
    rounds: Annotated[int, typer.Option(min=0, help="Rounds of each part; 0: the suite's.")] = 0,
    seconds: Annotated[float, typer.Option(min=1, help="Length of a window.")] = 5.0,
    servers: Annotated[str, typer.Option(help="Names with commas between; all if empty.")] = "",
    idle_seconds: Annotated[float, typer.Option(min=1, help="How long idling is watched.")] = 20.0,
    drift_requests: Annotated[
        int, typer.Option(min=1, help="Sent to see memory drift.")
    ] = 2_000_000,
    results: Annotated[Path, typer.Option(help="Folder for JSON, Markdown, SVG.")] = RESULTS,
    json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Compares servers on one core: Shoal, its peers, an echo, and the limit."""
    console = Console(stderr=True)
    try:
        with _terminable():
            wanted = _suite(suite, rounds, seconds, servers)
            seen = _run(suite, wanted, Lengths(idle_seconds, drift_requests), console)
    except BenchmarkError as error:
        console.print(f"benchmark given up: {error}", style="red", markup=False, highlight=False)
        raise typer.Exit(1) from error
    _write(seen, results, console)
    _print(seen, as_json=json)


def _suite(name: str, rounds: int, seconds: float, servers: str) -> Suite:
    """The suite as the options change it.

    Raises:
        BenchmarkError: There is no such suite or server.
    """
    if name not in SUITES:
        raise BenchmarkError(f"unknown suite {name!r}; known are {', '.join(SUITES)}")
    suite = replace(SUITES[name], seconds=seconds)
    if rounds:
        suite = replace(suite, rounds=dict.fromkeys(suite.rounds, rounds))
    if servers:
        suite = replace(suite, servers=tuple(servers.split(",")))
    if unknown := set(suite.servers) - set(SERVERS):
        raise BenchmarkError(f"unknown servers {sorted(unknown)}; known are {', '.join(SERVERS)}")
    return suite


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


def _run(name: str, suite: Suite, lengths: Lengths, console: Console) -> Result:
    _programs(suite)
    here = machine()
    console.print("preparing the models, the environments of the peers and echo")
    materials = prepare(suite.models)
    for server in suite.servers:
        # Environments are made before anything is timed.
        SERVERS[server](materials[suite.models[0]])
    before = neighbours()

    def say(words: str) -> None:
        console.print(words, markup=False)

    seen = run(Plan(materials, pin(), 1, suite.seconds, say), suite, lengths)
    return result(_facts(name, suite, here, before), seen)


def _programs(suite: Suite) -> None:
    """Raises unless all that the suite starts is there; oha is built."""
    program("wrk", "apt-get install wrk")
    program("taskset", "apt-get install util-linux")
    if "forms" in suite.rounds:
        program("h2load", "apt-get install nghttp2-client")
    if "loads" in suite.rounds:
        oha_program()


def _facts(name: str, suite: Suite, here: Machine, before: Neighbours) -> Facts:
    now = datetime.datetime.now(datetime.UTC)
    return Facts(
        date=now.strftime("%Y-%m-%dT%H:%M:%SZ"),
        commit=_commit(),
        suite=name,
        parts=list(suite.rounds),
        servers=list(suite.servers),
        machine=here,
        neighbours=before,
        versions=_versions(suite),
        rounds=suite.rounds,
        seconds=suite.seconds,
    )


def _commit() -> str:
    """The short name of the commit, with `-changed` when tracked files differ from it."""
    describe = ["git", "describe", "--always", "--abbrev=10", "--exclude=*", "--dirty=-changed"]
    done = subprocess.run(describe, cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "none"


def _versions(suite: Suite) -> dict[str, str]:
    found = {"python": platform.python_version()}
    for name in ("shoal", "onnxruntime"):
        found[name] = importlib.metadata.version(name)
    found["wrk"] = _said(["wrk", "--version"]).split()[1]
    if "loads" in suite.rounds:
        found["oha"] = OHA_VERSION
    if "forms" in suite.rounds:
        found["h2load"] = _said(["h2load", "--version"]).split("/")[-1].strip()
    for peer in set(PEERS) & set(suite.servers):
        found |= {f"{peer}: {name}": version for name, version in peer_versions(peer).items()}
    return dict(sorted(found.items()))


def _said(command: list[str]) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout


def _write(seen: Result, folder: Path, console: Console) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    # With the time, so that no run overwrites another of the same day and commit.
    stem = f"{seen.facts.date.replace(':', '')}-{seen.facts.commit}-{seen.facts.suite}"
    text = msgspec.json.format(msgspec.json.encode(seen), indent=1)
    (folder / f"{stem}.json").write_bytes(text + b"\n")
    (folder / f"{stem}.md").write_text(markdown(seen))
    drawn = pictures(seen)
    for name, picture in drawn.items():
        (folder / f"{stem}-{name}.svg").write_text(picture)
    words = ", ".join([".json", ".md", *(f"-{name}.svg" for name in drawn)])
    console.print(f"written: {folder / stem}{words}", soft_wrap=True)


def _print(seen: Result, *, as_json: bool) -> None:
    if as_json:
        sys.stdout.write(msgspec.json.encode(seen).decode() + "\n")
        return
    console = Console()
    # A log file has no width of its own.
    console.width = max(console.width, LEAST_COLUMNS)
    for grid in grids(seen):
        console.print(grid.rich())
    for sentence in seen.disturbances:
        console.print(f"disturbed: {sentence}", style="yellow")
