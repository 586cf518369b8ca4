"""One run as a value: everything that was measured, and everything that follows from it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from benchmarks.serve._bounds import Bound, bounds
from benchmarks.serve._figures import Spread, Turn, Window, spread
from benchmarks.serve._limit import Limit, limits
from benchmarks.serve._machine import QUIET_SHARE, Machine, Neighbours
from benchmarks.serve._readings import Seen

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

STEAL_SHARE = 0.01
"""Above this share of stolen time in a window, the host is named as a disturbance."""

SATURATED_SHARE = 0.97
"""Above this share of its core a program is at its limit."""


class Facts(msgspec.Struct, frozen=True):
    """When, where and with what a run was made."""

    date: str
    commit: str
    suite: str
    parts: list[str]
    servers: list[str]
    machine: Machine
    neighbours: Neighbours
    versions: dict[str, str]
    rounds: dict[str, int]
    """By part."""
    seconds: float


class Row(msgspec.Struct, frozen=True):
    """One server with one setting over all rounds."""

    server: str
    setting: str
    requests_per_s: Spread
    many_p50_us: Spread
    many_p99_us: Spread
    one_p50_us: Spread
    one_p99_us: Spread
    batch_rows_mean: Spread | None
    shoal_ratio: Spread | None
    """Shoal's requests per second over this server's, round by round."""


class Result(msgspec.Struct, frozen=True):
    """Everything a run says."""

    facts: Facts
    servers: list[Row]
    limit_requests_per_s: Spread | None
    limits: list[Limit]
    bounds: list[Bound]
    disturbances: list[str]
    seen: Seen


def result(facts: Facts, seen: Seen) -> Result:
    """All that follows from what was seen."""
    by_server: dict[tuple[str, str], list[Turn]] = {}
    for turn in seen.turns:
        by_server.setdefault((turn.server, turn.setting), []).append(turn)
    rate = {turn.round: turn.many.requests_per_s for turn in seen.turns if turn.server == "shoal"}
    found = limits(seen.turns)
    return Result(
        facts=facts,
        servers=[_row(name, its, rate) for name, its in by_server.items()],
        limit_requests_per_s=spread(one.requests_per_s for one in found) if found else None,
        limits=found,
        bounds=bounds(seen, facts.parts, facts.servers),
        disturbances=disturbances(facts.neighbours, seen),
        seen=seen,
    )


def _row(name: tuple[str, str], turns: Sequence[Turn], rate: dict[int, float]) -> Row:
    def over(value: Callable[[Turn], float]) -> Spread:
        return spread(value(turn) for turn in turns)

    rows = [turn.batch_rows_mean for turn in turns if turn.batch_rows_mean is not None]
    ratios = [rate[turn.round] / turn.many.requests_per_s for turn in turns if turn.round in rate]
    return Row(
        server=name[0],
        setting=name[1],
        requests_per_s=over(lambda turn: turn.many.requests_per_s),
        many_p50_us=over(lambda turn: turn.many.load.p50_us),
        many_p99_us=over(lambda turn: turn.many.load.p99_us),
        one_p50_us=over(lambda turn: turn.one.load.p50_us),
        one_p99_us=over(lambda turn: turn.one.load.p99_us),
        batch_rows_mean=spread(rows) if rows else None,
        shoal_ratio=spread(ratios) if ratios and name[0] != "shoal" else None,
    )


def disturbances(neighbours: Neighbours, seen: Seen) -> list[str]:
    """Sentences that name whoever else used the machine; none on a quiet one."""
    found = []
    if neighbours.busy_share > QUIET_SHARE:
        found.append(
            f"others used {neighbours.busy_share:.0%} of the machine before the run "
            f"(load average {neighbours.load_average_1m:.2f})"
        )
    for where, window in _windows(seen):
        if window.foreign_cpu_share > QUIET_SHARE:
            found.append(f"{where}: others used {window.foreign_cpu_share:.0%} of the machine")
        if window.generator_cpu_share > SATURATED_SHARE >= window.server_cpu_share:
            found.append(f"{where}: the load generator was at its limit, the server was not")
        if window.steal_share > STEAL_SHARE:
            found.append(f"{where}: the host took {window.steal_share:.0%} of the machine")
    return found


def _windows(seen: Seen) -> Iterator[tuple[str, Window]]:
    """Every window with words for where it was."""
    for turn in seen.turns:
        for window in (turn.many, turn.one):
            yield f"round {turn.round}, {turn.server}", window
    for reading in seen.readings:
        load = f"{reading.model}, {reading.form}, {reading.connections} connections"
        offered = "" if reading.offered_share is None else f", {reading.offered_share:.0%} offered"
        yield f"round {reading.round}, {reading.server}, {load}{offered}", reading.window
