"""Trying again what failed for a reason that passes, with back-off, for a bounded time."""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING, Protocol, TypeVar

from shoal.errors import BusyError, SinkError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable
    from threading import Event

Result = TypeVar("Result")

FIRST_SECONDS, MOST_SECONDS = 0.05, 5.0
# What may pass. A model or a record that fails does not; a source reaches for what it lost itself.
PASSING = (UnavailableError, BusyError, SinkError)


class Clock(Protocol):
    """What tells the time, and waits."""

    def now_seconds(self) -> float:
        """Seconds that only go forward, from anywhere."""

    def wait(self, stopped: Event, seconds: float) -> bool:
        """Waits, and says at once if it was stopped."""


class SystemClock:
    """The time of this machine; setting its clock changes nothing."""

    def now_seconds(self) -> float:
        """Seconds since some start."""
        return time.monotonic()

    def wait(self, stopped: Event, seconds: float) -> bool:
        """Waits in earnest."""
        return stopped.wait(seconds)


class Retry:
    """Tries again for so many seconds; gives up at once when stopped."""

    def __init__(self, limit_seconds: float, clock: Clock, stopped: Event) -> None:
        self._limit = limit_seconds
        self._clock = clock
        self._stopped = stopped
        self._random = random.Random()  # noqa: S311 - jitter, which must differ between processes

    def __call__(self, call: Callable[[], Result]) -> Result:
        """What the call gives.

        Raises:
            ShoalError: the last error, once the time is over; any that does not pass, at once.
        """
        began, pause = self._clock.now_seconds(), FIRST_SECONDS
        while True:
            try:
                return call()
            except PASSING:
                spent = self._clock.now_seconds() - began
                if spent + pause > self._limit or self._clock.wait(self._stopped, pause):
                    raise
            pause = min(pause * (1.5 + self._random.random()), MOST_SECONDS)
