"""From raw data in several places to a package with proof.

- `collect` reads files, databases and tables into a dataset: its records, what holds for all of
  them, where they come from, and one digest.
- `search` compares estimators, `fit` lets one learn, `seal` proves what was exported, `attest`
  states beside the package how it came to be.
- `Budget` and `GradientClassifier` learn without giving records away.
- Importing this room loads nothing heavy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from shoal.train._collect._collect import collect
    from shoal.train._collect._dataset import Dataset, open_dataset
    from shoal.train._collect._inputs import Input, Sql
    from shoal.train._collect._join import Join
    from shoal.train._collect._recipe import Recipe, read_recipe
    from shoal.train._collect._schema import ColumnSchema, Schema
    from shoal.train._estimators._table import Choice, Real, Whole
    from shoal.train._prepare._description import Categorical, Date, Numeric, Preparation, Text
    from shoal.train._prepare._infer import preparation_of
    from shoal.train._private._account import Account, Budget
    from shoal.train._private._choice import choose_privately, choose_threshold_privately
    from shoal.train._private._estimators import GradientClassifier, GradientRegressor
    from shoal.train._private._scaling import BoundedScaler, PrivateScaler
    from shoal.train._private._sealing import as_sklearn
    from shoal.train._private._spent import PrivacySpent
    from shoal.train._private._statistics import Bounds, private_quantiles, private_vocabulary
    from shoal.train._seal._attest import attest, evidence_of
    from shoal.train._seal._evidence import Code, Data, Environment, Evidence
    from shoal.train._seal._here import code_revision, environment_here
    from shoal.train._seal._seal import seal
    from shoal.train._search._candidates import Candidate
    from shoal.train._search._folds import Folds
    from shoal.train._search._search import Fitted, Leaderboard, Settings, fit, search
    from shoal.train._search._study import Space, Tried

_LAZY = {
    "Account": "_private._account",
    "BoundedScaler": "_private._scaling",
    "Bounds": "_private._statistics",
    "Budget": "_private._account",
    "Candidate": "_search._candidates",
    "Categorical": "_prepare._description",
    "Choice": "_estimators._table",
    "Code": "_seal._evidence",
    "ColumnSchema": "_collect._schema",
    "Data": "_seal._evidence",
    "Dataset": "_collect._dataset",
    "Date": "_prepare._description",
    "Environment": "_seal._evidence",
    "Evidence": "_seal._evidence",
    "Fitted": "_search._search",
    "Folds": "_search._folds",
    "GradientClassifier": "_private._estimators",
    "GradientRegressor": "_private._estimators",
    "Input": "_collect._inputs",
    "Join": "_collect._join",
    "Leaderboard": "_search._search",
    "Numeric": "_prepare._description",
    "Preparation": "_prepare._description",
    "PrivacySpent": "_private._spent",
    "PrivateScaler": "_private._scaling",
    "Real": "_estimators._table",
    "Recipe": "_collect._recipe",
    "Schema": "_collect._schema",
    "Settings": "_search._search",
    "Space": "_search._study",
    "Sql": "_collect._inputs",
    "Text": "_prepare._description",
    "Tried": "_search._study",
    "Whole": "_estimators._table",
    "as_sklearn": "_private._sealing",
    "attest": "_seal._attest",
    "choose_privately": "_private._choice",
    "choose_threshold_privately": "_private._choice",
    "code_revision": "_seal._here",
    "collect": "_collect._collect",
    "environment_here": "_seal._here",
    "evidence_of": "_seal._attest",
    "fit": "_search._search",
    "open_dataset": "_collect._dataset",
    "preparation_of": "_prepare._infer",
    "private_quantiles": "_private._statistics",
    "private_vocabulary": "_private._statistics",
    "read_recipe": "_collect._recipe",
    "seal": "_seal._seal",
    "search": "_search._search",
}

__all__ = [
    "Account",
    "BoundedScaler",
    "Bounds",
    "Budget",
    "Candidate",
    "Categorical",
    "Choice",
    "Code",
    "ColumnSchema",
    "Data",
    "Dataset",
    "Date",
    "Environment",
    "Evidence",
    "Fitted",
    "Folds",
    "GradientClassifier",
    "GradientRegressor",
    "Input",
    "Join",
    "Leaderboard",
    "Numeric",
    "Preparation",
    "PrivacySpent",
    "PrivateScaler",
    "Real",
    "Recipe",
    "Schema",
    "Settings",
    "Space",
    "Sql",
    "Text",
    "Tried",
    "Whole",
    "as_sklearn",
    "attest",
    "choose_privately",
    "choose_threshold_privately",
    "code_revision",
    "collect",
    "environment_here",
    "evidence_of",
    "fit",
    "open_dataset",
    "preparation_of",
    "private_quantiles",
    "private_vocabulary",
    "read_recipe",
    "seal",
    "search",
]


def __getattr__(name: str) -> Any:
    """Loads what is heavy when it is first asked for."""
    from importlib import import_module

    if name not in _LAZY:
        message = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(message)
    return getattr(import_module(f"{__name__}.{_LAZY[name]}"), name)
