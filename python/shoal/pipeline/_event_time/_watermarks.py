"""How far event time has come: a pure function of what was seen.

- The watermark says that no record of an earlier time is expected. It never goes back.
- It stands `lateness` before the least of the newest times of the partitions, so that a partition
  that is read more slowly than the others is not late. A partition of which nothing came yet holds
  it back altogether.
- Which partitions are waited for is settled when an epoch is planned, not while it runs, and is
  stored in the plan: an epoch that runs again after a crash finds the same watermark.
- A partition that has been **idle** is not waited for. Where all are, event time goes on with the
  clock, so that the last window closes also if nothing ever comes again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from shoal.pipeline._event_time._windows import BEGINNING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence


class Watermark(msgspec.Struct, frozen=True):
    """How far event time has come.

    Attributes:
        at_us: No record of an earlier time is expected.
        newest_us: The greatest time of each partition from which records have come.
    """

    at_us: int = BEGINNING
    newest_us: dict[str, int] = {}

    def after(
        self,
        seen_us: Mapping[str, int],
        *,
        awaited: Iterable[str],
        lateness_us: int,
        at_least_us: int,
    ) -> Watermark:
        """How far event time has come once an epoch is done.

        Args:
            seen_us: The greatest time of each partition in the epoch.
            awaited: The partitions that are waited for, and those that delivered.
            lateness_us: How much later than others a record may come.
            at_least_us: Where it stands whatever was seen.
        """
        newest = dict(self.newest_us)
        for partition, time_us in seen_us.items():
            newest[partition] = max(newest.get(partition, BEGINNING), time_us)
        waited_for = {*awaited, *seen_us}
        reached = min((newest.get(each, BEGINNING) for each in waited_for), default=BEGINNING)
        if reached > BEGINNING:
            reached -= lateness_us
        return Watermark(max(self.at_us, reached, at_least_us), newest)


class Idleness:
    """Which partitions have been idle, by a clock that is passed in."""

    def __init__(self, idle_after_seconds: float | None, now_seconds: float) -> None:
        """Starts with nothing idle; with None nothing ever is."""
        self._idle_after = idle_after_seconds
        self._began = now_seconds
        self._heard: dict[str, float] = {}

    def heard(self, partitions: Iterable[str], now_seconds: float) -> None:
        """Records came from these."""
        self._heard |= dict.fromkeys(partitions, now_seconds)

    def awaited(self, partitions: Sequence[str], now_seconds: float) -> tuple[str, ...]:
        """Those of which records may still be expected."""
        return tuple(each for each in partitions if not self._is_idle(each, now_seconds))

    def clock_us(self, watermark: Watermark, now_seconds: float) -> int:
        """Where event time is by the clock, if no partition has anything to say."""
        if self._idle_after is None or not watermark.newest_us:
            return BEGINNING
        quiet = now_seconds - max(self._heard.values(), default=self._began)
        if quiet < self._idle_after:
            return BEGINNING
        return max(watermark.newest_us.values()) + int(quiet * 1_000_000)

    def _is_idle(self, partition: str, now_seconds: float) -> bool:
        if self._idle_after is None:
            return False
        return now_seconds - self._heard.get(partition, self._began) >= self._idle_after
