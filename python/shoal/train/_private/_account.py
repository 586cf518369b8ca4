"""Budgets, and accounts that refuse to go above them.

- A `Budget` is what may be spent; an `Account` is opened for one set of records and holds what was.
- Every mechanism that looks at the records says its use first. What would go above the budget is
  refused, and nothing of it is spent.
- Copying an account gives the account itself, and it does not travel to another process: what was
  spent once stays spent.
- Records may be cut into parts, each record into one, whatever it says. What one part spends does
  not add to what another does, since no record is in both: the account has spent what the part that
  spent most did, with what was spent on all records.
- Uses compose for any mechanism whose parameters do not depend on earlier answers. Where they do,
  take `accountant="rdp"`: Renyi divergences add up also then.

Sources: McSherry 2009, "Privacy Integrated Queries", section 2.4.2, for parts; Feldman and Zrnic
2021, "Individual Privacy Accounting via a Renyi Filter" (arXiv 2008.11193), for the last.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Never

import msgspec

from shoal.errors import BudgetError, InvalidRequestError
from shoal.train._private._accountant import epsilon_of, least_noise, library_name
from shoal.train._private._spent import PartSpent, PrivacySpent, SampledGaussian, Use

if TYPE_CHECKING:
    from collections.abc import Mapping

    from shoal.train._private._spent import AccountantName, Guarantee

_SLACK = 1e-9
"""Rounding of the accountant that is not taken for spending."""


class Budget(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The most privacy that may be spent.

    Attributes:
        epsilon: How much more likely one record may make any answer: by a factor of e^epsilon.
        delta: The chance with which that may not hold; less than one over the number of records.

    Raises:
        InvalidRequestError: epsilon is not above 0, or delta not between 0 and 1.
    """

    epsilon: float
    delta: float = 1e-6

    def __post_init__(self) -> None:
        if not 0 < self.epsilon < float("inf"):
            message = f"epsilon is {self.epsilon}, expected a finite number above 0"
            raise InvalidRequestError(message)
        if not 0 < self.delta < 1:
            message = f"delta is {self.delta}, expected between 0 and 1"
            raise InvalidRequestError(message)


@dataclass
class _Ledger:
    """What an account and the accounts of its parts share."""

    records: int
    uses: list[Use] = field(default_factory=list)
    parts: dict[str, int] = field(default_factory=dict)
    public: dict[str, None] = field(default_factory=dict)
    randomness: Literal["system", "seeded"] = "system"
    lock: threading.Lock = field(default_factory=threading.Lock)

    def guarantees(self, part: str | None) -> tuple[Guarantee, ...]:
        """What was spent on the records of a part, or on all records where there is none."""
        return tuple(use.guarantee for use in self.uses if use.part is None or use.part == part)


class Account:
    """What was spent of a budget on one set of records."""

    def __init__(self, budget: Budget, *, records: int, accountant: AccountantName = "pld") -> None:
        """Opens an account.

        Args:
            budget: The most that may be spent.
            records: How many records the budget protects; this number is taken as public.
            accountant: How uses are composed: `pld`, or `rdp` for parameters that depend on
                earlier answers.

        Raises:
            InvalidRequestError: there are no records.
            BudgetError: delta is one over the number of records or more, which would allow a
                mechanism that publishes a whole record.
        """
        if records < 1:
            raise InvalidRequestError(f"an account is for {records} records, expected at least 1")
        if budget.delta * records >= 1:
            message = f"delta is {budget.delta} for {records} records, expected below 1/{records}"
            hint = f"With such a delta one record may be published whole: take {0.1 / records:.0e}."
            raise BudgetError(message, hint=hint)
        self.budget = budget
        self.records = records
        self.accountant: AccountantName = accountant
        self._ledger = _Ledger(records)
        self._part: str | None = None
        self.take_as_public(f"the number of records: {records}")

    def part(self, name: str, *, records: int) -> Account:
        """Opens an account of some of the records, with the whole budget for them.

        Args:
            name: What the part is for.
            records: How many it has; no record may be in another part. Which ones are in it must
                not depend on what any record says, as when each is drawn on its own.

        Returns:
            An account beside those of other parts; this one counts them all.

        Raises:
            InvalidRequestError: there is such a part, the parts have more records than there are,
                or this is a part itself.
        """
        ledger = self._ledger
        if self._part is not None:
            raise InvalidRequestError(f"part {self._part!r} was to be cut, expected all records")
        if name in ledger.parts:
            raise InvalidRequestError(f"there is a part {name!r} already, expected another name")
        if sum(ledger.parts.values()) + records > ledger.records:
            message = f"part {name!r} is for {records} records of {ledger.records}"
            message += f", and {sum(ledger.parts.values())} are in other parts"
            raise InvalidRequestError(message, hint="A record is in one part only.")
        found = Account(self.budget, records=records, accountant=self.accountant)
        found._ledger, found._part = ledger, name
        ledger.parts[name] = records
        return found

    def epsilon_with(self, *more: Guarantee) -> float:
        """The epsilon of what was spent, and of more beside it."""
        return max(self._epsilon_of(part, *more) for part in self._parts)

    def alone(self, guarantee: Guarantee) -> float:
        """The epsilon of one use, as if nothing had been spent."""
        return epsilon_of([guarantee], self.budget.delta, self.accountant)

    def spend(self, use: Use) -> None:
        """Records a use before it looks at the records.

        Raises:
            BudgetError: it would go above the budget; nothing is spent.
        """
        with self._ledger.lock:
            after = self.epsilon_with(use.guarantee)
            if after > self.budget.epsilon + _SLACK:
                raise self._exceeded(use.purpose, after)
            self._ledger.uses.append(msgspec.structs.replace(use, part=self._part))

    def noise_for(
        self, *, sampling_rate: float, steps: int, epsilon: float | None = None
    ) -> float | None:
        """The least noise multiplier with which so many sums stay within the budget.

        Args:
            sampling_rate: The chance of each record to be in a sum.
            steps: How many sums.
            epsilon: At most so much for them alone; None for all that is left.

        Returns:
            The multiplier, or None where nothing is left that any noise would suffice for.
        """
        sums = SampledGaussian(1.0, sampling_rate, steps)
        if epsilon is not None:
            return self._least_noise((), sums, epsilon)
        before = (self._ledger.guarantees(part) for part in self._parts)
        found = [self._least_noise(each, sums, self.budget.epsilon) for each in before]
        known = [noise for noise in found if noise is not None]
        return max(known) if len(known) == len(found) else None

    def take_as_public(self, statement: str) -> None:
        """Records something that is known to everybody, in words."""
        self._ledger.public[statement] = None

    def take_seeded(self) -> None:
        """Records that noise came from a seed, so that nothing here is private."""
        self._ledger.randomness = "seeded"

    @property
    def epsilon(self) -> float:
        """The epsilon of what was spent so far."""
        return self.epsilon_with()

    @property
    def spent(self) -> PrivacySpent:
        """What was spent so far on all records, as reports and attestations keep it."""
        ledger = self._ledger
        parts = tuple(
            PartSpent(name, records, self._epsilon_of(name))
            for name, records in ledger.parts.items()
        )
        return PrivacySpent(
            epsilon=max([self._epsilon_of(None), *(part.epsilon for part in parts)]),
            delta=self.budget.delta,
            epsilon_limit=self.budget.epsilon,
            records=ledger.records,
            accountant=self.accountant,
            library=library_name(),
            neighbours="add_or_remove_one_record",
            uses=tuple(ledger.uses),
            public=tuple(ledger.public),
            randomness=ledger.randomness,
            private=ledger.randomness == "system",
            parts=parts,
        )

    @property
    def _parts(self) -> tuple[str | None, ...]:
        """The parts that this account is for; None stands for records that are in no part."""
        return (None, *self._ledger.parts) if self._part is None else (self._part,)

    def _epsilon_of(self, part: str | None, *more: Guarantee) -> float:
        spent = self._ledger.guarantees(part)
        return epsilon_of([*spent, *more], self.budget.delta, self.accountant)

    def _least_noise(
        self, before: tuple[Guarantee, ...], sums: SampledGaussian, limit: float
    ) -> float | None:
        return least_noise(before, sums, self.budget.delta, limit, self.accountant)

    def _exceeded(self, purpose: str, after: float) -> BudgetError:
        message = (
            f"{purpose} would bring epsilon from {self.epsilon:.4g} to {after:.4g} at delta "
            f"{self.budget.delta}, the budget is {self.budget.epsilon:.4g}"
        )
        return BudgetError(message, hint="Spend less on it, or leave out an earlier use.")

    def __copy__(self) -> Account:
        return self

    def __deepcopy__(self, _memo: Mapping[int, object]) -> Account:
        return self

    def __reduce__(self) -> Never:
        message = "an account of privacy was sent to another process, expected all in one"
        raise InvalidRequestError(message, hint="Train in this process: n_jobs=1 or threads.")

    def __repr__(self) -> str:
        return f"Account(epsilon {self.epsilon:.4g} of {self.budget.epsilon:.4g} spent)"
