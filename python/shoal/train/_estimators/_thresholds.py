"""Thresholds of trees as single precision holds them, without changing an answer.

Histogram gradient boosting compares in double precision, its export in single. For a number `x` of
single precision, `x <= t` and `x <= the greatest single-precision number not above t` are the same,
so a fitted model whose thresholds are rounded down answers as before, and its export answers alike.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor


def round_thresholds(estimator: Any) -> None:
    """Rounds the thresholds of a fitted estimator, if it is one of those that need it."""
    if not isinstance(estimator, HistGradientBoostingClassifier | HistGradientBoostingRegressor):
        return
    for trees in estimator._predictors:  # noqa: SLF001 - it has no other name
        for tree in trees:
            tree.nodes["num_threshold"] = rounded_down(tree.nodes["num_threshold"])


def rounded_down(thresholds: Any) -> Any:
    """(n,) doubles: the greatest numbers of single precision that are not above them."""
    with np.errstate(over="ignore"):
        nearest = thresholds.astype(np.float32)
    below = np.nextafter(nearest, np.float32(-np.inf))
    return np.where(nearest > thresholds, below, nearest).astype(np.float64)
