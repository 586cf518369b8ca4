"""The merges by name, as a caller writes them: `shoal.batch.mean("score", weight="rows")`.

Each names its answer: by default after itself and its column (`mean_score`), or by `name`. The
column is `value` unless named: answers that are no tables arrive in a column of that name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from shoal.batch._merges._calibration import Calibration, check_bins
from shoal.batch._merges._metrics import Classification, Loss
from shoal.batch._merges._ranking import UNIT_EDGES, Ranking
from shoal.batch._merges._regression import Regression
from shoal.batch._merges._sketches import Distinct, Quantiles, check_ranks
from shoal.batch._merges._sums import Mean, Sum, Variance
from shoal.batch._merges._tallies import (
    ConfusionMatrix,
    Count,
    Extreme,
    Histogram,
    check_edges,
    check_labels,
)
from shoal.batch._merges._top import Latest, Top, check_top

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


def quantiles(
    column: str = "value", at: Sequence[float] = (0.5, 0.99), *, name: str | None = None
) -> Merge:
    """Gives the values at some ranks: `quantiles_<column>`, a list of float64 in the order of `at`.

    The value at a rank is the smallest one that so large a share of the values does not exceed.
    Exact up to 1,000 values per group. Beyond, a value's rank is off by at most 0.28 % of the
    values, in 99 of 100 runs: it may stand anywhere from 0.9872 to 0.9928 for 0.99. Which value of
    those it is may change with the cut and from run to run. The ends, 0 and 1, are always exact.

    Null of no value; NaN where one is NaN. Integers are rounded to doubles. A group holds at most
    about 24 KB, however many values it has.

    Source: Z. Karnin, K. Lang, E. Liberty, "Optimal quantile approximation in streams".

    Raises:
        InvalidRequestError: There is no rank, or one is not from 0 to 1.
    """
    checked = tuple(float(rank) for rank in at)
    check_ranks(checked)
    return Quantiles(name or f"quantiles_{column}", column, checked)


def distinct(column: str = "value", *, name: str | None = None) -> Merge:
    """Counts different values: `distinct_<column>`, int64.

    The same under any cut. Exact up to 4,096 values per group. Beyond, an estimate with a standard
    error of 1.6 %: it is within 4.7 % of the true count in 99 of 100 columns.

    Numbers are compared by value, whatever their type; every NaN is one value. A group holds 8
    bytes for each different value, at most 32 KB.

    Source: A. Dasgupta, K. Lang, L. Rhodes, J. Thaler, "A framework for estimating stream
    expression cardinalities".
    """
    return Distinct(name or f"distinct_{column}", column)


def top(
    k: int, by: str, columns: Sequence[str] = (), *, ties: bool = False, name: str = "top"
) -> Merge:
    """Gives the rows with the greatest `by`: `top`, a list of at most `k` structs, greatest first.

    Equal under any cut: rows of the same `by` stand in the order of `columns`, smallest first. A
    row whose `by` is null is skipped; NaN comes after every number; nulls in `columns` come last.

    A group holds `k` rows. With `ties`, it holds all rows whose `by` is that of the last one too,
    however many they are.

    Args:
        k: How many rows.
        by: The column they are ordered by, the first field of each struct.
        columns: Columns told beside it; their values need an order as well.
        ties: Keep the rows whose `by` is that of the last one, beyond `k`.
        name: Name of the answer.

    Raises:
        InvalidRequestError: `k` is no whole number from 1 up, or a column is named twice.
    """
    check_top(k, (by, *columns))
    return Top(name, (by, *columns), k, ties=ties)


def bottom(
    k: int, by: str, columns: Sequence[str] = (), *, ties: bool = False, name: str = "bottom"
) -> Merge:
    """Gives the rows with the least `by`: `bottom`, a list of structs, least first; else as `top`.

    Raises:
        InvalidRequestError: `k` is no whole number from 1 up, or a column is named twice.
    """
    check_top(k, (by, *columns))
    return Top(name, (by, *columns), k, largest=False, ties=ties)


def latest(column: str, by: str, *, name: str | None = None) -> Merge:
    """Gives the value of the row with the greatest `by`: `latest_<column>`, in the column's type.

    Equal under any cut: of rows of the same `by`, the greatest value. A row is skipped where either
    is null; NaN comes before every number. Null of no row. A group holds one row.
    """
    return Latest(name or f"latest_{column}", column, by)


def earliest(column: str, by: str, *, name: str | None = None) -> Merge:
    """Gives the value of the row with the least `by`: `earliest_<column>`, in the column's type.

    Equal under any cut: of rows of the same `by`, the least value. A row is skipped where either is
    null; NaN comes after every number. Null of no row. A group holds one row.
    """
    return Latest(name or f"earliest_{column}", column, by, earliest=True)


def classification(
    truth: str, prediction: str, *, labels: Sequence[object], name: str = "classification"
) -> Merge:
    """Measures predicted labels: `classification`, a struct.

    Its fields: `records`, `other` (records whose truth or prediction is not among the labels: they
    are part of no metric), `accuracy`, `balanced_accuracy`, `matthews_correlation`, the plain and
    weighted averages `macro_precision`, `weighted_precision`, and so for `recall` and `f1`, and
    lists in the order of the labels: `precision`, `recall`, `f1`, `support`.

    Within 1e-12 of the true metric, the same under any cut. A share of nothing is 0, as in
    scikit-learn. A group holds one count for each pair of labels.

    Raises:
        InvalidRequestError: There is no label, or one stands twice.
    """
    checked = tuple(labels)
    check_labels(checked)
    return Classification(name, ConfusionMatrix("matrix", truth, prediction, checked))


def log_loss(truth: str, probability: str, *, name: str = "log_loss") -> Merge:
    """Averages the logarithmic loss of the probability that `truth` is 1: `log_loss`, float64.

    A truth is a boolean, 0 or 1. Probabilities are clipped to 2.2e-16 from 0 and from 1, as
    scikit-learn does it for float64. Within 1e-12 of the true loss, the same under any cut. Null of
    no record; NaN where a probability is NaN. A group holds one sum and one count.

    Lifting raises `InvalidRequestError` for any other truth, or a probability outside 0 to 1.
    """
    return Loss(name, truth, probability, "log")


def brier_score(truth: str, probability: str, *, name: str = "brier_score") -> Merge:
    """Averages the square of `probability - truth`: `brier_score`, float64.

    A truth is a boolean, 0 or 1. Within 1e-12 of the true score, the same under any cut. Null of no
    record; NaN where a probability is NaN. A group holds one sum and one count.

    Lifting raises `InvalidRequestError` for any other truth, or a probability outside 0 to 1.

    Source: G. Brier, "Verification of forecasts expressed in terms of probability".
    """
    return Loss(name, truth, probability, "brier")


def ranking(
    truth: str, score: str, *, edges: Sequence[float] = UNIT_EDGES, name: str = "ranking"
) -> Merge:
    """Measures how well a score ranks what came true: `ranking`, a struct.

    Its fields: `records`, `positives`, `nan` (scores that are NaN: they are ranked nowhere),
    `roc_auc` and `roc_auc_error`, `average_precision` and, beside it, `average_precision_low` and
    `average_precision_high`. A truth is a boolean, 0 or 1.

    Scores between two edges are ranked alike. The area under the ROC curve of the scores themselves
    lies within `roc_auc_error` of `roc_auc`, always; their average precision from `low` to `high`.
    Null where no record came true, and the area also where every record did. The same under any
    cut. A group holds two counts for each bin: 16 KB for the thousand bins of the default.

    Lifting raises `InvalidRequestError` for any other truth.

    Args:
        truth: The column that says what came true.
        score: The column that ranks: the higher, the likelier.
        edges: Where bins meet; scores beyond them have a bin on either side.
        name: Name of the answer.

    Raises:
        InvalidRequestError: The edges do not strictly increase, or are fewer than two.
    """
    checked = tuple(float(edge) for edge in edges)
    check_edges(checked)
    return Ranking(name, truth, score, checked)


def calibration(
    truth: str, probability: str, *, bins: int = 10, name: str = "calibration"
) -> Merge:
    """Compares probabilities with the shares that came true: `calibration`, a struct.

    Its fields: `records`, `nan` (probabilities that are NaN: in no bin),
    `expected_calibration_error`, and a list of one number per bin: `bin_records`,
    `mean_probability` and `share`, null in a bin without records. A truth is a boolean, 0 or 1.

    Within 1e-12 of each true value, the same under any cut. A group holds a sum and two counts for
    each bin.

    Lifting raises `InvalidRequestError` for any other truth, or a probability outside 0 to 1.

    Raises:
        InvalidRequestError: `bins` is no whole number from 1 up.
    """
    check_bins(bins)
    return Calibration(name, truth, probability, bins)


def regression(truth: str, prediction: str, *, name: str = "regression") -> Merge:
    """Measures predicted numbers: `regression`, a struct.

    Its fields: `records`, `bias` (the mean of `prediction - truth`), `mean_absolute_error`,
    `mean_squared_error`, `root_mean_squared_error`, `max_error` and `r2`, which is null where the
    truth is always the same.

    Within 1e-12 of each true metric, the same under any cut, also where errors cancel. Null of no
    record; NaN where a value is NaN or infinite. A group holds five sums, a count and a number.

    Lifting raises `DtypeError` for integers beyond 2**53, where not every one is a double.
    """
    return Regression(name, truth, prediction)
