"""From which probability on a record counts as positive: chosen on records that taught nothing.

- The probabilities are those of folds: each record's is of a model that has not learned from it.
- Between two probabilities that records have, every threshold does the same: the middle is taken,
  so that rounding in a package changes no answer. Of equals the one nearest to a half is chosen.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import msgspec
import numpy as np
from sklearn.base import clone

from shoal.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    from numpy.typing import NDArray

    from shoal.train._search._folds import Fold

    Floats = NDArray[np.float64]


# More than any probability.
NOBODY = float(np.nextafter(np.float32(1), np.float32(2)))


class Threshold(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a threshold is chosen by.

    Attributes:
        by: `f1` of the positive class; `balanced_accuracy`; or the least `cost`.
        missed: With `cost`: what a positive record costs that is not answered so.
        false_alarm: With `cost`: what another record costs that is answered as positive.

    Raises:
        ConfigurationError: a cost is not above 0.
    """

    by: Literal["f1", "balanced_accuracy", "cost"] = "f1"
    missed: float = 1.0
    false_alarm: float = 1.0

    def __post_init__(self) -> None:
        for name, cost in (("missed", self.missed), ("false_alarm", self.false_alarm)):
            if not 0 < cost < float("inf"):
                raise ConfigurationError(f"{name} is {cost}, expected a finite number above 0")


class Counts(NamedTuple):
    """What comes of each threshold.

    Attributes:
        found: (thresholds,) positive records that are answered so.
        false: (thresholds,) other records that are answered as positive.
        positive: How many are positive.
        other: How many are not.
    """

    found: Floats
    false: Floats
    positive: float
    other: float


def best_threshold(shares: Floats, is_positive: NDArray[np.bool_], rule: Threshold) -> float:
    """The threshold that does best.

    Args:
        shares: (records,) probabilities of the positive class.
        is_positive: (records,) whether it is that.
        rule: What is best.
    """
    # As a package compares them; what is equal there cannot be told apart.
    single = np.asarray(shares, np.float32).astype(np.float64)
    order = np.argsort(-single, kind="stable")
    ranked, positive = single[order], np.asarray(is_positive, bool)[order]
    ends = np.append(np.flatnonzero(np.diff(ranked)), len(ranked) - 1)
    following = np.append(ranked[ends[:-1] + 1], 0.0)
    thresholds = np.concatenate(([NOBODY], _between(ranked[ends], following)))
    found = np.concatenate(([0.0], np.cumsum(positive)[ends]))
    false = np.concatenate(([0.0], np.cumsum(~positive)[ends]))
    counts = Counts(found, false, float(positive.sum()), float((~positive).sum()))
    worth = worth_of(counts, rule)
    best = np.flatnonzero(worth >= worth.max() - 1e-12)
    return float(thresholds[best[np.argmin(np.abs(thresholds[best] - 0.5))]])


def _between(above: Floats, below: Floats) -> Floats:
    """Numbers of single precision that tell two others apart: the middle, or else the upper one."""
    middle = ((above + below) / 2).astype(np.float32).astype(np.float64)
    return np.where(middle > below, middle, above)


def worth_of(counts: Counts, rule: Threshold) -> Floats:
    """(thresholds,) how good each is; more is better."""
    missed = counts.positive - counts.found
    if rule.by == "f1":
        return 2 * counts.found / np.maximum(2 * counts.found + missed + counts.false, 1)
    if rule.by == "cost":
        return -(rule.missed * missed + rule.false_alarm * counts.false)
    recall = counts.found / max(counts.positive, 1)
    return (recall + 1 - counts.false / max(counts.other, 1)) / 2


def shares_of_folds(
    model: Any,
    frame: pd.DataFrame,
    target: NDArray[Any],
    folds: Sequence[Fold],
    positive: str,
) -> tuple[NDArray[np.int64], Floats]:
    """Rows that were tested, and the probability of the positive class for each.

    Args:
        model: A pipeline that is not fitted, and gives probabilities.
        frame: Columns, as `frame_of` gives them.
        target: (rows,) the classes.
        folds: How rows are cut.
        positive: The class.
    """
    rows, shares = [], []
    for fold in folds:
        fitted = clone(model).fit(frame.iloc[fold.learn], target[fold.learn])
        rows.append(fold.test)
        shares.append(_shares(fitted, frame.iloc[fold.test], positive))
    return np.concatenate(rows), np.concatenate(shares)


def _shares(fitted: Any, frame: pd.DataFrame, positive: str) -> Floats:
    """(rows,) the probability of a class; 0 of one that was never learned."""
    found: Floats = np.zeros(len(frame))
    classes = list(fitted.classes_)
    if positive in classes:
        found = fitted.predict_proba(frame)[:, classes.index(positive)]
    return found
