"""Load shapes: how many replicas' worth of load there is, step by step.

1 is what one replica answers at 60 % of the most rows a second that its model can do.

- **steps**: ten minutes each; the load doubles, doubles again, and falls as fast.
- **day**: 24 hours; a plateau over the working day, a peak in the evening, a seventh of it at
  night, and noise of 5 % from minute to minute.
- **bursts**: two hours of an even load, with bursts of one to five minutes of up to three times as
  much, between breaks of five to fifteen minutes.

Within a step requests come by chance (Poisson). The day has the humps that logs of web sites show
(M. Arlitt, T. Jin, "1998 World Cup Web Site Access Logs"); they are made here, not copied, because
the terms of such logs allow their use for non-commercial purposes only.
"""

from __future__ import annotations

import math
from random import Random

import msgspec

SEED = 7
MINUTE_MS = 60_000.0
MINUTES_A_DAY = 24 * 60
HALF_MINUTES = 240
USED = 0.6
"""A replica at this share of what it can do at most is load 1."""


class Shape(msgspec.Struct, frozen=True):
    """A load in replicas, in steps of equal length that fill the span."""

    name: str
    levels: list[float]
    step_ms: float

    @property
    def span_ms(self) -> float:
        """How long it is played."""
        return self.step_ms * len(self.levels)


def shapes() -> list[Shape]:
    """All of them."""
    return [_steps(), _day(), _bursts()]


def _steps() -> Shape:
    return Shape("steps", [1.0, 2.0, 4.0, 8.0, 8.0, 4.0, 2.0, 1.0, 2.0, 1.0, 1.0], 10 * MINUTE_MS)


def _day() -> Shape:
    random = Random(SEED)
    hours = (24.0 * minute / MINUTES_A_DAY for minute in range(MINUTES_A_DAY))
    levels = [_of_day(hour) * random.uniform(0.95, 1.05) for hour in hours]
    return Shape("day", levels, MINUTE_MS)


def _of_day(hour: float) -> float:
    def hump(middle: float, height: float, width: float) -> float:
        return height * math.exp(-(((hour - middle) / width) ** 2))

    return 0.6 + hump(11.0, 3.2, 2.5) + hump(15.0, 0.6, 4.0) + hump(19.5, 3.6, 2.2)


def _bursts() -> Shape:
    random = Random(SEED)
    levels = [2.0] * HALF_MINUTES
    start = random.randint(10, 30)
    while start < HALF_MINUTES:
        long, times = random.randint(2, 10), random.choice([1.5, 2.0, 3.0])
        end = min(start + long, HALF_MINUTES)
        levels[start:end] = [2.0 * times] * (end - start)
        start = end + random.randint(10, 30)
    return Shape("bursts", levels, MINUTE_MS / 2)
