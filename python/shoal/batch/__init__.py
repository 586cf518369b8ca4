"""Split, process, merge: records cut into micro-batches, answered in parallel, and put together.

    answers = process(split(table, by=rows(1024)), function, workers=4)
    summary = process(split(table, by=rows(1024)), function, merge=[count(), mean("score")])

Read the names with the room's, `batch.bytes(65536)`, `batch.sum("x")`: some are also builtins.
Rules: `_split` says how data is cut, `_process` how functions run, `_merges` how answers become
one, `_workers` how records travel between processes, `_dispatch` how mixed records are answered.
"""

from shoal.batch._dispatch import ByType, by_type
from shoal.batch._groups import group_rows
from shoal.batch._merges import (
    EQUAL,
    Exactness,
    Merge,
    Merges,
    Partial,
    bottom,
    brier_score,
    calibration,
    classification,
    classification_of,
    confusion_matrix,
    count,
    distinct,
    earliest,
    histogram,
    latest,
    log_loss,
    max,
    mean,
    merge,
    min,
    nulls,
    quantiles,
    rank_error,
    ranking,
    regression,
    relative,
    sum,
    top,
    variance,
)
from shoal.batch._process import Workers, process, processes, threads
from shoal.batch._split import Split, bytes, key, nanoseconds, rows, split, time
from shoal.batch._workers._functions import find as find_function
from shoal.batch._workers._functions import path_of as path_of_function

__all__ = [
    "EQUAL",
    "ByType",
    "Exactness",
    "Merge",
    "Merges",
    "Partial",
    "Split",
    "Workers",
    "bottom",
    "brier_score",
    "by_type",
    "bytes",
    "calibration",
    "classification",
    "classification_of",
    "confusion_matrix",
    "count",
    "distinct",
    "earliest",
    "find_function",
    "group_rows",
    "histogram",
    "key",
    "latest",
    "log_loss",
    "max",
    "mean",
    "merge",
    "min",
    "nanoseconds",
    "nulls",
    "path_of_function",
    "process",
    "processes",
    "quantiles",
    "rank_error",
    "ranking",
    "regression",
    "relative",
    "rows",
    "split",
    "sum",
    "threads",
    "time",
    "top",
    "variance",
]
