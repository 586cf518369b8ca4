"""Statistics of columns that cost some of the budget: means and scales, quantiles, vocabularies.

- Bounds of a column are stated by the caller and public; values outside are moved to them, so one
  record never changes a sum by more than they allow. Missing values count as the middle.
- Quantiles are chosen from 1025 places between the bounds by the exponential mechanism.
- A vocabulary holds the words whose noisy count lies above a threshold that a word of one record
  passes with chance `delta` at most; counts are not told.

Sources: Smith 2011, "Privacy-preserving Statistical Estimation with Optimal Convergence Rates", for
quantiles; Korolova et al. 2009, "Releasing Search Queries and Clicks Privately", for vocabularies.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np

from shoal.errors import BudgetError, InvalidRequestError
from shoal.train._private._choice import choose_privately, randomness_of
from shoal.train._private._descent import MOST_ROWS, reach
from shoal.train._private._randomness import noisy, uniforms
from shoal.train._private._spent import Bounded, SampledGaussian, Use

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from shoal.train._private._account import Account
    from shoal.train._private._randomness import Floats, Randomness

_PLACES = 1025
_LEAST_VARIANCE = 1e-4


@dataclass(frozen=True)
class Bounds:
    """What the values of each column can be, as it is known without the records.

    Attributes:
        lower: The least of each column.
        upper: The most of each column.

    Raises:
        InvalidRequestError: they are not of one length, not finite, or not in order.
    """

    lower: Sequence[float]
    upper: Sequence[float]

    def __post_init__(self) -> None:
        low, high = np.asarray(self.lower, np.float64), np.asarray(self.upper, np.float64)
        if low.ndim != 1 or low.shape != high.shape or not len(low):
            message = f"{low.size} lower and {high.size} upper bounds, expected one of each column"
            raise InvalidRequestError(message)
        wrong = np.flatnonzero(~(np.isfinite(low) & np.isfinite(high) & (low < high)))
        if len(wrong):
            place = int(wrong[0])
            message = (
                f"the bounds of column {place} are {low[place]} and {high[place]}, "
                "expected two finite numbers, the lower one first"
            )
            raise InvalidRequestError(message)

    def scaled(self, rows: Any) -> Floats:
        """Rows from -1 at the lower bound to 1 at the upper; missing values are 0."""
        values = np.asarray(rows, np.float64)
        if values.ndim != 2 or values.shape[1] != len(self.lower):  # noqa: PLR2004 - rows, columns
            message = f"rows are {values.shape}, expected (records, {len(self.lower)})"
            raise InvalidRequestError(message)
        low, high = np.asarray(self.lower), np.asarray(self.upper)
        inside = np.clip(values, low, high)
        scaled: Floats = np.nan_to_num((inside - low) / (high - low) * 2 - 1)
        return scaled

    def rows(self, count: int, seed: int = 0) -> Floats:
        """Made-up rows within the bounds, for proofs and golden rows: no record is in them."""
        drawn = np.random.default_rng(seed).uniform(
            self.lower, self.upper, (count, len(self.lower))
        )
        return np.asarray(drawn, np.float64)


def moments(
    account: Account, rows: Any, bounds: Bounds, *, epsilon: float | None, seed: int | None = None
) -> tuple[Floats, Floats]:
    """The noisy mean and standard deviation of each column, where its bounds are -1 and 1.

    Args:
        account: What is spent from.
        rows: (records, columns).
        bounds: Of each column.
        epsilon: What it may cost; None for all that is left.
        seed: For tests: with it nothing is private.

    Returns:
        Means and deviations, one for each column; a deviation is at least 0.01.

    Raises:
        BudgetError: the budget does not allow it.
    """
    values = bounds.scaled(rows)
    norm = math.sqrt(2 * values.shape[1])
    noise = account.noise_for(sampling_rate=1.0, steps=1, epsilon=epsilon)
    if noise is None:
        limit = account.budget.epsilon if epsilon is None else epsilon
        raise BudgetError(f"epsilon {limit:.4g} is too small for means, no noise suffices")
    account.spend(
        Use(
            purpose="mean and scale",
            mechanism="Gaussian noise on sums of values and squares within stated bounds",
            guarantee=SampledGaussian(noise),
            parameters={"norm": norm, "columns": values.shape[1]},
        )
    )
    account.take_as_public(f"{len(values)} records had their mean and scale taken")
    sums = noisy(
        _sum(np.hstack([values, np.square(values)])),
        reach=reach(norm, len(values)),
        noise_multiplier=noise,
        randomness=randomness_of(account, seed),
    )
    mean, square = np.split(sums / max(1, len(values)), 2)
    mean = mean.clip(-1.0, 1.0)
    return mean, np.sqrt(np.maximum(square - mean**2, _LEAST_VARIANCE).clip(max=1.0))


def private_quantiles(  # noqa: PLR0913 - said once for each column
    account: Account,
    values: Any,
    shares: Sequence[float],
    *,
    bounds: tuple[float, float],
    epsilon: float,
    seed: int | None = None,
) -> list[float]:
    """Noisy quantiles of one column; each costs an equal part of `epsilon`.

    Args:
        account: What is spent from.
        values: Of the column; missing ones are left out.
        shares: Which quantiles, each from 0 to 1.
        bounds: The least and the most a value can be.
        epsilon: What all of them may cost.
        seed: For tests: with it nothing is private.

    Returns:
        One place between the bounds for each share, in the order of the shares.

    Raises:
        BudgetError: the budget does not allow it.
    """
    account.take_as_public("bounds of a column, as stated")
    return quantiles_between(
        account, values, shares, bounds=bounds, epsilon=epsilon, purpose="quantile", seed=seed
    )


def quantiles_between(  # noqa: PLR0913 - said once for each column
    account: Account,
    values: Any,
    shares: Sequence[float],
    *,
    bounds: tuple[float, float],
    epsilon: float,
    purpose: str,
    seed: int | None = None,
) -> list[float]:
    """Noisy quantiles between bounds that need not be public, since they were found with noise."""
    low, high = bounds
    checked = Bounds([low], [high])
    known = np.asarray(values, np.float64)
    ordered = np.sort(known[~np.isnan(known)].clip(low, high))
    places = np.linspace(checked.lower[0], checked.upper[0], _PLACES)
    below = np.searchsorted(ordered, places)
    chosen = [
        # A record changes a rank by 0 or 1 and its share by less than 1, so a score by at most 1.
        choose_privately(
            account,
            -np.abs(below - share * len(ordered)),
            epsilon=epsilon / len(shares),
            sensitivity=1.0,
            purpose=purpose,
            seed=None if seed is None else seed + number,
        )
        for number, share in enumerate(shares)
    ]
    return [float(places[place]) for place in chosen]


def private_vocabulary(  # noqa: PLR0913 - each changes what is promised
    account: Account,
    words: Iterable[Iterable[str]],
    *,
    epsilon: float,
    delta: float,
    most_of_a_record: int = 10,
    purpose: str = "vocabulary",
    seed: int | None = None,
) -> list[str]:
    """The words that many records have.

    Args:
        account: What is spent from.
        words: Those of each record; its first `most_of_a_record` different ones count.
        epsilon: What it may cost.
        delta: The chance that a word of a single record is told; part of the budget's delta.
        most_of_a_record: How many words of one record count.
        purpose: What for, in the record of what was spent.
        seed: For tests: with it nothing is private.

    Returns:
        The words, sorted.

    Raises:
        BudgetError: the budget does not allow it.
    """
    account.spend(
        Use(
            purpose=purpose,
            mechanism="Laplace noise on counts of words, told above a threshold",
            guarantee=Bounded(epsilon, delta),
            parameters={"most_of_a_record": most_of_a_record},
        )
    )
    counts = Counter(
        word for each in words for word in islice(dict.fromkeys(each), most_of_a_record)
    )
    names = sorted(counts)
    scale = most_of_a_record / epsilon
    threshold = 1 + scale * math.log(most_of_a_record / (2 * delta))
    noise = _laplaces(len(names), randomness_of(account, seed)) * scale
    totals = np.asarray([counts[name] for name in names]) + noise
    return [name for name, total in zip(names, totals, strict=True) if total > threshold]


def _sum(values: Floats) -> Floats:
    """The sum of each column, rounded no more than `reach` allows for."""
    starts = range(0, len(values), MOST_ROWS)
    parts = [values[start : start + MOST_ROWS].sum(axis=0) for start in starts]
    return np.asarray([math.fsum(column) for column in zip(*parts, strict=True)], np.float64)


def _laplaces(count: int, randomness: Randomness) -> Floats:
    """Standard Laplace numbers: the difference of two exponential ones."""
    return np.log(uniforms(count, randomness)) - np.log(uniforms(count, randomness))
