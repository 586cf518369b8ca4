"""Figures of the worker benchmark: pure, from times to what is reported."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Sequence

FLOOR_US = 150.0
GOAL_US = 60.0
_NS_PER_US = 1000.0


class Round(msgspec.Struct, frozen=True):
    """The medians of one round, and the 99th percentile through the worker."""

    direct_us: float
    worker_us: float
    worker_p99_us: float

    @property
    def overhead_us(self) -> float:
        """What the worker adds to the median call."""
        return self.worker_us - self.direct_us


class Overhead(msgspec.Struct, frozen=True):
    """What a worker adds to a call: the median of the rounds, and how far they lie apart."""

    median_us: float
    smallest_us: float
    largest_us: float
    direct_us: float


def round_of(direct_ns: Sequence[int], worker_ns: Sequence[int]) -> Round:
    """One round from the nanoseconds of its calls."""
    return Round(
        direct_us=statistics.median(direct_ns) / _NS_PER_US,
        worker_us=statistics.median(worker_ns) / _NS_PER_US,
        worker_p99_us=statistics.quantiles(worker_ns, n=100)[98] / _NS_PER_US,
    )


def overhead_of(rounds: Sequence[Round]) -> Overhead:
    """The result of all rounds."""
    overheads = [each.overhead_us for each in rounds]
    return Overhead(
        median_us=statistics.median(overheads),
        smallest_us=min(overheads),
        largest_us=max(overheads),
        direct_us=statistics.median(each.direct_us for each in rounds),
    )


def verdict(overhead: Overhead) -> str:
    """How the median stands to the floor and the goal."""
    if overhead.median_us <= GOAL_US:
        return f"reaches the goal of {GOAL_US:g} us"
    if overhead.median_us <= FLOOR_US:
        return f"reaches the floor of {FLOOR_US:g} us, not the goal of {GOAL_US:g} us"
    return f"misses the floor of {FLOOR_US:g} us"
