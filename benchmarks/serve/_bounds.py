"""The floors and goals that serving is held to, as data, and what a run says about each.

A value is computed in every round by itself; a line is reached when the median of the rounds is. A
line is told when the part of the run that measures it took place; if it gave no value, because a
peer failed or the server lacks the feature, that is said as well.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import msgspec

from benchmarks.serve._figures import OVERLOAD_SHARE, Spread, spread
from benchmarks.serve._limit import bare_rows_per_s, limits, per_round
from benchmarks.serve._protocols import BLOCK_ROWS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from benchmarks.serve._figures import Turn
    from benchmarks.serve._readings import Reading, Seen

Rule = Literal["at least", "at most"]
Part = Literal["rounds", "loads", "forms", "footprint", "threads"]
LIMIT_SHARE = "single-row JSON, 64 connections: share of the limit"
NOT_MEASURED = "not measured: see the failures"


@dataclass(frozen=True)
class Line:
    """One line of the table."""

    sentence: str
    rule: Rule
    floor: float
    goal: float
    part: Part
    """The part of a run that measures it."""
    values: Callable[[Seen], Iterable[float]]
    """One for each round."""
    peer: str = ""
    """The peer that it compares with."""


class Bound(msgspec.Struct, frozen=True):
    """One line and what the run says about it."""

    sentence: str
    rule: Rule
    floor: float
    goal: float
    value: Spread | None
    remark: str = ""
    """Why there is no value."""

    @property
    def floor_reached(self) -> bool:
        """By the median of the rounds; never without a value."""
        return self._reaches(self.floor)

    @property
    def goal_reached(self) -> bool:
        """The same for the goal."""
        return self._reaches(self.goal)

    def _reaches(self, bound: float) -> bool:
        if self.value is None:
            return False
        median = self.value.median
        return median >= bound if self.rule == "at least" else median <= bound


def _rates(turns: Sequence[Turn], server: str) -> dict[int, float]:
    return per_round(turns, server, lambda turn: turn.many.requests_per_s)


def _ratios(above: Mapping[int, float], below: Mapping[int, float]) -> list[float]:
    """Round by round, where both took place."""
    return [above[number] / below[number] for number in above if number in below]


def _limit_share(seen: Seen) -> list[float]:
    found = {one.round: one.requests_per_s for one in limits(seen.turns)}
    return _ratios(_rates(seen.turns, "shoal"), found)


def _times(peer: str) -> Callable[[Seen], list[float]]:
    return lambda seen: _ratios(_rates(seen.turns, "shoal"), _rates(seen.turns, peer))


def _alone_us(turns: Sequence[Turn], server: str) -> dict[int, float]:
    return per_round(turns, server, lambda turn: turn.one.load.p50_us)


def _above_echo_and_kernel_us(seen: Seen) -> list[float]:
    mine, echo = _alone_us(seen.turns, "shoal"), _alone_us(seen.turns, "echo")
    kernel = {turn.round: turn.costs.kernel_us_per_call[1] for turn in seen.turns if turn.costs}
    return [mine[each] - echo[each] - kernel[each] for each in mine if each in echo.keys() & kernel]


def _times_lower_than_default(peer: str) -> Callable[[Seen], list[float]]:
    def values(seen: Seen) -> list[float]:
        shipped = [turn for turn in seen.turns if turn.is_default]
        return _ratios(_alone_us(shipped, peer), _alone_us(seen.turns, "shoal"))

    return values


def _digits(seen: Seen, server: str, of: Callable[[Reading], bool]) -> dict[int, float]:
    """Rows per second of a server with the model `digits` in the readings that `of` picks."""
    return {
        reading.round: reading.rows_per_s
        for reading in seen.readings
        if (reading.server, reading.model) == (server, "digits") and of(reading)
    }


def _binary_share(seen: Seen) -> list[float]:
    bare = {
        one.round: bare_rows_per_s(one.costs, BLOCK_ROWS)
        for one in seen.model_costs
        if one.model == "digits"
    }
    return _ratios(_digits(seen, "shoal", lambda reading: reading.form == "binary"), bare)


def _times_grpc(seen: Seen) -> list[float]:
    mine, theirs = (
        _digits(seen, server, lambda reading: reading.form == "grpc")
        for server in ("shoal", "pytriton")
    )
    return _ratios(mine, theirs)


def _goodput(seen: Seen) -> list[float]:
    """Both from the open loop: its generator costs more than that of the closed one."""
    within: dict[int, float] = {}
    over: dict[int, float] = {}
    for reading in seen.readings:
        if reading.server == "shoal" and reading.offered_share is not None:
            place = over if reading.offered_share == OVERLOAD_SHARE else within
            rate = reading.window.requests_per_s
            place[reading.round] = max(rate, place.get(reading.round, 0.0))
    return _ratios(over, within)


def _thread_ratio(seen: Seen) -> list[float]:
    one, two = (
        {each.round: each.us_per_request for each in seen.thread_costs if each.threads == count}
        for count in (1, 2)
    )
    return _ratios(two, one)


def _footprints(value: Callable[..., float]) -> Callable[[Seen], list[float]]:
    return lambda seen: [value(one) for one in seen.footprints if one.server == "shoal"]


LINES = (
    Line(LIMIT_SHARE, "at least", 0.80, 0.92, "rounds", _limit_share),
    *(
        Line(f"the same, times {peer}", "at least", floor, goal, "rounds", _times(peer), peer)
        for peer, floor, goal in (
            ("mosec", 3.5, 5),
            ("pytriton", 12, 25),
            ("mlserver", 25, 45),
            ("litserve", 40, 80),
        )
    ),
    Line(
        "1 connection, p50: us above echo and a kernel of one row",
        "at most",
        10,
        5,
        "rounds",
        _above_echo_and_kernel_us,
    ),
    *(
        Line(
            f"1 connection, p50: times lower than {peer}'s default",
            "at least",
            20,
            60,
            "rounds",
            _times_lower_than_default(peer),
            peer,
        )
        for peer in ("mosec", "litserve")
    ),
    Line(
        "binary tensors, 64 rows per request: share of a bare ONNX Runtime loop",
        "at least",
        0.80,
        0.92,
        "forms",
        _binary_share,
    ),
    Line("gRPC, single row: times pytriton", "at least", 4, 10, "forms", _times_grpc, "pytriton"),
    Line(
        "processor time per request with 2 server threads, of that with 1",
        "at most",
        1.15,
        1.05,
        "threads",
        _thread_ratio,
    ),
    Line(
        "150 % of capacity offered: answers per second, of the most at up to 100 %",
        "at least",
        0.90,
        0.97,
        "loads",
        _goodput,
    ),
    Line(
        "resident memory, MB",
        "at most",
        120,
        80,
        "footprint",
        _footprints(lambda one: one.resident_bytes / 1e6),
    ),
    Line(
        "growth of resident memory over 2 million requests, %",
        "at most",
        5,
        1,
        "footprint",
        lambda seen: [one.share * 100 for one in seen.drifts],
    ),
    Line(
        "idle: processor time, % of a core",
        "at most",
        0.2,
        0.05,
        "footprint",
        _footprints(lambda one: one.idle_cpu_share * 100),
    ),
    Line(
        "ready after start, s", "at most", 1, 0.4, "footprint", _footprints(lambda one: one.ready_s)
    ),
)


def bounds(seen: Seen, parts: Sequence[str], servers: Sequence[str]) -> list[Bound]:
    """Every line that `parts` of a run with `servers` speak about."""
    if "shoal" not in servers:
        return []
    return [
        _bound(line, seen)
        for line in LINES
        if line.part in parts and (not line.peer or line.peer in servers)
    ]


def _bound(line: Line, seen: Seen) -> Bound:
    values = list(line.values(seen))
    value = spread(values) if values else None
    remark = "" if values else NOT_MEASURED
    return Bound(line.sentence, line.rule, line.floor, line.goal, value, remark)
