"""The time of day, passed in: it is compared with what another runner wrote down."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable


class Clock(NamedTuple):
    """What tells the time, and what lets it pass.

    Attributes:
        now: Seconds since 1970.
        wait: Returns so many seconds later.
    """

    now: Callable[[], float]
    wait: Callable[[float], None]


SYSTEM = Clock(time.time, time.sleep)
