"""Merges: how the answers of micro-batches become one answer, the same under any cut."""

from shoal.batch._merges._choices import (
    confusion_matrix,
    count,
    histogram,
    max,
    mean,
    min,
    nulls,
    sum,
    variance,
)
from shoal.batch._merges._contract import EQUAL, Exactness, Merge, rank_error, relative
from shoal.batch._merges._plan import Merges, Partial, merge

__all__ = [
    "EQUAL",
    "Exactness",
    "Merge",
    "Merges",
    "Partial",
    "confusion_matrix",
    "count",
    "histogram",
    "max",
    "mean",
    "merge",
    "min",
    "nulls",
    "rank_error",
    "relative",
    "sum",
    "variance",
]
