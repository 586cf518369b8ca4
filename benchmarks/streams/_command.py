"""The command `just bench streams`: prepares, takes the rounds, writes and prints."""

from __future__ import annotations

import platform
import tempfile
from contextlib import ExitStack
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer
from rich.console import Console

from benchmarks.serve._environments import peer_versions
from benchmarks.streams._answers import Oracle
from benchmarks.streams._engines import ENGINES, HERE, Engines, engines
from benchmarks.streams._figures import Result, Turn, grids, markdown
from benchmarks.streams._places import prepare
from benchmarks.streams._queries import QUERIES
from benchmarks.streams._shape import Shape
from tools.machine import commit, describe_machine, is_changed, now

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.streams._places import Events

EVENTS_OF_A_FILE = 250_000
# Rounds that are not timed, while the engines get warm; the answers of the first are compared.
WARM_UPS = 2


class Suite(msgspec.Struct, frozen=True):
    """What a run takes on."""

    queries: tuple[str, ...]
    events: int
    rounds: int


SUITES = {
    "quick": Suite(("ysb", "q0", "q5", "q7"), 2_000_000, 3),
    "full": Suite(tuple(QUERIES), 8_000_000, 5),
}


def main(
    suite: Annotated[str, typer.Option(help="What is asked: quick or full.")] = "quick",
    rounds: Annotated[int | None, typer.Option(min=1, help="How many rounds.")] = None,
    events: Annotated[int | None, typer.Option(min=1000, help="How many events.")] = None,
    results: Annotated[Path, typer.Option(help="Where the result goes.")] = HERE / "results",
) -> None:
    """Queries of Nexmark and YSB over Parquet files, by Shoal and by Spark."""
    if suite not in SUITES:
        raise typer.BadParameter(f"{suite!r} is none of {', '.join(SUITES)}", param_hint="--suite")
    chosen = SUITES[suite]
    count = events or chosen.events
    shape = Shape(count, files=max(count // EVENTS_OF_A_FILE, 1))
    with tempfile.TemporaryDirectory(prefix="shoal-benchmark-") as directory:
        found = prepare(Path(directory), shape)
        with engines(Path(directory)) as started:
            _warm(started, found, chosen.queries)
            taken = [
                list(_round(started, found, chosen.queries, number))
                for number in range(rounds or chosen.rounds)
            ]
            seen = Result(
                date=now(),
                commit=commit(),
                is_changed=is_changed(),
                machine=describe_machine(),
                versions=_versions(started),
                suite=suite,
                events=count,
                files=shape.files,
                rounds=taken,
                memory_bytes=started.memory_bytes(),
            )
    _write(seen, results)


def _warm(started: Engines, events: dict[str, Events], queries: tuple[str, ...]) -> None:
    with ExitStack() as opened:
        oracles = {name: opened.enter_context(Oracle(each.folder)) for name, each in events.items()}
        for query in queries:
            kind = _kind(query)
            for number in range(WARM_UPS):
                oracle = None if number else oracles[kind]
                for engine in ENGINES:
                    started.turn(engine, query, events[kind], oracle=oracle)
            typer.echo(f"{query}: all engines answer as DuckDB does")


def _round(
    started: Engines, events: dict[str, Events], queries: tuple[str, ...], number: int
) -> Iterator[Turn]:
    """Each query by each engine in turn; who begins changes from round to round."""
    first = number % len(ENGINES)
    for query in queries:
        for engine in (*ENGINES[first:], *ENGINES[:first]):
            turn = started.turn(engine, query, events[_kind(query)], oracle=None)
            typer.echo(f"round {number}: {query}, {engine}: {turn.seconds:.2f} s")
            yield turn


def _kind(query: str) -> str:
    return "ysb" if query == "ysb" else "nexmark"


def _versions(started: Engines) -> dict[str, str]:
    own = {name: metadata.version(name) for name in ("shoal", "pyarrow", "duckdb")}
    python = {"python": platform.python_version()}
    return {**own, **python, **peer_versions("spark", HERE), "java": started.java}


def _write(seen: Result, results: Path) -> None:
    results.mkdir(parents=True, exist_ok=True)
    stem = f"{seen.date.replace(':', '')}-{seen.commit[:10]}-{seen.suite}"
    (results / f"{stem}.json").write_bytes(
        msgspec.json.format(msgspec.json.encode(seen), indent=1) + b"\n"
    )
    (results / f"{stem}.md").write_text(markdown(seen), encoding="utf-8")
    console = Console(soft_wrap=True)
    for grid in grids(seen):
        console.print(grid.rich())
    typer.echo(f"written: {results / stem}.json and .md")
