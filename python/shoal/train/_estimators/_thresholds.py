"""Thresholds of trees as single precision holds them, without changing an answer.

Boosted trees compare in double precision, their exports in single. For a number `x` of single
precision, `x <= t` and `x <= the greatest single-precision number not above t` are the same, so a
fitted model whose thresholds are rounded down answers as before, and its export answers alike.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

if TYPE_CHECKING:
    from numpy.typing import NDArray

LIGHTGBM_THRESHOLDS = re.compile(r"^threshold=(.*)$", re.MULTILINE)
LIGHTGBM_SIZES = re.compile(r"^tree_sizes=.*\n", re.MULTILINE)


def round_thresholds(estimator: Any) -> None:
    """Rounds the thresholds of a fitted estimator, if it is one of those that need it."""
    if isinstance(estimator, HistGradientBoostingClassifier | HistGradientBoostingRegressor):
        for trees in estimator._predictors:  # noqa: SLF001 - it has no other name
            for tree in trees:
                tree.nodes["num_threshold"] = rounded_down(tree.nodes["num_threshold"])
    elif type(estimator).__module__.startswith("lightgbm."):
        _round_lightgbm(estimator)


def rounded_down(thresholds: NDArray[np.float64]) -> NDArray[np.float64]:
    """(n,) doubles: the greatest numbers of single precision that are not above them."""
    with np.errstate(over="ignore"):
        nearest = thresholds.astype(np.float32)
    below = np.nextafter(nearest, np.float32(-np.inf))
    return np.where(nearest > thresholds, below, nearest).astype(np.float64)


def _round_lightgbm(estimator: Any) -> None:
    from lightgbm import Booster

    text = LIGHTGBM_THRESHOLDS.sub(_rounded_line, estimator.booster_.model_to_string())
    text = LIGHTGBM_SIZES.sub("", text)  # where trees lie: without it they are looked for
    estimator._Booster = Booster(model_str=text)  # noqa: SLF001 - it has no other name


def _rounded_line(line: re.Match[str]) -> str:
    numbers = rounded_down(np.array(line[1].split(), np.float64))
    return "threshold=" + " ".join(repr(float(number)) for number in numbers)
