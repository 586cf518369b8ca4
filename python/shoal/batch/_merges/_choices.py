"""The merges by name, as a caller writes them: `shoal.batch.mean("score", weight="rows")`.

Each names its answer: by default after itself and its column (`mean_score`), or by `name`. The
column is `value` unless named: answers that are no tables arrive in a column of that name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from shoal.batch._merges._sums import Mean, Sum, Variance
from shoal.batch._merges._tallies import (
    ConfusionMatrix,
    Count,
    Extreme,
    Histogram,
    check_edges,
    check_labels,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from shoal.batch._merges._contract import Merge


def count(column: str | None = None, *, name: str | None = None) -> Merge:
    """Counts records, or those whose `column` is not null: `count`, `count_<column>`, int64."""
    return Count(name or ("count" if column is None else f"count_{column}"), column)


def nulls(column: str = "value", *, name: str | None = None) -> Merge:
    """Counts the records whose `column` is null: `nulls_<column>`, int64."""
    return Count(name or f"nulls_{column}", column, nulls=True)


def sum(column: str = "value", *, name: str | None = None) -> Merge:
    """Sums a column: `sum_<column>`, int64 for integers and booleans, else float64.

    The float answer is the exact sum rounded once, whatever cancels; 0 where there is no value.
    Finishing raises `DtypeError` where a sum of integers lies beyond int64.
    """
    return Sum(name or f"sum_{column}", column)


def mean(column: str = "value", *, weight: str | None = None, name: str | None = None) -> Merge:
    """Averages a column, weighted by another if named: `mean_<column>`, float64.

    Within 1e-12 of the true mean under any cut, also where the sum overflows. A record counts only
    if neither its value nor its weight is null. Null where the weights add up to zero.
    """
    return Mean(name or f"mean_{column}", column, weight)


def min(column: str = "value", *, name: str | None = None) -> Merge:
    """Gives the smallest value: `min_<column>`, in the column's type; null of no value."""
    return Extreme(name or f"min_{column}", column)


def max(column: str = "value", *, name: str | None = None) -> Merge:
    """Gives the largest value: `max_<column>`, in the column's type; null of no value."""
    return Extreme(name or f"max_{column}", column, largest=True)


def variance(column: str = "value", *, ddof: int = 1, name: str | None = None) -> Merge:
    """Gives the variance: `variance_<column>`, float64, the squares divided by `n - ddof`.

    Within 1e-12 of the true variance under any cut, however close together the values lie. Null
    where there are not more values than `ddof`; NaN where one is NaN or infinite.
    """
    return Variance(name or f"variance_{column}", column, ddof)


def histogram(column: str = "value", *, edges: Sequence[float], name: str | None = None) -> Merge:
    """Counts values in the bins between `edges`: `histogram_<column>`, a list of int64.

    A bin holds `edge <= value < next edge`, the last also its upper edge. `_below`, `_above` and
    `_nan` beside it count what lies in no bin.

    Raises:
        InvalidRequestError: The edges do not strictly increase, or are fewer than two.
    """
    checked = tuple(float(edge) for edge in edges)
    check_edges(checked)
    return Histogram(name or f"histogram_{column}", column, checked)


def confusion_matrix(
    truth: str, prediction: str, *, labels: Sequence[object], name: str | None = None
) -> Merge:
    """Counts predictions by truth: `confusion_matrix`, a list of rows of int64.

    Row i, column j counts the records of truth `labels[i]` predicted as `labels[j]`;
    `confusion_matrix_other` counts those where either is not among the labels.

    Raises:
        InvalidRequestError: There is no label, or one stands twice.
    """
    checked = tuple(labels)
    check_labels(checked)
    return ConfusionMatrix(name or "confusion_matrix", truth, prediction, checked)
