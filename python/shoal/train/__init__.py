"""From raw data in several places to a package with proof.

- `collect` reads files, databases and tables into a dataset: its records, what holds for all of
  them, where they come from, and one digest.
- `look` says what is in records before anything is trained on them: what is missing, out of the
  ordinary or equal, how they drift, and which columns (`suspects`) tell too much of the target.
- `search` compares estimators, `fit` lets one learn, `seal` proves what was exported, `attest`
  states beside the package how it came to be.
- `learn` learns in micro-batches from more records than memory holds.
- `learn_privately` learns without giving records away; `Budget` and `GradientClassifier` too.
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
    from shoal.train._learn._description import Gradient, LearnSettings, Progress
    from shoal.train._learn._learn import learn
    from shoal.train._look._facts import Finding, Look, Suspect
    from shoal.train._look._look import look
    from shoal.train._look._page._sections import to_html
    from shoal.train._look._settings import LookSettings
    from shoal.train._look._suspects import suspects
    from shoal.train._prepare._description import Categorical, Date, Numeric, Preparation, Text
    from shoal.train._prepare._infer import preparation_of
    from shoal.train._private._account import Account, Budget
    from shoal.train._private._choice import choose_privately, choose_threshold_privately
    from shoal.train._private._estimators import GradientClassifier, GradientRegressor
    from shoal.train._private._records._learn import PrivateModel, learn_privately
    from shoal.train._private._records._settings import (
        PrivateBoolean,
        PrivateCategorical,
        PrivateNumeric,
        PrivateSettings,
    )
    from shoal.train._private._scaling import BoundedScaler, PrivateScaler
    from shoal.train._private._sealing import as_sklearn
    from shoal.train._private._spent import PrivacySpent
    from shoal.train._private._statistics import Bounds, private_quantiles, private_vocabulary
    from shoal.train._run._configuration import Configuration, InputData, read_configuration
    from shoal.train._run._plan import Plan
    from shoal.train._run._reproduce import Reproduction, reproduce
    from shoal.train._run._run import Trained, Watch, run
    from shoal.train._run._threshold import Threshold
    from shoal.train._seal._attest import attest, evidence_of
    from shoal.train._seal._evidence import Code, Data, Environment, Evidence
    from shoal.train._seal._here import code_revision, environment_here
    from shoal.train._seal._seal import seal
    from shoal.train._search._candidates import Candidate
    from shoal.train._search._folds import Folds
    from shoal.train._search._search import Fitted, Leaderboard, Settings, fit, search
    from shoal.train._search._space import Space
    from shoal.train._search._study import Tried

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
    "Configuration": "_run._configuration",
    "Data": "_seal._evidence",
    "Dataset": "_collect._dataset",
    "Date": "_prepare._description",
    "Environment": "_seal._evidence",
    "Evidence": "_seal._evidence",
    "Finding": "_look._facts",
    "Fitted": "_search._search",
    "Folds": "_search._folds",
    "Gradient": "_learn._description",
    "GradientClassifier": "_private._estimators",
    "GradientRegressor": "_private._estimators",
    "Input": "_collect._inputs",
    "InputData": "_run._configuration",
    "Join": "_collect._join",
    "Leaderboard": "_search._search",
    "LearnSettings": "_learn._description",
    "Look": "_look._facts",
    "LookSettings": "_look._settings",
    "Numeric": "_prepare._description",
    "Plan": "_run._plan",
    "Preparation": "_prepare._description",
    "PrivacySpent": "_private._spent",
    "PrivateBoolean": "_private._records._settings",
    "PrivateCategorical": "_private._records._settings",
    "PrivateModel": "_private._records._learn",
    "PrivateNumeric": "_private._records._settings",
    "PrivateScaler": "_private._scaling",
    "PrivateSettings": "_private._records._settings",
    "Progress": "_learn._description",
    "Real": "_estimators._table",
    "Recipe": "_collect._recipe",
    "Reproduction": "_run._reproduce",
    "Schema": "_collect._schema",
    "Settings": "_search._search",
    "Space": "_search._space",
    "Sql": "_collect._inputs",
    "Suspect": "_look._facts",
    "Text": "_prepare._description",
    "Threshold": "_run._threshold",
    "Trained": "_run._run",
    "Tried": "_search._study",
    "Watch": "_run._run",
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
    "learn": "_learn._learn",
    "learn_privately": "_private._records._learn",
    "look": "_look._look",
    "open_dataset": "_collect._dataset",
    "preparation_of": "_prepare._infer",
    "private_quantiles": "_private._statistics",
    "private_vocabulary": "_private._statistics",
    "read_configuration": "_run._configuration",
    "read_recipe": "_collect._recipe",
    "reproduce": "_run._reproduce",
    "run": "_run._run",
    "seal": "_seal._seal",
    "search": "_search._search",
    "suspects": "_look._suspects",
    "to_html": "_look._page._sections",
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
    "Configuration",
    "Data",
    "Dataset",
    "Date",
    "Environment",
    "Evidence",
    "Finding",
    "Fitted",
    "Folds",
    "Gradient",
    "GradientClassifier",
    "GradientRegressor",
    "Input",
    "InputData",
    "Join",
    "Leaderboard",
    "LearnSettings",
    "Look",
    "LookSettings",
    "Numeric",
    "Plan",
    "Preparation",
    "PrivacySpent",
    "PrivateBoolean",
    "PrivateCategorical",
    "PrivateModel",
    "PrivateNumeric",
    "PrivateScaler",
    "PrivateSettings",
    "Progress",
    "Real",
    "Recipe",
    "Reproduction",
    "Schema",
    "Settings",
    "Space",
    "Sql",
    "Suspect",
    "Text",
    "Threshold",
    "Trained",
    "Tried",
    "Watch",
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
    "learn",
    "learn_privately",
    "look",
    "open_dataset",
    "preparation_of",
    "private_quantiles",
    "private_vocabulary",
    "read_configuration",
    "read_recipe",
    "reproduce",
    "run",
    "seal",
    "search",
    "suspects",
    "to_html",
]


def __getattr__(name: str) -> Any:
    """Loads what is heavy when it is first asked for."""
    from importlib import import_module

    if name not in _LAZY:
        message = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(message)
    return getattr(import_module(f"{__name__}.{_LAZY[name]}"), name)
