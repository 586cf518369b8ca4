"""The time of a search over a grid, beside that of the fits alone."""

from __future__ import annotations

import time
import warnings
from itertools import product
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from benchmarks.search._sets import table_of, values_of
from shoal.train import Choice, Folds, Numeric, Preparation, Settings, Space, search
from shoal.train._estimators._table import CLASSIFIERS
from shoal.train._search._folds import folds_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

LOGISTIC = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0)
FEATURES: tuple[str | float, ...] = ("sqrt", 0.3)
LEAVES = (1, 5)
TOLERANCE = 0.02


class Overhead(msgspec.Struct, frozen=True):
    """One round: seconds, and the greatest difference of two scores of one candidate and fold."""

    search_s: float
    fits_s: float
    apart: float


def overhead(workers: int) -> Overhead:
    """Tries one grid both ways, with so many workers each."""
    rows, target = values_of("digits")
    names = [f"x{place}" for place in range(rows.shape[1])]
    space = Space(
        estimators={
            "logistic_regression": {"C": Choice(LOGISTIC)},
            "random_forest": {
                "max_features": Choice(FEATURES),
                "min_samples_leaf": Choice(LEAVES),
            },
        }
    )
    preparation = Preparation(columns={name: Numeric(missing="drop") for name in names})
    settings = Settings(preparation=preparation, space=space, sampler="grid", workers=workers)
    records = table_of(rows, target)
    began = time.perf_counter()
    board = search(records, "target", settings=settings)
    searched = time.perf_counter()
    found = {_key(row.candidate.parameters): row.scores for row in board.rows}
    wanted = _fits(rows, target, workers)
    ended = time.perf_counter()
    apart = max(float(np.abs(np.subtract(found[key], wanted[key])).max()) for key in wanted)
    if apart > TOLERANCE:
        message = f"a candidate has another score than scikit-learn's, by {apart}"
        raise ValueError(message)
    return Overhead(searched - began, ended - searched, apart)


def _fits(rows: NDArray[np.float64], target: NDArray[Any], workers: int) -> dict[str, NDArray[Any]]:
    """The scores of scikit-learn's own cross-validation."""
    folds = folds_of(Folds(), table_of(rows, target).to_pandas(), target, "classification")
    cuts = [(fold.learn, fold.test) for fold in folds]
    models = {
        _key({"C": c}): make_pipeline(StandardScaler(), LogisticRegression(C=c, max_iter=1000))
        for c in LOGISTIC
    } | {
        _key({"max_features": features, "min_samples_leaf": leaf}): RandomForestClassifier(
            CLASSIFIERS["random_forest"].fixed["n_estimators"],
            max_features=features,
            min_samples_leaf=leaf,
            random_state=0,
        )
        for features, leaf in product(FEATURES, LEAVES)
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return {
            key: cross_validate(model, rows, target, cv=cuts, n_jobs=workers)["test_score"]
            for key, model in models.items()
        }


def _key(parameters: object) -> str:
    return msgspec.json.encode(parameters, order="sorted").decode()
