"""How long an epoch gathers records, and how much may be under way: learned, not set.

- An epoch that gathers for `x` seconds takes `w(x)` to process. The shortest `x` that can be kept
  up is where `w(x) = LOAD * x`; it is found by setting `x` to `w(x) / LOAD` again and again. Where
  longer epochs cost more for each record than shorter ones, that does not end, and `x` is made
  shorter than both. Of the last two epochs the quicker counts: one that was held up is no trend.
- The window in bytes is what flows in while two epochs are under way: less would leave workers
  idle, more would only wait.

Source: Das, Zhong, Stoica, Shenker, Adaptive Stream Processing using Dynamic Batch Sizing (SoCC
2014), algorithm 1.
"""

from __future__ import annotations

from typing import NamedTuple

# The share of the time that processing may take.
LOAD = 0.8
# How much shorter an epoch becomes where longer ones cost more for each record.
SHORTER = 0.25
LEAST_SECONDS, MOST_SECONDS = 0.005, 10.0
LEAST_BYTES, MOST_BYTES = 4 << 20, 128 << 20


class Seen(NamedTuple):
    """An epoch that was processed: how long it gathered, and how long that took."""

    gathered_seconds: float
    worked_seconds: float


class Cadence:
    """Learns from each epoch how long the next one gathers."""

    def __init__(self, fixed_seconds: float | None = None, least_seconds: float = 0.0) -> None:
        """Starts with the shortest epochs, or keeps to a fixed length."""
        self._fixed = fixed_seconds
        self._least = max(least_seconds, LEAST_SECONDS)
        self._interval = self._least
        self._before: Seen | None = None
        self._bytes_per_second = 0.0

    @property
    def interval_seconds(self) -> float:
        """How long the next epoch gathers."""
        return self._interval if self._fixed is None else self._fixed

    @property
    def window_bytes(self) -> int:
        """How much may be under way."""
        flows = int(2 * self._bytes_per_second * self.interval_seconds)
        return min(max(flows, LEAST_BYTES), MOST_BYTES)

    def learn(self, seen: Seen, size_bytes: int) -> None:
        """Takes what an epoch showed."""
        gathered = max(seen.gathered_seconds, 1e-6)
        self._bytes_per_second += (size_bytes / gathered - self._bytes_per_second) / 4
        worked = seen.worked_seconds
        if self._before is not None:
            worked = min(worked, self._before.worked_seconds)
        wanted = worked / LOAD
        if self._before is not None and _is_superlinear(*sorted((self._before, seen))):
            wanted = (1 - SHORTER) * min(self._before.gathered_seconds, seen.gathered_seconds)
        self._before = seen
        self._interval = min(max(wanted, self._least), max(MOST_SECONDS, self._least))


def _is_superlinear(short: Seen, long: Seen) -> bool:
    if short.gathered_seconds <= 0 or long.gathered_seconds <= 0:
        return False
    costs = [each.worked_seconds / each.gathered_seconds for each in (short, long)]
    return costs[0] < costs[1] and min(costs) > LOAD
