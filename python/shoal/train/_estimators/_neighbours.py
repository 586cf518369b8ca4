"""Nearest neighbours whose ties are drawn alike here and in a package.

Where values repeat, records are equally far from each other, and rounding decides which of them are
neighbours. Here nothing is rounded: features are put on a grid of whole numbers, so fine that the
distance of two records is a sum that doubles hold exactly, in whatever order it is added up.

- The grid has the same step for all features. A value far beyond those that were learned from
  counts as one at `_BEYOND` times their size.
- Of equally far records the first ones that were learned from are neighbours.
- Weights by distance are whole numbers too: the nearest counts for 2**40.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.utils.validation import check_is_fitted, validate_data

if TYPE_CHECKING:
    from typing import Self

    from numpy.typing import NDArray

    Array = NDArray[Any]

_EXACT_BITS = 52
_BEYOND = 16.0
FULL_WEIGHT = 2.0**40
_CHUNK_ELEMENTS = 1 << 21
"""Of a table of distances, so many are computed at a time."""


class _Neighbours(BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """What both kinds share."""

    def __init__(self, n_neighbors: int = 5, weights: str = "uniform") -> None:
        """Takes how many are asked, and whether near ones count for more (`distance`)."""
        self.n_neighbors = n_neighbors
        self.weights = weights

    def _learn(self, values: Any) -> None:
        known = validate_data(self, values, dtype=np.float64)
        width = known.shape[1]
        self.count_ = min(self.n_neighbors, len(known))
        # Differences have one more bit than values, squares twice that, sums the bits of the width.
        bits = (_EXACT_BITS - int(np.ceil(np.log2(width))) - 2) // 2
        largest = float(np.abs(known).max()) or 1.0
        self.steps_ = 2.0 ** (bits - np.ceil(np.log2(largest * _BEYOND)))
        self.limit_ = 2.0**bits
        self.records_ = self._on_grid(known)

    def _on_grid(self, values: Array) -> Array:
        found: Array = np.clip(np.rint(values * self.steps_), -self.limit_, self.limit_)
        return found

    def _counted(self, values: Any, answers: Array) -> Array:
        """(rows, answers + 1) sums over neighbours of what they count for, and of that alone."""
        check_is_fitted(self, "records_")
        asked = self._on_grid(validate_data(self, values, dtype=np.float64, reset=False))
        size = max(_CHUNK_ELEMENTS // len(self.records_), 1)
        every = np.column_stack([answers, np.ones(len(answers))])
        return np.concatenate(
            [self._weights(asked[at : at + size]) @ every for at in range(0, len(asked), size)]
        )

    def _weights(self, asked: Array) -> Array:
        """(rows, records) what each record counts for; 0 for those that are no neighbours."""
        squares = (
            (asked**2).sum(axis=1)[:, None]
            + (self.records_**2).sum(axis=1)
            - 2.0 * asked @ self.records_.T
        )
        farthest = np.partition(squares, self.count_ - 1, axis=1)[:, self.count_ - 1, None]
        is_nearer, is_as_far = squares < farthest, squares == farthest
        room = self.count_ - is_nearer.sum(axis=1, keepdims=True)
        is_chosen = is_nearer | (is_as_far & (is_as_far.cumsum(axis=1) <= room))
        if self.weights == "uniform":
            return np.asarray(is_chosen, np.float64)
        nearest = np.sqrt(squares.min(axis=1, keepdims=True))
        ratio = np.where(squares == 0.0, 1.0, nearest / np.sqrt(np.maximum(squares, 1.0)))
        return np.asarray(np.where(is_chosen, np.rint(ratio * FULL_WEIGHT), 0.0))


class NearestClassifier(ClassifierMixin, _Neighbours):  # type: ignore[misc]  # scikit-learn has no types
    """The class of most of the nearest records; of equally many the first in order."""

    def fit(self, values: Any, target: Any) -> Self:
        """Keeps the records."""
        self.classes_, self.places_ = np.unique(np.asarray(target), return_inverse=True)
        self._learn(values)
        return self

    @property
    def answers_(self) -> Array:
        """(records, classes) 1 for the class of each."""
        return np.eye(len(self.classes_))[self.places_]

    def predict(self, values: Any) -> Array:
        """(rows,) classes."""
        places = self._counted(values, self.answers_)[:, :-1].argmax(axis=1)
        found: Array = np.asarray(self.classes_)[places]
        return found

    def predict_proba(self, values: Any) -> Array:
        """(rows, classes) the share of each class among the nearest."""
        counted = self._counted(values, self.answers_)
        shares: Array = counted[:, :-1] / counted[:, -1:]
        return shares


class NearestRegressor(RegressorMixin, _Neighbours):  # type: ignore[misc]  # scikit-learn has no types
    """The mean of the nearest records."""

    def fit(self, values: Any, target: Any) -> Self:
        """Keeps the records."""
        self.answers_ = np.asarray(target, np.float64)[:, None]
        self._learn(values)
        return self

    def predict(self, values: Any) -> Array:
        """(rows,) numbers."""
        counted = self._counted(values, self.answers_)
        means: Array = counted[:, 0] / counted[:, 1]
        return means
