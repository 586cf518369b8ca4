"""How good a private model is, from statistics with noise only.

- Classes: the confusion matrix of records that nothing was learned from, each of its counts with
  noise. All metrics are computed from it.
- Numbers: a histogram of errors, in bins that are a quarter of the error wide, and one of truths;
  answers and truths count as moved to the stated bounds.
- Intervals allow for the records that happened to be drawn and for the noise: both are simulated.
  An interval holds the percentiles and their mirror image at the value; where the noise is as large
  as the counts it is wide.
- Rankings, calibration and slices are not measured: each would cost more of the budget.

Source of the intervals: B. Efron, R. Tibshirani, "An Introduction to the Bootstrap", chapters 6
and 13.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from shoal.batch import classification_of
from shoal.evaluate import (
    Classification,
    Evaluation,
    Interval,
    LabelMetrics,
    Metric,
    Regression,
    Settings,
)
from shoal.train._private._counts import laplaces, private_counts, settled

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from shoal.train._private._account import Account
    from shoal.train._private._randomness import Floats

    Integers = NDArray[np.int64]
    Values = dict[str, Floats]

SINGLE: Final = ("accuracy", "balanced_accuracy", "matthews_correlation")
AVERAGED: Final = ("macro_precision", "macro_recall", "macro_f1")
WEIGHTED: Final = ("weighted_precision", "weighted_recall", "weighted_f1")
BY_LABEL: Final = ("precision", "recall", "f1")
ORDER: Final = (
    *("accuracy", "balanced_accuracy", *BY_LABEL, "matthews_correlation"),
    *(*AVERAGED, *WEIGHTED),
)
_SIGNED: Final = frozenset({"matthews_correlation"})
_LOUD: Final = 0.25
"""From which share of the records on the noise of all counts is worth a note."""
_CELLS: Final = 1 << 20
_ERRORS_OF_SIZE: Final = frozenset(
    {"mean_absolute_error", "mean_squared_error", "root_mean_squared_error"}
)
ERROR_BINS: Final = 24
"""On each side of 0."""
BINS_OF_A_HALF: Final = 3
"""An error is half as large so many bins nearer to 0."""
TRUTH_BINS: Final = 32
_ERRORS: Final = 0.75
"""What the histogram of errors may spend; that of truths, for R2 alone, has the rest."""
_CONSTANT: Final = TRUTH_BINS**-2.0
_SIMULATED: Final = (
    f"{Settings().replicates} simulations of drawing the records anew and of adding the noise "
    f"anew; {Settings().confidence:.0%}"
)
_SETTLED: Final = "moved, with all others, to the nearest that can be"
_UNSEEN: Final = (
    "Measured on records that nothing was learned from and nothing was chosen on; every number "
    "comes from counts or sums with noise."
)
_UNMEASURED: Final = (
    "ROC-AUC, calibration and slices are not measured: each would cost more of the budget."
)


def of_classes(
    account: Account,
    truth: NDArray[Any],
    answers: NDArray[Any],
    task: Classification,
    *,
    seed: int | None = None,
) -> Evaluation:
    """Measures answered classes, for all that is left of an account.

    Args:
        account: Of the records that are measured.
        truth: (records,) classes.
        answers: (records,) classes.
        task: All classes, sorted.
        seed: For tests: with it nothing is private.

    Raises:
        BudgetError: nothing is left.
    """
    labels = np.asarray(task.labels)
    size, records = len(labels), len(truth)
    cells = np.searchsorted(labels, truth) * size + np.searchsorted(labels, answers)
    exact = np.bincount(cells, minlength=size**2)
    counts, epsilon = private_counts(account, exact, purpose="confusion matrix", seed=seed)
    matrix = settled(counts, records)
    found = _values(matrix[None], task)
    drawn = _simulated(matrix, records, epsilon, task)
    metrics = {
        name: _metric(name, values[:, 0], drawn[name][:, 0])
        for name, values in found.items()
        if name in ORDER and name not in BY_LABEL
    }
    by_label = tuple(_of_label(task, place, found, drawn) for place in range(size))
    if task.is_binary:
        positive = by_label[task.positive_place].metrics
        metrics |= {metric.name: metric for metric in positive}
    return Evaluation(
        task=task,
        settings=Settings(),
        records=records,
        metrics=tuple(metrics[name] for name in ORDER if name in metrics),
        by_label=by_label,
        confusion=tuple(map(tuple, matrix.reshape(size, size).tolist())),
        notes=_notes(records, math.sqrt(2) / epsilon * size**2),
        method={
            "Intervals": _SIMULATED,
            "Noise": "discrete Laplace on each count of the confusion matrix, "
            f"epsilon {epsilon:.4g}",
            "Counts below 0": _SETTLED,
            "Averages over labels": "macro: each label alike; weighted: by its records",
        },
    )


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
    moved, records = truth.clip(low, high), len(truth)
    error = (answers.clip(low, high) - moved) / (high - low)
    errors, cost = private_counts(
        account,
        np.bincount(_error_bins(error), minlength=2 * ERROR_BINS + 1),
        epsilon=_ERRORS * account.budget.epsilon,
        purpose="histogram of errors",
        seed=seed,
    )
    places = ((moved - low) / (high - low) * TRUTH_BINS).astype(np.int64)
    truths, rest = private_counts(
        account,
        np.bincount(places.clip(max=TRUTH_BINS - 1), minlength=TRUTH_BINS),
        purpose="histogram of truths",
        seed=seed,
    )
    counted = (settled(errors, records), settled(truths, records))
    found = _of_errors(counted[0][None], counted[1][None], high - low)
    generator = np.random.default_rng(Settings().seed)
    drawn = _of_errors(
        _redrawn(counted[0], records, cost, Settings().replicates, generator),
        _redrawn(counted[1], records, rest, Settings().replicates, generator),
        high - low,
    )
    return Evaluation(
        task=Regression(),
        settings=Settings(),
        records=records,
        metrics=tuple(_of_number(name, found[name], drawn[name]) for name in found),
        notes=_notes(records, math.sqrt(2) / cost * len(errors)),
        method={
            "Intervals": _SIMULATED,
            "Noise": f"discrete Laplace on each count of a histogram of {len(errors)} errors "
            f"(epsilon {cost:.4g}) and of one of {len(truths)} truths (epsilon {rest:.4g})",
            "Counts below 0": _SETTLED,
            "Bounds": f"answers and truths count as moved to {low:g} to {high:g}, as stated; "
            f"an error is known to within a bin, a quarter of it",
        },
    )


def _error_bins(error: Floats) -> Integers:
    """The bin of each error from -1 to 1: the smaller, the narrower; those near 0 in the middle."""
    with np.errstate(divide="ignore"):
        steps = np.floor(-BINS_OF_A_HALF * np.log2(np.abs(error)))
    distance = np.maximum(ERROR_BINS - steps, 0).astype(np.int64)
    bins: Integers = ERROR_BINS + np.sign(error).astype(np.int64) * distance
    return bins


def _error_ends() -> Floats:
    """(2, bins) between which errors, without their sign, a bin lies, from near 0 up."""
    ends = 2.0 ** (-np.arange(ERROR_BINS, -1, -1) / BINS_OF_A_HALF)
    return np.array([[0.0, *ends[:-1]], ends])


def _of_errors(errors: Floats, truths: Floats, unit: float) -> Values:
    """(groups,) of each metric, from (groups, bins) counts; NaN where it is not defined."""
    low, high = _error_ends()
    sizes, squares = (low + high) / 2, (low**2 + low * high + high**2) / 3
    below, above = errors[:, ERROR_BINS::-1], errors[:, ERROR_BINS:]
    both = below + above
    both[:, 0] = errors[:, ERROR_BINS]
    sizes_signed = np.array([0.0, *sizes[1:]])
    records = errors.sum(axis=1)
    places = (np.arange(TRUTH_BINS) + 0.5) / TRUTH_BINS
    spread = truths @ places**2 / records - (truths @ places / records) ** 2
    square = both @ squares / records
    undefined = np.full_like(spread, np.nan)
    return {
        "mean_absolute_error": unit * (both @ sizes) / records,
        "mean_squared_error": unit**2 * square,
        "root_mean_squared_error": unit * np.sqrt(square),
        "r2": 1 - np.divide(square, spread, out=undefined, where=spread > _CONSTANT),
        "bias": unit * ((above - below) @ sizes_signed) / records,
    }


def _of_number(name: str, found: Floats, drawn: Floats) -> Metric:
    if not np.isfinite(found[0]) or not np.isfinite(drawn).all():
        return Metric(name=name, value=None, note="the truth varies too little beside the noise")
    most = 1.0 if name == "r2" else math.inf
    least = 0.0 if name in _ERRORS_OF_SIZE else -math.inf
    return Metric(
        name=name,
        value=float(found[0]),
        bounds=_interval(found, drawn, least, most),
        better="lower" if name in _ERRORS_OF_SIZE else "zero" if name == "bias" else "higher",
    )


def _values(matrices: Floats, task: Classification) -> Values:
    """(groups, 1) or (groups, labels) of each metric; `support` are the records of each label."""
    size = len(task.labels)
    found = classification_of(matrices.reshape(-1, size, size))
    due = [*SINGLE, *BY_LABEL, "support", *(() if task.is_binary else (*AVERAGED, *WEIGHTED))]
    return {name: found[name].reshape(len(matrices), -1) for name in due}


def _simulated(matrix: Floats, records: int, epsilon: float, task: Classification) -> Values:
    """The metrics of records drawn anew, with noise drawn anew."""
    generator = np.random.default_rng(Settings().seed)
    size = max(1, _CELLS // len(matrix))
    parts = []
    for start in range(0, Settings().replicates, size):
        count = min(size, Settings().replicates - start)
        parts.append(_values(_redrawn(matrix, records, epsilon, count, generator), task))
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _redrawn(
    counts: Floats, records: int, epsilon: float, draws: int, generator: np.random.Generator
) -> Floats:
    """(draws, cells) counts as they might have come, had they truly been these."""
    drawn = generator.multinomial(records, counts / counts.sum(), draws)
    return settled(drawn + laplaces(epsilon, drawn.shape, generator), records)


def _of_label(task: Classification, place: int, found: Values, drawn: Values) -> LabelMetrics:
    metrics = tuple(
        _metric(name, found[name][:, place], drawn[name][:, place]) for name in BY_LABEL
    )
    return LabelMetrics(task.labels[place], float(found["support"][0, place]), metrics)


def _metric(name: str, value: Floats, drawn: Floats) -> Metric:
    least = -1.0 if name in _SIGNED else 0.0
    return Metric(name=name, value=float(value[0]), bounds=_interval(value, drawn, least, 1.0))


def _interval(value: Floats, drawn: Floats, least: float, most: float) -> Interval:
    """Holds the percentiles of what was drawn and their mirror image at the value."""
    found, tail = float(value[0]), (1 - Settings().confidence) / 2
    low, high = np.quantile(drawn, [tail, 1 - tail]).tolist()
    return Interval(max(least, min(low, 2 * found - high)), min(most, max(high, 2 * found - low)))


def _notes(records: int, noise: float) -> tuple[str, ...]:
    if noise < _LOUD * records:
        return (_UNSEEN, _UNMEASURED)
    loud = f"{records} records are few beside the noise: metrics lean towards chance."
    return (_UNSEEN, _UNMEASURED, loud)
