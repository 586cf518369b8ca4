"""How good a classifier is: from counts of pairs, or from exact sums of the error of each record.

- Every answer is a formula of counts or of exact sums, so it is the same under any cut.
- A share of nothing is 0, as scikit-learn has it: the precision of a label that was never
  predicted, the recall of one that never occurred. Balanced accuracy averages over the labels that
  occurred. Of no record at all, every answer is null.
- Records of other labels are counted in `other` and are part of no metric.

Source: scikit-learn, "Metrics and scoring", section 3.4.4; B. Matthews, "Comparison of the
predicted and observed secondary structure of T4 phage lysozyme" (the correlation, there for two
classes; J. Gorodkin, "Comparing two K-category assignments by a K-category correlation
coefficient", for any number).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np
import pyarrow as pa

from shoal.batch._merges._columns import checked_type, is_number, numbers, present, table_of
from shoal.batch._merges._sums import FLOAT_EXACTNESS, Mean, summed, summed_products
from shoal.errors import InvalidRequestError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from shoal.batch._merges._contract import Exactness, Merge
    from shoal.batch._merges._tallies import ConfusionMatrix

    Floats = NDArray[np.float64]
    Integers = NDArray[np.int64]

# A probability of 0 or 1 would make one wrong record cost infinitely much.
NEAREST_TO_CERTAIN: Final = float(np.finfo(np.float64).eps)


@dataclass(frozen=True)
class Classification:
    """Metrics of predicted labels, as one struct; see `metrics_of` for its fields."""

    name: str
    matrix: ConfusionMatrix

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns compared."""
        return self.matrix.columns

    @property
    def state(self) -> pa.Schema:
        """Counts of pairs."""
        return self.matrix.state

    @property
    def exactness(self) -> Exactness:
        """Within 1e-12: the counts are exact, what is made of them is rounded a few times."""
        return FLOAT_EXACTNESS

    def bind(self, schema: pa.Schema) -> Merge:
        """Accepts every type that the labels have a value of."""
        self.matrix.bind(schema)
        return self

    def lift(self, batch: pa.RecordBatch, group: pa.Int32Array, groups: int) -> pa.RecordBatch:
        """Counts pairs where neither is null."""
        return self.matrix.lift(batch, group, groups)

    def combine(self, states: pa.RecordBatch, group: pa.Int32Array, groups: int) -> pa.RecordBatch:
        """Adds counts."""
        return self.matrix.combine(states, group, groups)

    def finish(self, states: pa.RecordBatch) -> pa.RecordBatch:
        """Makes metrics of the counts."""
        matrix, other = self.matrix.finish(states).columns
        size = len(self.matrix.labels)
        cells = matrix.flatten().flatten().to_numpy(zero_copy_only=False)
        metrics = metrics_of(cells.reshape(len(matrix), size, size))
        records = metrics.pop("records")
        struct = pa.StructArray.from_arrays(
            [records, other, *metrics.values()], names=["records", "other", *metrics]
        )
        return pa.RecordBatch.from_pydict({self.name: struct})


@dataclass(frozen=True)
class Loss:
    """The mean error of a predicted probability: its logarithmic loss or its Brier score."""

    name: str
    truth: str
    probability: str
    measure: Literal["log", "brier"]

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns compared."""
        return (self.truth, self.probability)

    @property
    def state(self) -> pa.Schema:
        """An exact sum of errors, and the number of records."""
        return self._mean.state

    @property
    def exactness(self) -> Exactness:
        """Within 1e-12 of the loss: in fact a few roundings of a double."""
        return FLOAT_EXACTNESS

    def bind(self, schema: pa.Schema) -> Merge:
        """Accepts booleans, integers and floats."""
        for column in self.columns:
            checked_type(schema, column, verb="given a loss", accepts=is_number)
        return self

    def lift(self, batch: pa.RecordBatch, group: pa.Int32Array, groups: int) -> pa.RecordBatch:
        """Sums the errors where neither is null.

        Raises:
            InvalidRequestError: A truth is neither 0 nor 1, or a probability not from 0 to 1.
        """
        arrays, place = present(batch, self.columns, group)
        truth, probability = (numbers(array).astype(np.float64) for array in arrays)
        check_values(self.truth, truth, (truth == 0) | (truth == 1), "0 or 1")
        is_share = np.isnan(probability) | ((probability >= 0) & (probability <= 1))
        check_values(self.probability, probability, is_share, "a probability from 0 to 1")
        counts = np.bincount(place, minlength=groups)
        columns = summed("weight", counts, group=np.arange(groups), groups=groups)
        if self.measure == "log":
            error = _surprise(probability, is_true=truth == 1)
            columns |= summed("sum", error, group=place, groups=groups)
        else:
            error = probability - truth
            columns |= summed_products("sum", (error, error), group=place, groups=groups)
        return table_of(columns, self.state)

    def combine(self, states: pa.RecordBatch, group: pa.Int32Array, groups: int) -> pa.RecordBatch:
        """Adds sums."""
        return self._mean.combine(states, group, groups)

    def finish(self, states: pa.RecordBatch) -> pa.RecordBatch:
        """Divides; null of no record."""
        return self._mean.finish(states)

    @property
    def _mean(self) -> Mean:
        return Mean(self.name, self.probability)


def metrics_of(counts: Integers) -> dict[str, pa.Array]:
    """Gives the metrics of `(groups, labels, labels)` counts, truths by predictions.

    Lists of one number per label: `precision`, `recall`, `f1`, and `support`, the records of that
    truth. Their plain averages are `macro_...`, those weighted by support `weighted_...`.
    """
    records = counts.sum(axis=(1, 2))
    is_empty = records == 0
    answers = {"records": pa.array(records)}
    for name, values in classification_of(counts).items():
        is_list = values.ndim > 1
        answers[name] = _lists(values, is_empty) if is_list else pa.array(values, mask=is_empty)
    return answers


def classification_of(matrices: NDArray[Any]) -> dict[str, NDArray[Any]]:
    """Gives what `classification` answers, of confusion matrices that were counted elsewhere.

    For matrices that are weighted or resampled; a share of nothing is 0, also where a matrix is
    empty.

    Args:
        matrices: `(groups, labels, labels)` counts or sums of weights, truths by predictions.

    Returns:
        By the name of the metric one number per group, or `(groups, labels)` numbers for
        `precision`, `recall`, `f1` and `support`.
    """
    hits = np.diagonal(matrices, axis1=1, axis2=2)
    support, predicted = matrices.sum(axis=2), matrices.sum(axis=1)
    records = support.sum(axis=1)
    recall = _share(hits, support)
    by_label = {
        "precision": _share(hits, predicted),
        "recall": recall,
        "f1": _share(2 * hits, support + predicted),
    }
    single = {
        "accuracy": _share(hits.sum(axis=1), records),
        "balanced_accuracy": _share(recall.sum(axis=1), (support > 0).sum(axis=1)),
        "matthews_correlation": _matthews(hits, support, predicted),
    }
    for name, values in by_label.items():
        single[f"macro_{name}"] = values.mean(axis=1)
        single[f"weighted_{name}"] = _share((values * support).sum(axis=1), records)
    return single | by_label | {"support": support}


def _share(part: NDArray[Any], whole: NDArray[Any]) -> Floats:
    """Gives `part / whole`; 0 of nothing."""
    share: Floats = part / np.where(whole == 0, 1, whole)
    return np.where(whole == 0, 0.0, share)


def _matthews(hits: Integers, support: Integers, predicted: Integers) -> Floats:
    """Gives the correlation of truth and prediction, 0 where either is always the same.

    Python's integers: products of counts may lie beyond int64, and their difference cancels.
    """
    rows = zip(hits.tolist(), support.tolist(), predicted.tolist(), strict=True)
    return np.array([_correlation(*row) for row in rows], np.float64)


def _correlation(hits: list[int], support: list[int], predicted: list[int]) -> float:
    square = sum(support) ** 2
    shared = sum(true * guess for true, guess in zip(support, predicted, strict=True))
    true_spread = square - sum(count * count for count in support)
    guess_spread = square - sum(count * count for count in predicted)
    if not true_spread or not guess_spread:
        return 0.0
    above_chance = sum(hits) * sum(support) - shared
    return above_chance / (math.sqrt(true_spread) * math.sqrt(guess_spread))


def _lists(values: NDArray[Any], is_empty: NDArray[np.bool_]) -> pa.Array:
    flat = pa.array(np.ascontiguousarray(values).ravel())
    return pa.FixedSizeListArray.from_arrays(flat, values.shape[1], mask=pa.array(is_empty))


def _surprise(probability: Floats, *, is_true: NDArray[np.bool_]) -> Floats:
    """Gives `-log` of the probability that was given to what came true, clipped."""
    clipped = np.clip(probability, NEAREST_TO_CERTAIN, 1 - NEAREST_TO_CERTAIN)
    # Not log(1 - p): for a small p the difference would lose most of its digits.
    surprise: Floats = -np.where(is_true, np.log(clipped), np.log1p(-clipped))
    return surprise


def check_values(column: str, values: Floats, is_right: NDArray[np.bool_], expected: str) -> None:
    """Refuses a column by its first wrong value.

    Raises:
        InvalidRequestError: A value is not right.
    """
    if not is_right.all():
        wrong = values[np.argmin(is_right)]
        raise InvalidRequestError(f"column {column!r} holds {wrong}, expected {expected}")
