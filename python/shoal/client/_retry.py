"""When is the same task sent again? Decisions only: time and chance are arguments.

Rules:

- Only what `protocol/errors.toml` calls retryable is: overload, absence, and a server that was not
  reached. Whoever is not known to be at fault is asked again; a wrong task is not.
- A server that says when to come again is taken at its word, and chance is added to it, so that
  those who were turned away together do not come back together. Otherwise waits double, each drawn
  from zero to its limit.
- Who is told to come again later than the longest wait gives up at once, and so does whoever would
  come after his deadline.

Every task carries a key of idempotency, so that one that was computed and whose answer was lost is
not computed twice.

Source: M. Brooker, "Exponential Backoff And Jitter", 2015: full jitter.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from shoal.errors import ConfigurationError

if TYPE_CHECKING:
    from shoal.errors import ShoalError

_SPREAD = 0.25


@dataclass(frozen=True, slots=True)
class Retry:
    """How often, and after how long, a task is sent again.

    Attributes:
        attempts: How often it is sent at most; 1 is never again.
        first_wait_ms: The limit of the first wait, which doubles with each.
        max_wait_ms: The longest wait, before chance adds up to a quarter to what a server asks
            for; a server that asks for more is not asked again.

    Raises:
        ConfigurationError: A number is below 1.
    """

    attempts: int = 4
    first_wait_ms: float = 50.0
    max_wait_ms: float = 5_000.0

    def __post_init__(self) -> None:
        if min(self.attempts, self.first_wait_ms, self.max_wait_ms) < 1:
            raise ConfigurationError(f"{self} has a number below 1, expected at least 1 of each")

    def wait_ms(
        self, error: ShoalError, *, sent: int, left_ms: float | None, chance: float
    ) -> float | None:
        """Gives how long to wait before a task is sent again; None is not at all.

        Args:
            error: How it failed.
            sent: How often it was sent, at least 1.
            left_ms: How long its deadline is away; None is no deadline.
            chance: From 0 to 1.
        """
        if not error.retryable or sent >= self.attempts:
            return None
        asked_for = error.retry_after_ms
        if asked_for is None:
            wait = chance * min(self.first_wait_ms * 2.0 ** (sent - 1), self.max_wait_ms)
        elif asked_for > self.max_wait_ms:
            return None
        else:
            wait = asked_for * (1 + _SPREAD * chance)
        return None if left_ms is not None and wait >= left_ms else wait


NEVER = Retry(attempts=1)
