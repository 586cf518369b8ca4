"""The limit of a server on one core.

A request cannot cost less than HTTP on one thread (`echo`), parsing its body, and its share of
the kernel:

    limit = 1 / (echo + parse + kernel(n) / n)      n = mean rows of a micro-batch in that round

At one connection nothing can be shared, so the time of a request is held against
echo + kernel(1) and an allowance for everything else. A client that sends 64 rows at once is held
against a loop that calls the kernel with 64 rows and does nothing else.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from benchmarks.serve._figures import Costs, Turn


class Limit(msgspec.Struct, frozen=True):
    """The limit of one round and what it is made of, per request in microseconds."""

    round: int
    requests_per_s: float
    echo_us: float
    parse_us: float
    kernel_us: float
    batch_rows_mean: float


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


def bare_rows_per_s(costs: Costs, rows: int) -> float:
    """What a loop over the kernel alone answers, called with `rows` rows."""
    return rows * 1e6 / costs.kernel_us_per_call[rows]


def limit(echo_requests_per_s: float, costs: Costs, batch_rows_mean: float, number: int) -> Limit:
    """The limit of round `number`, from that round's echo and costs."""
    echo_us = 1e6 / echo_requests_per_s
    kernel_us = kernel_us_per_row(costs.kernel_us_per_call, batch_rows_mean)
    total_us = echo_us + costs.parse_us + kernel_us
    return Limit(number, 1e6 / total_us, echo_us, costs.parse_us, kernel_us, batch_rows_mean)


def limits(turns: Sequence[Turn]) -> list[Limit]:
    """One limit for each round that has both Shoal's costs and echo."""
    echo = {turn.round: turn.many.requests_per_s for turn in turns if turn.server == "echo"}
    return [
        limit(echo[turn.round], turn.costs, turn.batch_rows_mean, turn.round)
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
