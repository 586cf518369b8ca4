"""The bundled sets, as columns and a target."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa
from sklearn import datasets

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray


class Set(NamedTuple):
    """One set.

    Attributes:
        load: Gives it.
        score: What answers to it are measured by, as Shoal names it.
        peer_score: The same as FLAML names it.
    """

    load: Callable[..., Any]
    score: str
    peer_score: str


SETS = {
    "digits": Set(datasets.load_digits, "accuracy", "accuracy"),
    "breast cancer": Set(datasets.load_breast_cancer, "roc_auc", "roc_auc"),
    "wine": Set(datasets.load_wine, "accuracy", "accuracy"),
    "iris": Set(datasets.load_iris, "accuracy", "accuracy"),
    "diabetes": Set(datasets.load_diabetes, "r2", "r2"),
}


def values_of(name: str) -> tuple[NDArray[np.float64], NDArray[Any]]:
    """(rows, columns) numbers, and (rows,) the target: names of classes, or numbers."""
    rows, target = SETS[name].load(return_X_y=True)
    return rows, target if name == "diabetes" else np.asarray([str(each) for each in target])


def table_of(rows: NDArray[np.float64], target: NDArray[Any]) -> pa.Table:
    """The same as a table."""
    columns = {f"x{place}": rows[:, place] for place in range(rows.shape[1])}
    return pa.table(columns | {"target": pa.array(target)})
