"""What columns hold, found with noise where it is not stated.

- Bounds: first a histogram over powers of two, of which the bins that surely have records are
  kept; then, between their ends, where the first and the last twentieth of the values end, and a
  quarter of what lies between beyond them. Farther out a few records would be too few to find.
- Categories: those that surely several records have; how many have them is not told.
- What cannot be found with so little to spend is refused: nothing is guessed.

Source of the histogram: Wilson et al. 2019, "Differentially Private SQL with Bounded User
Contribution" (arXiv 1909.01917), section 5.1.1.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from shoal.errors import BudgetError
from shoal.train._private._counts import private_counts
from shoal.train._private._statistics import private_vocabulary, quantiles_between

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from shoal.train._private._account import Account
    from shoal.train._private._randomness import Floats

_LEAST_POWER, _POWERS = -16, 64
_FAR = 0.05
_BEYOND = 0.25
_FALSE_ALARM = 0.01
"""The chance that a bin without records is kept."""
_HINT = "State it, leave the column out, or take a larger choice_share or epsilon."


def private_bounds(
    account: Account, values: Floats, *, name: str, epsilon: float, seed: int | None = None
) -> tuple[float, float]:
    """Finds between which numbers nearly all values of a column lie.

    Args:
        account: What is spent from.
        values: Of the column; missing ones count nowhere.
        name: Of the column.
        epsilon: What it may cost.
        seed: For tests: with it nothing is private.

    Returns:
        The lower bound and the upper one.

    Raises:
        BudgetError: the budget does not allow it, or no bin surely has records.
    """
    purpose = f"bounds of {name}"
    counts, cost = private_counts(
        account, _histogram(values), epsilon=epsilon / 2, purpose=purpose, seed=seed
    )
    least = math.log(len(counts) / (2 * _FALSE_ALARM)) / cost
    if not len(kept := np.flatnonzero(counts > least)):
        message = (
            f"the bounds of column {name!r} cannot be found with epsilon {epsilon:.3g} on "
            f"{account.records} records: no range surely has more than {least:.0f} of them"
        )
        raise BudgetError(message, hint=_HINT)
    coarse = _between(int(kept[0]), int(kept[-1]))
    fine = quantiles_between(
        account,
        values,
        (_FAR, 1 - _FAR),
        bounds=coarse,
        epsilon=epsilon / 2,
        purpose=purpose,
        seed=seed,
    )
    beyond = _BEYOND * (fine[1] - fine[0])
    if beyond <= 0:
        return coarse
    return max(coarse[0], fine[0] - beyond), min(coarse[1], fine[1] + beyond)


def private_categories(  # noqa: PLR0913 - each changes what is promised
    account: Account,
    values: Iterable[str],
    *,
    name: str,
    epsilon: float,
    delta: float,
    seed: int | None = None,
) -> tuple[str, ...]:
    """Finds the names that surely several records have.

    Args:
        account: What is spent from.
        values: Of the column; a missing one is empty, and counts nowhere.
        name: Of the column.
        epsilon: What it may cost.
        delta: The chance that a name of a single record is told.
        seed: For tests: with it nothing is private.

    Raises:
        BudgetError: the budget does not allow it, or there is no such name.
    """
    words = ([value] if value else [] for value in values)
    found = private_vocabulary(
        account,
        words,
        epsilon=epsilon,
        delta=delta,
        most_of_a_record=1,
        purpose=f"categories of {name}",
        seed=seed,
    )
    if not found:
        least = 1 + math.log(1 / (2 * delta)) / epsilon
        message = (
            f"the categories of column {name!r} cannot be found with epsilon {epsilon:.3g} on "
            f"{account.records} records: none surely has more than {least:.0f} of them"
        )
        raise BudgetError(message, hint=_HINT)
    return tuple(found)


def _histogram(values: Floats) -> NDArray[np.int64]:
    """How many values lie between powers of two: large negative ones first, 0 in the middle."""
    known = values[np.isfinite(values)]
    _, powers = np.frexp(known)
    distance = np.where(known == 0, 0, (powers - _LEAST_POWER).clip(0, _POWERS))
    bins = _POWERS + np.sign(known).astype(np.int64) * distance
    return np.bincount(bins, minlength=2 * _POWERS + 1).astype(np.int64)


def _between(first: int, last: int) -> tuple[float, float]:
    """The lower end of one bin and the upper end of another."""
    low, high = _ends(first)[0], _ends(last)[1]
    return (low, high) if low < high else (-1.0, 1.0)


def _ends(number: int) -> tuple[float, float]:
    distance = abs(number - _POWERS)
    if not distance:
        return 0.0, 0.0
    far, near = 2.0 ** (distance + _LEAST_POWER), 2.0 ** (distance + _LEAST_POWER - 1)
    return (near, far) if number > _POWERS else (-far, -near)
