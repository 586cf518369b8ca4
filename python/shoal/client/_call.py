"""One call on its way: its task as bytes, until when, and who waits for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from shoal.client._task import Result
from shoal.errors import InternalError

if TYPE_CHECKING:
    from shoal.client._tables._table import Table
    from shoal.client._wire._encoding import Piece
    from shoal.errors import ShoalError

_KEPT_BITS, _MOST_ROUNDED_BITS = 6, 18


class Waiter(Protocol):
    """Who waits for a call: a future of the event loop, or a thread."""

    def done(self) -> bool:
        """Whether the wait ended already: whoever waited may have given up."""

    def set_result(self, result: None, /) -> None:
        """Ends the wait."""


class Call:
    """A call; changed by the event loop only, and by nobody once it is settled.

    Attributes:
        piece: The task, encoded.
        model: Whom it is for.
        timeout_s: How long it may take in all; None is no limit.
        waiter: Whom to tell that it is settled.
        deadline_s: Until when, by the loop's clock.
        sent: How often it was sent.
        outcome: What came of it, when it is settled.
        flight: The envelope it travels in, while it does.
    """

    __slots__ = (
        "deadline_s",
        "flight",
        "model",
        "outcome",
        "piece",
        "sent",
        "timeout_s",
        "waiter",
    )

    def __init__(self, piece: Piece, model: str, timeout_s: float | None, waiter: Waiter) -> None:
        self.piece = piece
        self.model = model
        self.timeout_s = timeout_s
        self.waiter = waiter
        self.deadline_s: float | None = None
        self.sent = 0
        self.outcome: Result | ShoalError | None = None
        self.flight: Any = None

    def settle(self, outcome: Result | ShoalError) -> None:
        """Ends it, and tells whoever waits; a second outcome is passed over."""
        if self.outcome is not None:
            return
        self.outcome = outcome
        if not self.waiter.done():
            self.waiter.set_result(None)

    def table(self) -> Table:
        """Gives the answer, when it is settled.

        Raises:
            ShoalError: It failed.
        """
        if isinstance(self.outcome, Result):
            return self.outcome.table
        raise self.outcome or InternalError("a call was asked for its answer before it had one")

    def budget_us(self, now_s: float) -> int:
        """Gives how many microseconds are left, rounded down a little; 0 is no limit.

        By 3 % or 0.26 s at most: so calls that were made shortly after each other have the same
        budget, and a server joins them.
        """
        if self.deadline_s is None:
            return 0
        left_us = max(1, int((self.deadline_s - now_s) * 1e6))
        rounded_bits = max(0, min(left_us.bit_length() - _KEPT_BITS, _MOST_ROUNDED_BITS))
        return left_us >> rounded_bits << rounded_bits
