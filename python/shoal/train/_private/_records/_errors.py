"""How good a private model of numbers is, from two histograms with noise.

- One is of errors, in bins that are a quarter of the error wide; one of truths, for R2 alone.
  Answers and truths count as moved to the stated bounds.
- A mean of errors is between normal ends around what the counts say as they came, since noise does
  not shift it; the value itself is of counts that can be, and the ends hold it.
- Of R2 the records and the noise are simulated, see `_measured`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING, Final

import numpy as np

from shoal.evaluate import Evaluation, Interval, Metric, Regression, Settings
from shoal.train._private._counts import noise_variance, private_counts, settled
from shoal.train._private._records._measured import (
    SETTLED,
    SIMULATED,
    interval_of,
    notes_of,
    redrawn,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from shoal.train._private._account import Account
    from shoal.train._private._randomness import Floats

    Integers = NDArray[np.int64]

ERROR_BINS: Final = 24
"""On each side of 0."""
BINS_OF_A_HALF: Final = 3
"""An error is half as large so many bins nearer to 0."""
TRUTH_BINS: Final = 32
_ERRORS: Final = 0.75
"""What the histogram of errors may spend; that of truths has the rest."""
_CONSTANT: Final = TRUTH_BINS**-2.0


def of_numbers(
    account: Account,
    truth: Floats,
    answers: Floats,
    bounds: tuple[float, float],
    *,
    seed: int | None = None,
) -> Evaluation:
    """Measures answered numbers, for all that is left of an account.

    Args:
        account: Of the records that are measured.
        truth: (records,) numbers.
        answers: (records,) numbers.
        bounds: The least and the most a number can be, as stated.
        seed: For tests: with it nothing is private.

    Raises:
        BudgetError: nothing is left.
    """
    low, high = bounds
    places = (truth.clip(low, high) - low) / (high - low)
    error = (answers.clip(low, high) - truth.clip(low, high)) / (high - low)
    epsilon = _ERRORS * account.budget.epsilon
    bins = _error_bins(error)
    errors = _counted(account, "errors", bins, 2 * ERROR_BINS + 1, epsilon=epsilon, seed=seed)
    cells = (places * TRUTH_BINS).astype(np.int64).clip(max=TRUTH_BINS - 1)
    truths = _counted(account, "truths", cells, TRUTH_BINS, epsilon=None, seed=seed)
    return Evaluation(
        task=Regression(),
        settings=Settings(),
        records=len(truth),
        metrics=_metrics(errors, truths, high - low),
        notes=notes_of(len(truth), math.sqrt(noise_variance(errors.epsilon)) * len(errors.counts)),
        method={
            "Intervals": f"{Settings().confidence:.0%}: normal, of the records drawn and of the "
            f"noise; of R\N{SUPERSCRIPT TWO} {SIMULATED}",
            "Noise": "discrete Laplace on each count of two histograms: of "
            f"{len(errors.counts)} bins of errors (epsilon {errors.epsilon:.4g}), and of "
            f"{len(truths.counts)} bins of truths (epsilon {truths.epsilon:.4g})",
            "Counts below 0": SETTLED,
            "Bounds": f"answers and truths count as moved to {low:g} to {high:g}, as stated; an "
            "error is known to within a bin, a quarter of it",
        },
    )


@dataclass(frozen=True)
class _Histogram:
    """Counts with noise, as they came and as they can be."""

    counts: Integers
    epsilon: float
    settled: Floats
    records: int

    def mean(self, weights: Floats) -> float:
        """The mean of what records weigh, by their bin."""
        return float(self.settled @ weights / self.records)

    def ends(self, weights: Floats) -> tuple[float, float]:
        """Between which numbers it lies, as they say."""
        value = self.mean(weights)
        of_records = max(0.0, self.mean(weights**2) - value**2) / self.records
        of_noise = noise_variance(self.epsilon) * float(weights @ weights) / self.records**2
        factor = NormalDist().inv_cdf((1 + Settings().confidence) / 2)
        width = factor * math.sqrt(of_records + of_noise)
        found = float(self.counts @ weights / self.records)
        return min(value, found - width), max(value, found + width)

    def redrawn(self, generator: np.random.Generator) -> Floats:
        """(replicates, bins) counts as they might have come."""
        return redrawn(self.settled, self.records, self.epsilon, Settings().replicates, generator)


def _counted(  # noqa: PLR0913 - said twice, once for each histogram
    account: Account,
    name: str,
    bins: Integers,
    size: int,
    *,
    epsilon: float | None,
    seed: int | None,
) -> _Histogram:
    exact = np.bincount(bins, minlength=size)
    counts, cost = private_counts(
        account, exact, epsilon=epsilon, purpose=f"histogram of {name}", seed=seed
    )
    return _Histogram(counts, cost, settled(counts, len(bins)), len(bins))


def _error_bins(error: Floats) -> Integers:
    """The bin of each error from -1 to 1: the smaller, the narrower; those near 0 in the middle."""
    with np.errstate(divide="ignore"):
        steps = np.floor(-BINS_OF_A_HALF * np.log2(np.abs(error)))
    distance = np.maximum(ERROR_BINS - steps, 0).astype(np.int64)
    bins: Integers = ERROR_BINS + np.sign(error).astype(np.int64) * distance
    return bins


def _mean_powers() -> tuple[Floats, Floats]:
    """(bins,) the mean error of each bin, with its sign, and the mean of its square."""
    ends = 2.0 ** (-np.arange(ERROR_BINS, -1, -1) / BINS_OF_A_HALF)
    low, high = np.array([0.0, *ends[:-1]]), ends
    sizes, squares = (low + high) / 2, (low**2 + low * high + high**2) / 3
    signed = np.array([*-sizes[:0:-1], 0.0, *sizes[1:]])
    return signed, np.array([*squares[:0:-1], *squares])


def _metrics(errors: _Histogram, truths: _Histogram, unit: float) -> tuple[Metric, ...]:
    """All metrics; errors are in parts of a unit."""
    signed, squares = _mean_powers()
    sizes = np.abs(signed)
    sizes[ERROR_BINS] = 2.0 ** (-ERROR_BINS / BINS_OF_A_HALF) / 2
    square, (low, high) = errors.mean(squares), errors.ends(squares)
    rooted = Metric(
        name="root_mean_squared_error",
        value=unit * math.sqrt(square),
        bounds=Interval(unit * math.sqrt(max(0.0, low)), unit * math.sqrt(high)),
        better="lower",
    )
    return (
        _mean(errors, "mean_absolute_error", unit * sizes),
        _mean(errors, "mean_squared_error", unit**2 * squares),
        rooted,
        _r2(errors, truths, squares),
        _mean(errors, "bias", unit * signed),
    )


def _mean(errors: _Histogram, name: str, weights: Floats) -> Metric:
    low, high = errors.ends(weights)
    is_signed = name == "bias"
    return Metric(
        name=name,
        value=errors.mean(weights),
        bounds=Interval(low if is_signed else max(0.0, low), high),
        better="zero" if is_signed else "lower",
    )


def _r2(errors: _Histogram, truths: _Histogram, squares: Floats) -> Metric:
    """Of both histograms, as if errors and truths were drawn apart."""
    generator = np.random.default_rng(Settings().seed)
    drawn_errors, drawn_truths = errors.redrawn(generator), truths.redrawn(generator)
    spreads = _spread(np.vstack([truths.settled, drawn_truths]))
    if spreads.min() <= _CONSTANT:
        note = "the truth varies too little beside the noise"
        return Metric(name="r2", value=None, note=note)
    both = np.vstack([errors.settled, drawn_errors]) @ squares / errors.records
    shares = 1 - both / spreads
    bounds = interval_of(float(shares[0]), shares[1:], -math.inf, 1.0)
    return Metric(name="r2", value=float(shares[0]), bounds=bounds)


def _spread(truths: Floats) -> Floats:
    """(groups,) the variance of truths, in parts of their bounds."""
    places = (np.arange(TRUTH_BINS) + 0.5) / TRUTH_BINS
    records = truths.sum(axis=1)
    spread: Floats = truths @ places**2 / records - (truths @ places / records) ** 2
    return spread
