"""The time that waiting takes, passed in: tests bring their own."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable


class Clock(NamedTuple):
    """What tells the time, and what lets it pass.

    Attributes:
        now: Seconds since some moment, never going back.
        wait: Returns so many seconds later.
    """

    now: Callable[[], float]
    wait: Callable[[float], None]


SYSTEM_CLOCK = Clock(time.monotonic, time.sleep)
LOOK_SECONDS = 0.5
