"""How long a registry is waited for, and how often it is asked again: pure, time is an argument.

- A wait doubles with every failure, and a random part of it is left out, so that those who failed
  together do not come back together.
- A transfer that breaks off again and again goes on as long as each try brings it further.
- What a registry asks for by Retry-After is what is waited, if it is not longer than the longest
  wait; if it is, nothing is waited and the failure is told.

Source: RFC 9110, 10.2.3 (Retry-After).
"""

from __future__ import annotations

import random
import time
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


CUTS_LIMIT = 1000
"""So often one transfer may break off, however far it came each time."""


@dataclass(frozen=True)
class Patience:
    """The limits of waiting.

    Attributes:
        connect_seconds: How long a connection may take.
        read_seconds: How long the other side may say nothing.
        failures_limit: After so many failures in a row, the last one is told.
        first_wait_seconds: The wait after the first failure, before a part of it is left out.
        longest_wait_seconds: No wait is longer.
        now: Seconds since 1970.
        jitter: A number from 0 to 1, anew each time.
    """

    connect_seconds: float = 10.0
    read_seconds: float = 30.0
    failures_limit: int = 5
    first_wait_seconds: float = 0.5
    longest_wait_seconds: float = 60.0
    now: Callable[[], float] = time.time
    jitter: Callable[[], float] = random.random

    def wait_seconds(self, failures: int, retry_after: str | None = None) -> float | None:
        """How long to wait after a failure, or None: not at all, it is to be told.

        Args:
            failures: How many there were in a row, this one included.
            retry_after: What the registry asked for.
        """
        if failures >= self.failures_limit:
            return None
        asked_seconds = self._asked_seconds(retry_after)
        if asked_seconds is not None:
            return asked_seconds if asked_seconds <= self.longest_wait_seconds else None
        whole_seconds = min(
            self.first_wait_seconds * 2.0 ** (failures - 1), self.longest_wait_seconds
        )
        return whole_seconds * (1 + self.jitter()) / 2

    def _asked_seconds(self, retry_after: str | None) -> float | None:
        if retry_after is None:
            return None
        if retry_after.isascii() and retry_after.isdigit():
            return float(retry_after)
        try:
            return max(parsedate_to_datetime(retry_after).timestamp() - self.now(), 0.0)
        except (ValueError, OverflowError):
            return None  # neither seconds nor a date: as if nothing had been asked for


class Cuts:
    """How often one transfer broke off."""

    def __init__(self) -> None:
        self._furthest_bytes = 0
        self._fruitless = 0
        self._left = CUTS_LIMIT

    def count(self, reached_bytes: int, patience: Patience) -> int:
        """The failures in a row, this one included; one that came further than ever is the first.

        Args:
            reached_bytes: How far the transfer is.
            patience: Says how many there may be.
        """
        self._left -= 1
        self._fruitless = 1 if reached_bytes > self._furthest_bytes else self._fruitless + 1
        self._furthest_bytes = max(self._furthest_bytes, reached_bytes)
        return self._fruitless if self._left else patience.failures_limit
