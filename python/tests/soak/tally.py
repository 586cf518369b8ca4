"""What the clients of a load saw, added up over threads and processes."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

FAILURES_KEPT = 5


@dataclass
class Tally:
    """Counts by name, the first failures, and questions that got no answer.

    Names: `ok/MODEL` right answers, `CODE` errors that had to come and came, `abandoned/MODEL`
    questions whose client left or lost patience, `torn` uploads never finished.
    """

    counts: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    unanswered: list[int] = field(default_factory=list)

    def add(self, other: Tally) -> None:
        """Add what another one saw."""
        self.counts += other.counts
        self.failures += other.failures
        self.unanswered += other.unanswered

    def fail(self, what: str) -> None:
        """Keep a failure, if there are not many yet."""
        self.counts["failures"] += 1
        if len(self.failures) < FAILURES_KEPT:
            self.failures.append(what[:2000])

    def to_json(self) -> dict[str, Any]:
        """As plain values."""
        return {
            "counts": dict(self.counts),
            "failures": self.failures,
            "unanswered": self.unanswered,
        }

    @classmethod
    def from_json(cls, plain: dict[str, Any]) -> Tally:
        """From plain values."""
        return cls(Counter(plain["counts"]), plain["failures"], plain["unanswered"])
