"""Scalers that a private model may stand behind.

- `BoundedScaler` moves values to stated bounds and scales these to -1 and 1: it looks at no record
  and spends nothing.
- `PrivateScaler` then also takes away a noisy mean and divides by a noisy deviation.
- Neither reads the records otherwise; a missing value becomes the middle of its bounds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import numpy as np
from sklearn.base import BaseEstimator, OneToOneFeatureMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from shoal.train._private._statistics import Bounds, moments

if TYPE_CHECKING:
    from collections.abc import Sequence

    from shoal.train._private._account import Account
    from shoal.train._private._randomness import Floats


class BoundedScaler(OneToOneFeatureMixin, TransformerMixin, BaseEstimator):  # type: ignore[misc] # scikit-learn ships no types
    """Moves values to stated bounds, and scales these to -1 and 1.

    Args:
        lower: The least of each column.
        upper: The most of each column.
    """

    def __init__(self, lower: Sequence[float], upper: Sequence[float]) -> None:
        self.lower = lower
        self.upper = upper

    def fit(self, rows: Any, y: Any = None) -> Self:  # noqa: ARG002 - as scikit-learn calls it
        """Takes the number and names of columns, nothing else."""
        validate_data(self, rows, dtype=np.float64, ensure_all_finite="allow-nan")
        self.bounds_ = Bounds(tuple(self.lower), tuple(self.upper))
        self.bounds_.scaled(np.empty((0, self.n_features_in_)))
        return self

    def transform(self, rows: Any) -> Floats:
        """Rows between -1 and 1."""
        check_is_fitted(self)
        values = validate_data(
            self, rows, reset=False, dtype=np.float64, ensure_all_finite="allow-nan"
        )
        return self.bounds_.scaled(values)


class PrivateScaler(BoundedScaler):
    """Scales to a noisy mean of 0 and a noisy deviation of 1, within stated bounds.

    Args:
        lower: The least of each column.
        upper: The most of each column.
        account: What is spent from.
        epsilon: What the means and deviations may cost.
        random_state: A seed, for tests.
    """

    def __init__(
        self,
        lower: Sequence[float],
        upper: Sequence[float],
        *,
        account: Account,
        epsilon: float,
        random_state: int | None = None,
    ) -> None:
        super().__init__(lower, upper)
        self.account = account
        self.epsilon = epsilon
        self.random_state = random_state

    def fit(self, rows: Any, y: Any = None) -> Self:
        """Spends `epsilon` on the mean and the deviation of each column.

        Raises:
            BudgetError: the budget does not allow it.
        """
        super().fit(rows, y)
        self.account.take_as_public(f"bounds of {self.n_features_in_} columns, as stated")
        self.mean_, self.scale_ = moments(
            self.account, rows, self.bounds_, epsilon=self.epsilon, seed=self.random_state
        )
        return self

    def transform(self, rows: Any) -> Floats:
        """Rows with about mean 0 and deviation 1."""
        scaled: Floats = (super().transform(rows) - self.mean_) / self.scale_
        return scaled
