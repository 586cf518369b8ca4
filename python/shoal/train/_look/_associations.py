"""How a column goes with the target: one measure for each pair of kinds, by order or by counts.

| column | target | measure |
|---|---|---|
| with an order | number, or two classes | Spearman's rank correlation |
| with an order | more classes | rank correlation ratio |
| category | number | rank correlation ratio |
| category | classes | Cramer's V, corrected for its bias |

- Numbers, dates, false and true have an order, and text by its length.
- All use ranks or counts, so no value, however far out, decides one. Of two classes, Spearman's is
  the point-biserial correlation of ranks.
- The rank correlation ratio is the root of epsilon squared: (H - k + 1) / (n - k), H being that of
  Kruskal and Wallis with ties. Like the corrected V it is near 0 where nothing goes together,
  however many categories there are.
- Records where one of the two is missing are left out.

Source: C. Spearman, "The proof and measurement of association between two things"; T. Kelley, "An
unbiased correlation ratio measure"; W. Kruskal, W. Wallis, "Use of ranks in one-criterion variance
analysis"; W. Bergsma, "A bias-correction for Cramer's V and Tschuprow's T".
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import numpy as np
from scipy.stats import rankdata

from shoal.train._look._facts import Association

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from shoal.train._look._coded import Coded
    from shoal.train._look._targets import Target

    Integers = NDArray[np.int64]
    Floats = NDArray[np.float64]

LEAST_RECORDS: Final = 10
TWO: Final = 2


def association(column: Coded, target: Target) -> Association | None:
    """How a column goes with the target; None where too few records have both, or one is constant.

    Args:
        column: A column.
        target: What is to be predicted.
    """
    is_known = column.known[target.rows]
    rows = target.rows[is_known]
    if len(rows) < LEAST_RECORDS:
        return None
    has_order = column.kind != "categorical"
    numbers = column.numbers if column.kind == "text" else column.codes.astype(np.float64)
    codes = target.codes[is_known]
    is_number = target.task == "regression"
    if has_order and (is_number or len(target.classes) == TWO):
        measure, value = "spearman", spearman(numbers[rows], target.ranks[is_known])
    elif has_order:
        measure, value = "rank_correlation_ratio", rank_correlation_ratio(numbers[rows], codes)
    elif is_number:
        measure = "rank_correlation_ratio"
        value = rank_correlation_ratio(target.ranks[is_known], column.codes[rows])
    else:
        measure, value = "cramers_v", cramers_v(column.codes[rows], codes)
    if value is None:
        return None
    return Association(measure=measure, value=value, records=len(rows))  # type: ignore[arg-type]  # one of the three


def spearman(one: Floats, other: Floats) -> float | None:
    """Spearman's rank correlation, from -1 to 1; None where one is constant."""
    return _correlation(rankdata(one), rankdata(other))


def rank_correlation_ratio(numbers: Floats, groups: Integers) -> float | None:
    """How far ranks differ from group to group, from 0 to 1; None where nothing varies."""
    ranks = rankdata(numbers)
    _, codes = np.unique(groups, return_inverse=True)
    counts = np.bincount(codes)
    size, kinds = len(ranks), len(counts)
    total = float(((ranks - ranks.mean()) ** 2).sum())
    if kinds < TWO or size <= kinds or not total:
        return None
    means = np.bincount(codes, ranks) / counts
    between = float((counts * (means - ranks.mean()) ** 2).sum())
    kruskal = (size - 1) * between / total
    return math.sqrt(min(max(0.0, (kruskal - kinds + 1) / (size - kinds)), 1.0))


def cramers_v(one: Integers, other: Integers) -> float | None:
    """Cramer's V, corrected for its bias, from 0 to 1; None where nothing varies."""
    counts = table_of_counts(one, other)
    size = counts.sum()
    expected = np.outer(counts.sum(axis=1), counts.sum(axis=0)) / size
    rows, columns = counts.shape
    phi = float(((counts - expected) ** 2 / expected).sum() / size)
    corrected = max(0.0, phi - (rows - 1) * (columns - 1) / (size - 1))
    least = min(rows - (rows - 1) ** 2 / (size - 1), columns - (columns - 1) ** 2 / (size - 1)) - 1
    if min(rows, columns) < TWO or least <= 0:
        return None
    return math.sqrt(min(corrected / least, 1.0))


def table_of_counts(one: Integers, other: Integers) -> Floats:
    """How often each value of one meets each value of the other; only values that there are."""
    _, rows = np.unique(one, return_inverse=True)
    _, columns = np.unique(other, return_inverse=True)
    shape = (int(rows.max()) + 1, int(columns.max()) + 1)
    cells = np.bincount(rows * shape[1] + columns, minlength=shape[0] * shape[1])
    return cells.reshape(shape).astype(np.float64)


def _correlation(one: Floats, other: Floats) -> float | None:
    left, right = one - one.mean(), other - other.mean()
    scale = math.sqrt(float((left**2).sum()) * float((right**2).sum()))
    if not scale:
        return None
    return max(-1.0, min(1.0, float((left * right).sum()) / scale))
