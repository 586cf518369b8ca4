"""Areas and curves of scores, exact: from every score, not from bins.

- Records are in order once; every replicate then only weighs them: `(replicates, records)` weights
  give as many areas. Records of one score are one step of a curve.
- Where one of the two kinds weighs nothing there is no area: NaN here, a note in an evaluation.

Source: J. Hanley, B. McNeil, "The meaning and use of the area under a receiver operating
characteristic (ROC) curve"; scikit-learn, "Metrics and scoring", average precision.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from shoal.errors import InvalidRequestError, ShapeError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]
    Integers = NDArray[np.int64]
    Booleans = NDArray[np.bool_]


@dataclass(frozen=True)
class Steps:
    """Records from the highest score down.

    Attributes:
        order: The record at each place.
        start: The places at which another score begins.
        is_positive: Whether the record at each place came true.
        scores: The score of each step.
    """

    order: Integers
    start: Integers
    is_positive: Booleans
    scores: Floats

    @staticmethod
    def of(is_positive: Booleans, scores: Floats) -> Steps:
        """Puts records in order."""
        order = np.argsort(-scores, kind="stable")
        ordered = scores[order]
        start = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
        return Steps(order, start, is_positive[order], ordered[start])

    def counts(self, weights: Floats) -> tuple[Floats, Floats]:
        """Gives `(replicates, steps)`: how much came true at each step, and how much did not."""
        placed = weights[:, self.order]
        all_of = np.add.reduceat(placed, self.start, axis=1)
        true = np.add.reduceat(placed * self.is_positive, self.start, axis=1)
        return true, np.maximum(all_of - true, 0.0)

    def areas(self, weights: Floats) -> tuple[Floats, Floats]:
        """Gives the area under the ROC curve and the average precision of each replicate."""
        true, other = self.counts(weights)
        hits, misses = np.cumsum(true, axis=1), np.cumsum(other, axis=1)
        total, rest = hits[:, -1], misses[:, -1]
        pairs = (other * (hits - true / 2)).sum(axis=1)
        reached = hits + misses
        precision = np.divide(hits, reached, out=np.zeros_like(hits), where=reached > 0)
        return _quotient(pairs, total * rest), _quotient((true * precision).sum(axis=1), total)


def roc_auc(truth: ArrayLike, scores: ArrayLike, weights: ArrayLike | None = None) -> float | None:
    """Gives the exact area under the ROC curve.

    `shoal.batch.ranking` gives it of a stream, within an error it states.

    Args:
        truth: What came true: booleans, or 0 and 1.
        scores: One per truth: the higher, the likelier.
        weights: One per truth, from 0 up.

    Returns:
        The area, or None where no record, or every record, came true.

    Raises:
        InvalidRequestError: A truth is neither 0 nor 1, a score or weight is not finite, or a
            weight is below 0.
        ShapeError: The lengths differ, or there is more than one dimension.
    """
    return _number(_areas(truth, scores, weights)[0])


def average_precision(
    truth: ArrayLike, scores: ArrayLike, weights: ArrayLike | None = None
) -> float | None:
    """Gives the exact average precision, the area under the precision-recall curve by its steps.

    Args:
        truth: What came true: booleans, or 0 and 1.
        scores: One per truth: the higher, the likelier.
        weights: One per truth, from 0 up.

    Returns:
        The average precision, or None where no record came true.

    Raises:
        InvalidRequestError: A truth is neither 0 nor 1, a score or weight is not finite, or a
            weight is below 0.
        ShapeError: The lengths differ, or there is more than one dimension.
    """
    return _number(_areas(truth, scores, weights)[1])


def _areas(truth: ArrayLike, scores: ArrayLike, weights: ArrayLike | None) -> tuple[Floats, Floats]:
    true, score = np.asarray(truth), np.asarray(scores, np.float64)
    weight = np.ones(true.shape) if weights is None else np.asarray(weights, np.float64)
    if true.ndim != 1 or not true.shape == score.shape == weight.shape:
        shapes = f"{true.shape}, {score.shape} and {weight.shape}"
        raise ShapeError(f"truth, scores and weights have the shapes {shapes}, expected one length")
    checks = {
        "truth": (true, (true == 0) | (true == 1), "0 or 1"),
        "score": (score, np.isfinite(score), "a finite number"),
        "weight": (weight, np.isfinite(weight) & (weight >= 0), "a weight from 0 up"),
    }
    for name, (values, is_right, expected) in checks.items():
        _check(name, values, is_right, expected)
    if not len(true):
        return np.array([np.nan]), np.array([np.nan])
    return Steps.of(true == 1, score).areas(weight[None])


def _check(name: str, values: NDArray[Any], is_right: Booleans, expected: str) -> None:
    if not is_right.all():
        row = int(np.argmin(is_right))
        raise InvalidRequestError(f"{name} {row} is {values[row]}, expected {expected}")


def _number(values: Floats) -> float | None:
    return None if np.isnan(values[0]) else float(values[0])


def _quotient(part: Floats, whole: Floats) -> Floats:
    missing = np.full_like(part, np.nan)
    quotient: Floats = np.divide(part, whole, out=missing, where=whole > 0)
    return quotient
