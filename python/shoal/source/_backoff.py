"""How long to wait before something that failed is tried again.

The bound doubles with each failure in a row, up to a most; the wait is drawn between half of the
bound and all of it, so that many that failed together do not come back together.

Source: M. Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015 (equal jitter).
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class Backoff:
    """Counts failures in a row."""

    def __init__(
        self,
        first_seconds: float,
        most_seconds: float,
        *,
        draw: Callable[[], float] = random.random,
    ) -> None:
        """Takes the first bound and the last, and what draws from 0 to 1."""
        self._first_seconds, self._most_seconds = first_seconds, most_seconds
        self._bound_seconds = first_seconds
        self._draw = draw

    def failed(self) -> float:
        """In how many seconds to try again."""
        bound = self._bound_seconds
        self._bound_seconds = min(bound * 2, self._most_seconds)
        return bound * (1 + self._draw()) / 2

    def succeeded(self) -> None:
        """The next failure is the first."""
        self._bound_seconds = self._first_seconds
