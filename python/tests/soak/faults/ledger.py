"""A table of request ids: each ends exactly once, as answered, refused by name, or left behind.

An id is settled when its fate is known. What is settled twice was answered twice; what is never
settled was not answered.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

FAILURES_KEPT = 5
OPEN, SETTLED = 0, 1


@dataclass
class Seen:
    """What clients saw, added up. Keys of the counters are `MODEL`, `MODEL CODE` or a name.

    `right` answers, `refused` by a code of the catalogue, `left` whole requests whose client did
    not wait for the answer, `other_codes` of requests that have no id, `faults` by kind.
    `held_back` requests were never sent, since too many were under way.
    """

    asked: Counter[str] = field(default_factory=Counter)
    right: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    left: Counter[str] = field(default_factory=Counter)
    other_codes: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    held_back: int = 0
    wrong: int = 0
    twice: int = 0
    unanswered: int = 0
    failures: list[str] = field(default_factory=list)

    def add(self, other: Seen) -> None:
        """Add what another one saw."""
        for name in ("asked", "right", "refused", "left", "other_codes", "faults"):
            getattr(self, name).update(getattr(other, name))
        self.held_back += other.held_back
        self.wrong += other.wrong
        self.twice += other.twice
        self.unanswered += other.unanswered
        self.failures += other.failures

    def to_json(self) -> dict[str, Any]:
        """As plain values."""
        return vars(self)

    @classmethod
    def from_json(cls, plain: dict[str, Any]) -> Seen:
        """From plain values."""
        counted: dict[str, Any] = {
            name: Counter(value) if isinstance(value, dict) else value
            for name, value in plain.items()
        }
        return cls(**counted)


class Ledger:
    """The ids of one process of clients, and what became of each."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._fates = bytearray()
        self.seen = Seen()

    def ask(self, model: str) -> str:
        """A new id for a request to a model."""
        self._fates.append(OPEN)
        self.seen.asked[model] += 1
        return f"{self._prefix}-{len(self._fates) - 1}"

    def answered(self, name: str, model: str, *, is_right: bool, said: object) -> None:
        """An answer came."""
        self._settle(name)
        self.seen.right[model] += is_right
        if not is_right:
            self.seen.wrong += 1
            self.fail(f"{model} {name}: {said!r}")

    def refused(self, name: str, model: str, code: str, *, is_due: bool) -> None:
        """A named error came; one that is not due is a failure."""
        self._settle(name)
        self.seen.refused[f"{model} {code}"] += 1
        if not is_due:
            self.fail(f"{model} {name}: {code} was not due")

    def left(self, name: str, model: str) -> None:
        """The client went away before the answer."""
        self._settle(name)
        self.seen.left[model] += 1

    def fail(self, what: str) -> None:
        """Keep a failure, if there are not many yet."""
        if len(self.seen.failures) < FAILURES_KEPT:
            self.seen.failures.append(what[:1000])

    def end(self) -> Seen:
        """What was seen; ids that are still open were not answered."""
        self.seen.unanswered = self._fates.count(OPEN)
        return self.seen

    def _settle(self, name: str) -> None:
        place = int(name.rpartition("-")[2])
        self.seen.twice += self._fates[place] == SETTLED
        self._fates[place] = SETTLED
