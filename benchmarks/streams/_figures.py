"""What is measured, and the tables of it: pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import msgspec

from benchmarks.serve._figures import Spread, spread
from benchmarks.serve._machine import QUIET_SHARE
from benchmarks.serve._tables import Grid
from tools.machine import Machine

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

TITLES = {
    "ysb": "YSB: views of each campaign, 10 s",
    "q0": "q0: pass bids through",
    "q1": "q1: another currency",
    "q2": "q2: bids on some auctions",
    "q5": "q5: hottest auctions, 10 s every 2 s",
    "q7": "q7: highest bids, 10 s",
    "q8": "q8: newcomers who sell, 10 s",
    "q11": "q11: sessions of bidders, gap 10 s",
    "q17": "q17: bids of each auction and day",
}
SPEEDS = ("query", "shoal", "spark", "shoal is", "spark batch", "shoal is")
COSTS = ("query", "shoal", "spark", "spark batch")


class Turn(msgspec.Struct, frozen=True):
    """One query, answered once by one engine.

    Attributes:
        engine: Which one.
        query: Its name.
        seconds: From the first call until all answers were committed.
        cpu_s: Processor seconds of the engine's processes.
        others_share: How much of the machine's time others used meanwhile, from 0 to 1.
    """

    engine: str
    query: str
    seconds: float
    cpu_s: float
    others_share: float


class Result(msgspec.Struct, frozen=True):
    """One run: where it was made, and what came out."""

    date: str
    commit: str
    is_changed: bool
    machine: Machine
    versions: dict[str, str]
    suite: str
    events: int
    files: int
    rounds: list[list[Turn]]
    memory_bytes: dict[str, int]


class Cells(NamedTuple):
    """The turns of one query by engine, in the order of rounds."""

    query: str
    turns: dict[str, list[Turn]]

    def spread(self, engine: str, value: Callable[[Turn], float]) -> Spread:
        """A value over the rounds."""
        return spread(value(turn) for turn in self.turns[engine])

    def times(self, engine: str) -> Spread:
        """How often quicker Shoal was, round by round."""
        pairs = zip(self.turns[engine], self.turns["shoal"], strict=True)
        return spread(other.seconds / own.seconds for other, own in pairs)


def cells(seen: Result) -> list[Cells]:
    """The turns of a run, by query."""
    turns = [turn for each in seen.rounds for turn in each]
    found: dict[str, dict[str, list[Turn]]] = {}
    for turn in turns:
        found.setdefault(turn.query, {}).setdefault(turn.engine, []).append(turn)
    return [Cells(query, by_engine) for query, by_engine in found.items()]


def grids(seen: Result) -> list[Grid]:
    """The tables of a run."""
    by_query = cells(seen)
    return [
        Grid("million events/s, median (least to greatest)", SPEEDS, _speeds(seen, by_query)),
        Grid("processor seconds for a million events", COSTS, _costs(seen, by_query)),
    ]


def markdown(seen: Result) -> str:
    """The run as a page."""
    lines = [line for grid in grids(seen) for line in grid.markdown()]
    disturbed = sorted({f"{turn.query}, {turn.engine}" for turn in _disturbed(seen)})
    if disturbed or seen.is_changed:
        lines = ["**The machine was not quiet, or files were changed: do not quote.**", "", *lines]
    machine = seen.machine
    held = ", ".join(f"{name} {size / 1e6:,.0f} MB" for name, size in seen.memory_bytes.items())
    run = (seen.date, f"commit {seen.commit[:10]}", f"suite {seen.suite}")
    size = (f"{seen.events:,} events in {seen.files} files", f"{len(seen.rounds)} rounds")
    memory_gib = f"{machine.memory_bytes / 2**30:.0f} GiB"
    place = (machine.processor, f"{machine.cores} cores", memory_gib, machine.system)
    versions = (f"{name} {version}" for name, version in seen.versions.items())
    lines += [f"{', '.join(words)};" for words in (run, size, place)]
    lines += [f"{', '.join(versions)}.", "", f"Resident after the last round: {held}."]
    lines += ["", f"Others used the machine during: {'; '.join(disturbed)}."] if disturbed else []
    return "\n".join(lines) + "\n"


def _disturbed(seen: Result) -> Iterable[Turn]:
    return (turn for each in seen.rounds for turn in each if turn.others_share > QUIET_SHARE)


def _speeds(seen: Result, by_query: list[Cells]) -> list[list[str]]:
    rows = []
    for each in by_query:
        own, stream, batch = (
            _shown(each.spread(engine, lambda turn: seen.events / turn.seconds / 1e6))
            for engine in ("shoal", "spark", "spark batch")
        )
        times = {engine: f"{_shown(each.times(engine))} x" for engine in ("spark", "spark batch")}
        title = TITLES[each.query]
        rows.append([title, own, stream, times["spark"], batch, times["spark batch"]])
    return rows


def _costs(seen: Result, by_query: list[Cells]) -> list[list[str]]:
    rows = []
    for each in by_query:
        costs = [
            _shown(each.spread(engine, lambda turn: turn.cpu_s / seen.events * 1e6))
            for engine in ("shoal", "spark", "spark batch")
        ]
        rows.append([TITLES[each.query], *costs])
    return rows


def _shown(found: Spread) -> str:
    return f"{found.median:.2f} ({found.minimum:.2f} to {found.maximum:.2f})"
