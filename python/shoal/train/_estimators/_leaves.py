"""Shares of classes in the leaves of a forest, as whole numbers of a small unit.

A forest adds up the shares that its trees give to each class. Two classes often come out equal, or
nearly so, and rounding would decide between them, in the original one way and in single precision
another. Rounded to units of 2**-24 times the number of trees, a power of two, shares add up without
any rounding, in both and in any order: what is equal is equal in both.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.ensemble import RandomForestClassifier

if TYPE_CHECKING:
    from numpy.typing import NDArray

_SINGLE_BITS = 24


def round_leaves(estimator: Any) -> None:
    """Rounds the leaves of a fitted estimator, if it is a forest that votes on classes."""
    if not isinstance(estimator, RandomForestClassifier):
        return
    bits = int(np.ceil(np.log2(len(estimator.estimators_))))
    for tree in estimator.estimators_:
        shares = tree.tree_.value  # a view of what the tree holds
        shares[:, 0, :] = in_units(shares[:, 0, :], 2 ** (_SINGLE_BITS - bits))


def in_units(shares: NDArray[np.float64], units: int) -> NDArray[np.float64]:
    """(n, classes) shares that add up to 1, each a whole number of `1 / units`.

    What is left after rounding down goes to those that lost most by it.
    """
    scaled = shares * units
    whole = np.floor(scaled)
    left = np.rint(units - whole.sum(axis=1)).astype(np.int64)
    order = np.argsort(whole - scaled, axis=1, kind="stable")
    rank = np.argsort(order, axis=1, kind="stable")
    exact: NDArray[np.float64] = (whole + (rank < left[:, None])) / units
    return exact
