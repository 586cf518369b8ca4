"""The limit of a server on one core, and the bounds a run is held to.

A request cannot cost less than HTTP on one thread (`echo`), parsing its body, and its share of
the kernel:

    limit = 1 / (echo + parse + kernel(n) / n)      n = mean rows of a micro-batch in that round

At one connection nothing can be shared, so the time of a request is held against
echo + kernel(1) + 20 us for everything else.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING, Literal

import msgspec

from benchmarks.serve._figures import Costs, Spread, Turn, spread

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

LONE_REQUEST_ALLOWANCE_US = 20.0
LIMIT_SHARE = "requests/s, share of the limit"


class Limit(msgspec.Struct, frozen=True):
    """The limit of one round and what it is made of, per request in microseconds."""

    requests_per_s: float
    echo_us: float
    parse_us: float
    kernel_us: float
    batch_rows_mean: float


class Bound(msgspec.Struct, frozen=True):
    """One line that a run is held to."""

    kind: Literal["floor", "goal"]
    sentence: str
    value: Spread
    bound: float
    reached: bool


def kernel_us_per_row(kernel_us_per_call: Mapping[int, float], rows: float) -> float:
    """One row's share of a call of `rows` rows; a straight line lies between measured sizes."""
    sizes = sorted(kernel_us_per_call)
    place = bisect_left(sizes, rows)
    upper = sizes[min(place, len(sizes) - 1)]
    lower = sizes[max(place - 1, 0)]
    if lower == upper or place == len(sizes):
        return kernel_us_per_call[upper] / upper
    part = (rows - lower) / (upper - lower)
    cost = kernel_us_per_call[lower] * (1 - part) + kernel_us_per_call[upper] * part
    return cost / rows


def limit(echo_requests_per_s: float, costs: Costs, batch_rows_mean: float) -> Limit:
    """The limit of a round, from that round's echo and costs."""
    echo_us = 1e6 / echo_requests_per_s
    kernel_us = kernel_us_per_row(costs.kernel_us_per_call, batch_rows_mean)
    total_us = echo_us + costs.parse_us + kernel_us
    return Limit(1e6 / total_us, echo_us, costs.parse_us, kernel_us, batch_rows_mean)


def limits(turns: Sequence[Turn]) -> list[Limit]:
    """One limit for each round that has both Shoal's costs and echo."""
    echo = {turn.round: turn.many.requests_per_s for turn in turns if turn.server == "echo"}
    return [
        limit(echo[turn.round], turn.costs, turn.batch_rows_mean)
        for turn in turns
        if turn.costs and turn.batch_rows_mean and turn.round in echo
    ]


def per_round(
    turns: Sequence[Turn], server: str, value: Callable[[Turn], float]
) -> dict[int, float]:
    """The greatest value of `server` in each round: a peer is taken at the best of its settings."""
    found: dict[int, float] = {}
    for turn in turns:
        if turn.server == server:
            found[turn.round] = max(value(turn), found.get(turn.round, 0.0))
    return found


def bounds(turns: Sequence[Turn]) -> list[Bound]:
    """Every floor and goal that the servers of this run allow to compute."""
    rate = per_round(turns, "shoal", lambda turn: turn.many.requests_per_s)
    if not rate:
        return []
    return [*_against_peers(turns, rate), *_against_limit(turns, rate), *_lone_request(turns)]


def _against_peers(turns: Sequence[Turn], rate: Mapping[int, float]) -> list[Bound]:
    found = []
    for peer, factor in (("mosec", 2.5), ("pytriton", 8.0)):
        theirs = per_round(turns, peer, lambda turn: turn.many.requests_per_s)
        if theirs:
            ratio = spread(rate[number] / theirs[number] for number in theirs)
            found.append(_at_least("floor", f"requests/s, times {peer}", ratio, factor))
    return found


def _against_limit(turns: Sequence[Turn], rate: Mapping[int, float]) -> list[Bound]:
    found = limits(turns)
    if not found:
        return []
    ratio = spread(
        mine / bound.requests_per_s for mine, bound in zip(rate.values(), found, strict=True)
    )
    return [
        _at_least("floor", LIMIT_SHARE, ratio, 0.60),
        _at_least("goal", LIMIT_SHARE, ratio, 0.75),
    ]


def _lone_request(turns: Sequence[Turn]) -> list[Bound]:
    mine = per_round(turns, "shoal", lambda turn: turn.one.load.p50_us)
    echo = per_round(turns, "echo", lambda turn: turn.one.load.p50_us)
    kernel = per_round(
        turns, "shoal", lambda turn: turn.costs.kernel_us_per_call[1] if turn.costs else 0.0
    )
    if not echo:
        return []
    above = spread(mine[number] - echo[number] - kernel[number] for number in mine)
    sentence = "p50 of a lone request, us above echo and kernel"
    reached = above.median <= LONE_REQUEST_ALLOWANCE_US
    return [Bound("floor", sentence, above, LONE_REQUEST_ALLOWANCE_US, reached)]


def _at_least(kind: Literal["floor", "goal"], sentence: str, value: Spread, bound: float) -> Bound:
    return Bound(kind, sentence, value, bound, value.median >= bound)
