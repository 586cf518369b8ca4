"""How good a private model of classes is, from counts with noise only.

- All metrics are computed from the confusion matrix of records that nothing was learned from, each
  of its counts with noise. Of numbers see `_errors`.
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
    Settings,
)
from shoal.train._private._counts import laplaces, noise_variance, private_counts, settled

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
SIMULATED: Final = (
    f"{Settings().replicates} simulations of drawing the records anew and of adding the noise "
    f"anew; {Settings().confidence:.0%}"
)
SETTLED: Final = "moved, with all others, to the nearest that can be"
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
        notes=notes_of(records, math.sqrt(noise_variance(epsilon)) * size**2),
        method={
            "Intervals": SIMULATED,
            "Noise": "discrete Laplace on each count of the confusion matrix, "
            f"epsilon {epsilon:.4g}",
            "Counts below 0": SETTLED,
            "Averages over labels": "macro: each label alike; weighted: by its records",
        },
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
        parts.append(_values(redrawn(matrix, records, epsilon, count, generator), task))
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def redrawn(
    counts: Floats, records: int, epsilon: float, draws: int, generator: np.random.Generator
) -> Floats:
    """(draws, cells) counts as they might have come and been settled, had they been these."""
    drawn = generator.multinomial(records, counts / counts.sum(), draws)
    return settled(drawn + laplaces(epsilon, drawn.shape, generator), records)


def _of_label(task: Classification, place: int, found: Values, drawn: Values) -> LabelMetrics:
    metrics = tuple(
        _metric(name, found[name][:, place], drawn[name][:, place]) for name in BY_LABEL
    )
    return LabelMetrics(task.labels[place], float(found["support"][0, place]), metrics)


def _metric(name: str, value: Floats, drawn: Floats) -> Metric:
    least, found = -1.0 if name in _SIGNED else 0.0, float(value[0])
    return Metric(name=name, value=found, bounds=interval_of(found, drawn, least, 1.0))


def interval_of(value: float, drawn: Floats, least: float, most: float) -> Interval:
    """Holds the percentiles of what was drawn and their mirror image at the value."""
    tail = (1 - Settings().confidence) / 2
    low, high = np.quantile(drawn, [tail, 1 - tail]).tolist()
    return Interval(max(least, min(low, 2 * value - high)), min(most, max(high, 2 * value - low)))


def notes_of(records: int, noise: float) -> tuple[str, ...]:
    """Says how it was measured, and where noise is large beside the records."""
    if noise < _LOUD * records:
        return (_UNSEEN, _UNMEASURED)
    loud = f"{records} records are few beside the noise: metrics lean towards chance."
    return (_UNSEEN, _UNMEASURED, loud)
