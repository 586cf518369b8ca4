"""The floors and goals that tasks are held to, and what a run says about each: pure.

A value is computed in every round by itself; a line is reached when the median of the rounds is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from benchmarks.serve._bounds import NOT_MEASURED, Bound, Rule
from benchmarks.serve._figures import spread
from benchmarks.serve._limit import kernel_us_per_row
from benchmarks.tasks._ways import BUSY

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from benchmarks.tasks._figures import Measured, Turn

Values = dict[int, float]
"""By round."""


class Line(NamedTuple):
    """One line of the table."""

    sentence: str
    rule: Rule
    floor: float
    goal: float
    values: Callable[[Measured], Values]


def _of(measured: Measured, way: str, value: Callable[[Turn], float]) -> Values:
    return {turn.round: value(turn) for turn in measured.turns if turn.way == way}


def _rate(turn: Turn) -> float:
    return turn.tasks_per_s


def _p50_us(turn: Turn) -> float:
    return turn.seen.p50_us


def _on_over_off(way: str) -> Callable[[Measured], Values]:
    """The median times of calls that one caller made in turn."""
    return lambda seen: {
        turn.round: turn.seen.p50_us / turn.seen.off_p50_us
        for turn in seen.turns
        if turn.way == way and turn.seen.off_p50_us
    }


def _divided(above: Values, below: Values) -> Values:
    return {number: above[number] / below[number] for number in above if number in below}


def _ratio(
    above: str, below: str, value: Callable[[Turn], float] = _rate
) -> Callable[[Measured], Values]:
    return lambda seen: _divided(_of(seen, above, value), _of(seen, below, value))


def _beside_triton(mode: str) -> Callable[[Measured], Values]:
    """The quicker client of ours beside the quicker tritonclient, each over HTTP or gRPC."""
    ours = (f"triton: shoal, {mode}", f"triton: shoal over gRPC, {mode}")
    return lambda seen: _divided(_quicker(seen, ours), _quicker(seen, TRITONS))


def _quicker(seen: Measured, ways: tuple[str, str]) -> Values:
    """The rate of the quicker of both, round by round."""
    one, other = (_of(seen, way, _rate) for way in ways)
    return {number: max(one[number], other[number]) for number in one if number in other}


TRITONS = ("triton: tritonclient.http.aio", "triton: tritonclient.grpc.aio")


def _above_kernel(way: str) -> Callable[[Measured], Values]:
    return lambda seen: dict(_costs_above_kernel(seen, way))


def _costs_above_kernel(seen: Measured, way: str) -> Iterator[tuple[int, float]]:
    kernels = {k.round: k.costs.kernel_us_per_call for k in seen.kernels if k.way == way}
    for turn in seen.turns:
        if turn.way == way and turn.round in kernels and turn.batch_rows_mean:
            kernel_us = kernel_us_per_row(kernels[turn.round], turn.batch_rows_mean)
            yield turn.round, turn.server_us_per_task - kernel_us


LINES = (
    *(
        Line(
            f"64 tasks in one envelope against 64 requests {how}, tasks/s: {who}",
            "at least",
            5,
            15,
            _ratio(f"envelope: {who}, one envelope", f"envelope: {who}, 64 requests {how}"),
        )
        for how in ("at once", "in turn")
        for who in ("python", "wrk")
    ),
    *(
        Line(
            f"client micro-batching on against off, 256 callers, requests/s: {who}",
            "at least",
            floor,
            goal,
            _ratio(f"callers: {who}, on", f"callers: {who}, off"),
        )
        for who, floor, goal in (("python", 4, 8), ("javascript", 2, 4))
    ),
    *(
        Line(
            f"the same, 1 caller, p50: {who}",
            "at most",
            1.1,
            1.02,
            _on_over_off(f"alone: {who}, on and off"),
        )
        for who in ("python", "javascript")
    ),
    Line(
        "10,000 rows of 20 mixed columns: the time of JSON over that of Arrow",
        "at least",
        5,
        15,
        _ratio("tables: json", "tables: arrow", _p50_us),
    ),
    *(
        Line(
            f"64 asyncio callers, micro-batching {mode}: the quicker client, times the quicker "
            "tritonclient",
            "at least",
            floor,
            goal,
            _beside_triton(mode),
        )
        for mode, floor, goal in (("on", 2, 4), ("off", 0.7, 1))
    ),
    *(
        Line(
            f"server: us per task in envelopes of 64, above its kernel, {in_flight}: {form}",
            "at most",
            4,
            2,
            _above_kernel(f"server: {way}, {form}"),
        )
        for way, in_flight in (
            (f"{BUSY} envelopes", f"{BUSY} in flight"),
            ("envelope", "1 in flight"),
        )
        for form in ("JSON", "protobuf")
    ),
)


def bounds(seen: Measured) -> list[Bound]:
    """Every line, in order."""
    return [_bound(line, list(line.values(seen).values())) for line in LINES]


def _bound(line: Line, values: list[float]) -> Bound:
    value = spread(values) if values else None
    remark = "" if values else NOT_MEASURED
    return Bound(line.sentence, line.rule, line.floor, line.goal, value, remark)
