"""Metrics as functions of weights: of all records at once, and of many replicates.

- A replicate is a weight per record: `(replicates, records)` weights give each metric as
  `(replicates,)` numbers, or `(replicates, labels)` of a metric by label. NaN: not defined.
- Metrics of labels are those of `shoal.batch.classification`, of matrices that are weighted here.
- What a metric of all records lacks, or was given by convention, is said in words by `notes`.

Source: scikit-learn, "Metrics and scoring"; G. Brier, "Verification of forecasts expressed in terms
of probability" (for two labels its half, the square of one probability's error, as scikit-learn).
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Final

import numpy as np

from shoal.batch import classification_of
from shoal.evaluate._ranking import Steps
from shoal.evaluate._rows import LabelRows

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from shoal.evaluate._rows import NumberRows, Rows
    from shoal.evaluate._task import Better, Settings

    Floats = NDArray[np.float64]
    Integers = NDArray[np.int64]
    Values = dict[str, Floats]

# A probability of 0 would make one wrong record cost infinitely much.
NEAREST_TO_CERTAIN: Final = float(np.finfo(np.float64).eps)
LOWER_IS_BETTER: Final = frozenset(
    {
        "log_loss",
        "brier_score",
        "expected_calibration_error",
        "mean_absolute_error",
        "median_absolute_error",
        "mean_squared_error",
        "root_mean_squared_error",
    }
)
# As a reader looks for them.
ORDER: Final = (
    *("accuracy", "balanced_accuracy", "precision", "recall", "f1", "roc_auc"),
    *("average_precision", "log_loss", "brier_score", "expected_calibration_error"),
    *("matthews_correlation", "macro_precision", "macro_recall", "macro_f1"),
    *("weighted_precision", "weighted_recall", "weighted_f1"),
)
BY_LABEL: Final = ("precision", "recall", "f1", "roc_auc", "average_precision")
RANKED: Final = ("roc_auc", "average_precision")
PROBABLE: Final = ("log_loss", "brier_score", "expected_calibration_error")


class LabelMeasures:
    """Metrics of a classifier."""

    def __init__(self, rows: LabelRows, settings: Settings) -> None:
        self.rows = rows
        self.bins = settings.bins
        self.size = len(rows.task.labels)

    @property
    def width(self) -> int:
        """How many numbers a replicate needs at a time."""
        return len(self.rows.truth) + self.size**2

    def values(self, weights: Floats) -> tuple[Values, Values]:
        """Gives the metrics of all records, and those by label."""
        found = classification_of(self.matrices(weights))
        support = found.pop("support")
        by_label = {name: values for name, values in found.items() if values.ndim > 1}
        single: Values = {n: values for n, values in found.items() if values.ndim == 1}
        if self.rows.scores is not None:
            by_label |= self._areas(weights)
        if self.rows.task.is_binary:
            place = self.rows.task.positive_place
            single |= {name: values[:, place] for name, values in by_label.items()}
        else:
            named = {name: by_label[name] for name in RANKED if name in by_label}
            single |= {name: values.mean(axis=1) for name, values in named.items()}
        if self.rows.scores is not None and self.rows.are_probabilities:
            single |= self._losses(weights)
        return single, by_label | {"support": support}

    def matrices(self, weights: Floats) -> Floats:
        """Gives the confusion matrix of each replicate."""
        cells = self.rows.truth * self.size + self.rows.answer
        return sums_by(cells, weights, self.size**2).reshape(-1, self.size, self.size)

    def notes(self) -> dict[str, str]:
        """Says of metrics of all records what they lack, or what was agreed on."""
        labels = self.rows.task.labels
        notes: dict[str, str] = {}
        absent = [labels[place] for place in self._without_weight(self.rows.truth)]
        unanswered = [labels[place] for place in self._without_weight(self.rows.answer)]
        if unanswered:
            said = f"no record was answered as {_listed(unanswered)}: precision counts as 0 there"
            notes |= dict.fromkeys(("precision", "macro_precision", "weighted_precision"), said)
        if absent:
            said = f"no record is truly {_listed(absent)}: recall counts as 0 there"
            notes |= dict.fromkeys(("recall", "macro_recall", "macro_f1"), said)
            notes["balanced_accuracy"] = f"of the labels that occur, without {_listed(absent)}"
        if absent or self._one_answer():
            notes |= self._notes_of_one_kind(absent)
        if self.rows.scores is None:
            notes |= dict.fromkeys(RANKED, "the answers hold no probabilities or scores")
        if not self.rows.are_probabilities:
            notes |= dict.fromkeys(PROBABLE, "the answers hold no probabilities")
        return notes

    def label_note(self, name: str, place: int) -> str | None:
        """Says what a metric of one label lacks, or what was agreed on."""
        if name == "precision" and place in self._without_weight(self.rows.answer):
            return "never answered: counts as 0"
        is_absent = place in self._without_weight(self.rows.truth)
        if is_absent:
            return "never occurs" if name in RANKED else "never occurs: counts as 0"
        is_all = len(self._without_weight(self.rows.truth)) == self.size - 1
        return "no other label occurs" if name == "roc_auc" and is_all else None

    def steps(self, place: int) -> Steps:
        """Gives the records in the order of a label's scores."""
        return self._steps[place]

    @cached_property
    def confidence(self) -> tuple[Floats, Floats]:
        """Gives a probability per record, and whether what it is of came true.

        Of two labels the positive one's, of more that of the most probable label.
        """
        scores, truth = self._scores, self.rows.truth
        if self.rows.task.is_binary:
            place = self.rows.task.positive_place
            return scores[:, place], (truth == place).astype(np.float64)
        return scores.max(axis=1), (scores.argmax(axis=1) == truth).astype(np.float64)

    @cached_property
    def cells(self) -> Integers:
        """Gives the bin of each record's probability."""
        edges = np.arange(1, self.bins) / self.bins
        return np.searchsorted(edges, self.confidence[0], side="right").astype(np.int64)

    @property
    def _scores(self) -> Floats:
        return np.zeros((0, self.size)) if self.rows.scores is None else self.rows.scores

    @cached_property
    def _steps(self) -> list[Steps]:
        places = range(self.size)
        return [Steps.of(self.rows.truth == place, self._scores[:, place]) for place in places]

    @cached_property
    def _costs(self) -> Values:
        """Gives what each record costs, by loss."""
        scores, truth = self._scores, self.rows.truth
        given = scores[np.arange(len(truth)), truth]
        clipped = np.clip(given, NEAREST_TO_CERTAIN, 1 - NEAREST_TO_CERTAIN)
        square = (scores**2).sum(axis=1) - 2 * given + 1
        half = 2 if self.rows.task.is_binary else 1
        return {"log_loss": -np.log(clipped), "brier_score": square / half}

    def _areas(self, weights: Floats) -> Values:
        pairs = [steps.areas(weights) for steps in self._steps]
        return {
            name: np.stack([pair[side] for pair in pairs], axis=1)
            for side, name in enumerate(RANKED)
        }

    def _losses(self, weights: Floats) -> Values:
        total = weights.sum(axis=1)
        losses = {name: weights @ cost / total for name, cost in self._costs.items()}
        probability, true = self.confidence
        gaps = sums_by(self.cells, weights * (probability - true), self.bins)
        return losses | {"expected_calibration_error": np.abs(gaps).sum(axis=1) / total}

    def _without_weight(self, places: Integers) -> list[int]:
        found = np.bincount(places, self.rows.weights, self.size)
        return np.flatnonzero(found == 0).tolist()

    def _one_answer(self) -> bool:
        return len(self._without_weight(self.rows.answer)) == self.size - 1

    def _notes_of_one_kind(self, absent: Sequence[object]) -> dict[str, str]:
        notes = {}
        if self._one_answer() or len(absent) == self.size - 1:
            notes["matthews_correlation"] = "truth or answer is always the same: counts as 0"
        if absent:
            notes["roc_auc"] = f"no record is truly {_listed(absent)}"
        positive = self.rows.task.labels[self.rows.task.positive_place]
        if not self.rows.task.is_binary or positive in absent:
            notes |= {"average_precision": notes["roc_auc"]} if absent else {}
        return notes


class NumberMeasures:
    """Metrics of a regressor."""

    def __init__(self, rows: NumberRows) -> None:
        self.rows = rows
        self.error = rows.answer - rows.truth
        size = np.abs(self.error)
        self._order = np.argsort(size)
        self._sizes = size[self._order]
        # Of truths near their mean, so that the variance below keeps its digits.
        self._centred = rows.truth - np.average(rows.truth, weights=rows.weights)

    @property
    def width(self) -> int:
        """How many numbers a replicate needs at a time."""
        return len(self.rows.truth)

    def values(self, weights: Floats) -> tuple[Values, Values]:
        """Gives the metrics of all records; there are none by label."""
        total = weights.sum(axis=1)
        square = weights @ self.error**2
        mean = weights @ self._centred / total
        spread = np.maximum(weights @ self._centred**2 - total * mean**2, 0.0)
        is_varied = spread > np.finfo(np.float64).eps * (weights @ self._centred**2)
        undefined = np.full_like(spread, np.nan)
        single = {
            "mean_absolute_error": weights @ np.abs(self.error) / total,
            "median_absolute_error": self._median(weights),
            "mean_squared_error": square / total,
            "root_mean_squared_error": np.sqrt(square / total),
            "r2": 1 - np.divide(square, spread, out=undefined, where=is_varied),
            "bias": weights @ self.error / total,
        }
        return single, {}

    def notes(self) -> dict[str, str]:
        """Says of metrics of all records what they lack."""
        truth = self.rows.truth[self.rows.weights > 0]
        return {"r2": "the truth is always the same"} if (truth == truth[0]).all() else {}

    def _median(self, weights: Floats) -> Floats:
        """Gives the weighted median, the middle of two where it falls between them."""
        reached = np.cumsum(weights[:, self._order], axis=1)
        half = reached[:, -1:] / 2
        slack = half * 1e-12  # sums of weights are rounded
        low = (reached >= half - slack).argmax(axis=1)
        high = (reached > half + slack).argmax(axis=1)
        medians: Floats = (self._sizes[low] + self._sizes[high]) / 2
        return medians


Measures = LabelMeasures | NumberMeasures


def measures_of(rows: Rows, settings: Settings) -> Measures:
    """Gives the metrics that fit the records."""
    if isinstance(rows, LabelRows):
        return LabelMeasures(rows, settings)
    return NumberMeasures(rows)


def better_of(name: str) -> Better:
    """Says which way a metric is better."""
    if name == "bias":
        return "zero"
    return "lower" if name in LOWER_IS_BETTER else "higher"


def sums_by(cells: Integers, weights: Floats, count: int) -> Floats:
    """Adds up `(replicates, records)` weights by cell: `(replicates, count)`."""
    replicates = len(weights)
    places = (np.arange(replicates)[:, None] * count + cells).ravel()
    sums: Floats = np.bincount(places, weights.ravel(), replicates * count).astype(np.float64)
    return sums.reshape(replicates, count)


def _listed(labels: Sequence[object]) -> str:
    return ", ".join(map(repr, labels))
