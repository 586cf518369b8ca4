"""The time of day: it is compared with what another runner wrote down."""

from __future__ import annotations

import time

from shoal.deploy._cluster._clock import Clock

__all__ = ["SYSTEM", "Clock"]

SYSTEM = Clock(time.time, time.sleep)
