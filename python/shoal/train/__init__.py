"""From raw data to a package with proof.

- Importing this room loads nothing heavy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from shoal.train._private._account import Account, Budget
    from shoal.train._private._choice import choose_privately, choose_threshold_privately
    from shoal.train._private._estimators import GradientClassifier, GradientRegressor
    from shoal.train._private._scaling import BoundedScaler, PrivateScaler
    from shoal.train._private._sealing import as_sklearn
    from shoal.train._private._spent import PrivacySpent
    from shoal.train._private._statistics import Bounds, private_quantiles, private_vocabulary

_LAZY = {
    "Account": "_private._account",
    "BoundedScaler": "_private._scaling",
    "Bounds": "_private._statistics",
    "Budget": "_private._account",
    "GradientClassifier": "_private._estimators",
    "GradientRegressor": "_private._estimators",
    "PrivacySpent": "_private._spent",
    "PrivateScaler": "_private._scaling",
    "as_sklearn": "_private._sealing",
    "choose_privately": "_private._choice",
    "choose_threshold_privately": "_private._choice",
    "private_quantiles": "_private._statistics",
    "private_vocabulary": "_private._statistics",
}

__all__ = [
    "Account",
    "BoundedScaler",
    "Bounds",
    "Budget",
    "GradientClassifier",
    "GradientRegressor",
    "PrivacySpent",
    "PrivateScaler",
    "as_sklearn",
    "choose_privately",
    "choose_threshold_privately",
    "private_quantiles",
    "private_vocabulary",
]


def __getattr__(name: str) -> Any:
    """Loads what needs numpy and scikit-learn when it is first asked for."""
    from importlib import import_module

    if name not in _LAZY:
        message = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(message)
    return getattr(import_module(f"{__name__}.{_LAZY[name]}"), name)
