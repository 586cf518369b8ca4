"""What a run has learned, whichever way."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

    import pyarrow as pa

    from shoal.evaluate import Report
    from shoal.package import Package
    from shoal.train._private._spent import PrivacySpent
    from shoal.train._search._search import Fitted, Leaderboard


class Outcome(NamedTuple):
    """A model before it is sealed.

    Attributes:
        fitted: The model.
        proved_on: Records that its export is compared on; nothing was learned from them.
        report: Measures its package.
        board: What was compared, if it was.
        threshold: From which probability of the positive class on it is the answer.
        positive: That class.
        notes: What a reader should know.
        spent: What privacy it cost, if it was learned privately.
    """

    fitted: Fitted
    proved_on: pa.Table
    report: Callable[[Package], Report]
    board: Leaderboard | None = None
    threshold: float | None = None
    positive: str | None = None
    notes: tuple[str, ...] = ()
    spent: PrivacySpent | None = None
