"""Budgets, and accounts that refuse to go above them.

- A `Budget` is what may be spent; an `Account` is opened for one set of records and holds what was.
- Every mechanism that looks at the records says its use first. What would go above the budget is
  refused, and nothing of it is spent.
- Copying an account gives the account itself, and it does not travel to another process: what was
  spent once stays spent.
- Uses compose for any mechanism whose parameters do not depend on earlier answers. Where they do,
  take `accountant="rdp"`: Renyi divergences add up also then.

Source for the last: Feldman and Zrnic 2021, "Individual Privacy Accounting via a Renyi Filter"
(arXiv 2008.11193).
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Literal, Never

import msgspec

from shoal.errors import BudgetError, InvalidRequestError
from shoal.train._private._accountant import epsilon_of, least_noise, library_name
from shoal.train._private._spent import PrivacySpent, SampledGaussian, Use

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
        self._uses: list[Use] = []
        self._public: dict[str, None] = {f"the number of records: {records}": None}
        self._randomness: Literal["system", "seeded"] = "system"
        self._lock = threading.Lock()

    def epsilon_with(self, *more: Guarantee) -> float:
        """The epsilon of what was spent, and of more beside it."""
        spent = [use.guarantee for use in self._uses]
        return epsilon_of([*spent, *more], self.budget.delta, self.accountant)

    def alone(self, guarantee: Guarantee) -> float:
        """The epsilon of one use, as if nothing had been spent."""
        return epsilon_of([guarantee], self.budget.delta, self.accountant)

    def spend(self, use: Use) -> None:
        """Records a use before it looks at the records.

        Raises:
            BudgetError: it would go above the budget; nothing is spent.
        """
        with self._lock:
            after = self.epsilon_with(use.guarantee)
            if after > self.budget.epsilon + _SLACK:
                raise self._exceeded(use.purpose, after)
            self._uses.append(use)

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
        before = tuple(use.guarantee for use in self._uses) if epsilon is None else ()
        limit = self.budget.epsilon if epsilon is None else epsilon
        sums = SampledGaussian(1.0, sampling_rate, steps)
        return least_noise(before, sums, self.budget.delta, limit, self.accountant)

    def take_as_public(self, statement: str) -> None:
        """Records something that is known to everybody, in words."""
        self._public[statement] = None

    def take_seeded(self) -> None:
        """Records that noise came from a seed, so that nothing here is private."""
        self._randomness = "seeded"

    @property
    def epsilon(self) -> float:
        """The epsilon of what was spent so far."""
        return self.epsilon_with()

    @property
    def spent(self) -> PrivacySpent:
        """What was spent so far, as reports and attestations keep it."""
        return PrivacySpent(
            epsilon=self.epsilon,
            delta=self.budget.delta,
            epsilon_limit=self.budget.epsilon,
            records=self.records,
            accountant=self.accountant,
            library=library_name(),
            neighbours="add_or_remove_one_record",
            uses=tuple(self._uses),
            public=tuple(self._public),
            randomness=self._randomness,
            private=self._randomness == "system",
        )

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
