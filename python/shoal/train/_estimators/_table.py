"""Which estimators are compared: how each is made, what it needs, and what is searched.

- Nothing is imported before an estimator is made.
- `seed` makes each of them repeatable; each uses one thread, since folds are fitted in parallel.
- What is searched are the few parameters that decide most; scikit-learn's defaults stand for the
  rest.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any, Literal, NamedTuple, TypeAlias

import msgspec

from shoal.errors import InvalidRequestError, RequirementError

Task: TypeAlias = Literal["classification", "regression"]


class Whole(msgspec.Struct, frozen=True, tag_field="kind", tag="whole"):
    """Whole numbers from `low` to `high`, evenly or by their logarithm."""

    low: int
    high: int
    is_log: bool = False


class Real(msgspec.Struct, frozen=True, tag_field="kind", tag="real"):
    """Numbers from `low` to `high`, evenly or by their logarithm."""

    low: float
    high: float
    is_log: bool = False


class Choice(msgspec.Struct, frozen=True, tag_field="kind", tag="choice"):
    """One of several values."""

    values: tuple[str | int | float | bool | None, ...]


Range: TypeAlias = Whole | Real | Choice


class Entry(NamedTuple):
    """One estimator for one task.

    Attributes:
        place: Its module and class.
        fixed: Parameters that are not searched.
        searched: Parameters that are, by name.
        is_scaled: Whether it needs features of one scale.
        takes_missing: Whether it takes missing numbers, and exports that truly.
        in_double: Whether it computes, and is exported, in double precision.
        has_seed: Whether it draws at random.
        weighs_classes: The parameter that balances classes; None where it has none.
        most_records: Compared with others only up to so many records, beyond which one fit takes
            hours; None for any number.
    """

    place: str
    fixed: dict[str, Any]
    searched: dict[str, Range]
    is_scaled: bool = False
    takes_missing: bool = False
    in_double: bool = False
    has_seed: bool = True
    weighs_classes: str | None = None
    most_records: int | None = None


_TREES: dict[str, Range] = {
    "max_features": Choice(("sqrt", 0.3, 0.6, 1.0)),
    "min_samples_leaf": Whole(1, 20, is_log=True),
}
_BOOSTING: dict[str, Range] = {
    "learning_rate": Real(0.02, 0.3, is_log=True),
    "max_leaf_nodes": Whole(8, 64, is_log=True),
    "min_samples_leaf": Whole(5, 50, is_log=True),
    "l2_regularization": Real(1e-3, 10.0, is_log=True),
}
_LIGHTGBM: dict[str, Range] = {
    "learning_rate": Real(0.02, 0.3, is_log=True),
    "num_leaves": Whole(8, 64, is_log=True),
    "min_child_samples": Whole(5, 50, is_log=True),
    "reg_lambda": Real(1e-3, 10.0, is_log=True),
}
_XGBOOST: dict[str, Range] = {
    "learning_rate": Real(0.02, 0.3, is_log=True),
    "max_depth": Whole(3, 10),
    "min_child_weight": Real(0.5, 20.0, is_log=True),
    "reg_lambda": Real(1e-3, 10.0, is_log=True),
}
_MLP: dict[str, Range] = {
    "hidden_layer_sizes": Choice((32, 64, 128, 256)),
    "alpha": Real(1e-6, 1e-1, is_log=True),
    "learning_rate_init": Real(3e-4, 1e-2, is_log=True),
}
_NEIGHBOURS: dict[str, Range] = {
    "n_neighbors": Whole(1, 50, is_log=True),
    "weights": Choice(("uniform", "distance")),
}
_STOPS: dict[str, Any] = {"early_stopping": True, "max_iter": 200}
_ONE_THREAD: dict[str, Any] = {"n_jobs": 1, "verbosity": 0}
_SVM: dict[str, Range] = {"C": Real(1e-2, 1e2, is_log=True), "gamma": Real(1e-4, 1.0, is_log=True)}
# The time of one fit grows with the square of the records.
MOST_RECORDS_OF_A_KERNEL = 20_000

CLASSIFIERS = {
    "dummy": Entry("sklearn.dummy.DummyClassifier", {"strategy": "prior"}, {}),
    "logistic_regression": Entry(
        "sklearn.linear_model.LogisticRegression",
        {"max_iter": 1000},
        {"C": Real(1e-3, 1e2, is_log=True)},
        is_scaled=True,
        in_double=True,
        weighs_classes="class_weight",
    ),
    "linear_svm": Entry(
        "sklearn.svm.LinearSVC",
        {"max_iter": 5000},
        {"C": Real(1e-3, 1e1, is_log=True)},
        is_scaled=True,
        in_double=True,
        weighs_classes="class_weight",
    ),
    "svm": Entry(
        "sklearn.svm.SVC",
        {},
        _SVM,
        is_scaled=True,
        in_double=True,
        weighs_classes="class_weight",
        most_records=MOST_RECORDS_OF_A_KERNEL,
    ),
    "random_forest": Entry(
        "sklearn.ensemble.RandomForestClassifier",
        {"n_estimators": 256},  # a power of two: see `_leaves`
        _TREES,
        weighs_classes="class_weight",
    ),
    "hist_gradient_boosting": Entry(
        "sklearn.ensemble.HistGradientBoostingClassifier",
        _STOPS,
        _BOOSTING,
        takes_missing=True,
        weighs_classes="class_weight",
    ),
    "lightgbm": Entry(
        "lightgbm.LGBMClassifier",
        {"n_estimators": 200, "n_jobs": 1, "verbosity": -1},
        _LIGHTGBM,
        takes_missing=True,
        weighs_classes="class_weight",
    ),
    "xgboost": Entry(
        "shoal.train._estimators._boosting.NamedXgboost",
        {"n_estimators": 200, **_ONE_THREAD},
        _XGBOOST,
        takes_missing=True,
    ),
    "nearest_neighbours": Entry(
        "shoal.train._estimators._neighbours.NearestClassifier",
        {},
        _NEIGHBOURS,
        is_scaled=True,
        in_double=True,
        has_seed=False,
    ),
    "naive_bayes": Entry(
        "sklearn.naive_bayes.GaussianNB",
        {},
        {"var_smoothing": Real(1e-9, 1e-1, is_log=True)},
        is_scaled=True,
        in_double=True,
        has_seed=False,
    ),
    "mlp": Entry(
        "sklearn.neural_network.MLPClassifier", _STOPS, _MLP, is_scaled=True, in_double=True
    ),
}
REGRESSORS = {
    "dummy": Entry("sklearn.dummy.DummyRegressor", {"strategy": "mean"}, {}, has_seed=False),
    "ridge": Entry(
        "sklearn.linear_model.Ridge",
        {},
        {"alpha": Real(1e-3, 1e3, is_log=True)},
        is_scaled=True,
        in_double=True,
    ),
    "linear_svm": Entry(
        "sklearn.svm.LinearSVR",
        {"max_iter": 5000},
        {"C": Real(1e-2, 1e2, is_log=True)},
        is_scaled=True,
        in_double=True,
    ),
    "svm": Entry(
        "sklearn.svm.SVR",
        {},
        _SVM,
        is_scaled=True,
        in_double=True,
        has_seed=False,
        most_records=MOST_RECORDS_OF_A_KERNEL,
    ),
    "random_forest": Entry("sklearn.ensemble.RandomForestRegressor", {"n_estimators": 200}, _TREES),
    "hist_gradient_boosting": Entry(
        "sklearn.ensemble.HistGradientBoostingRegressor", _STOPS, _BOOSTING, takes_missing=True
    ),
    "lightgbm": Entry(
        "lightgbm.LGBMRegressor",
        {"n_estimators": 200, "n_jobs": 1, "verbosity": -1},
        _LIGHTGBM,
        takes_missing=True,
    ),
    "xgboost": Entry(
        "xgboost.XGBRegressor", {"n_estimators": 200, **_ONE_THREAD}, _XGBOOST, takes_missing=True
    ),
    "nearest_neighbours": Entry(
        "shoal.train._estimators._neighbours.NearestRegressor",
        {},
        _NEIGHBOURS,
        is_scaled=True,
        in_double=True,
        has_seed=False,
    ),
    "mlp": Entry(
        "sklearn.neural_network.MLPRegressor", _STOPS, _MLP, is_scaled=True, in_double=True
    ),
}
TABLES: dict[Task, dict[str, Entry]] = {
    "classification": CLASSIFIERS,
    "regression": REGRESSORS,
}


def entry(task: Task, name: str) -> Entry:
    """One estimator.

    Raises:
        InvalidRequestError: there is none of that name for the task.
    """
    found = TABLES[task].get(name)
    if found is None:
        message = f"there is no estimator {name!r} for {task}"
        raise InvalidRequestError(message, hint=f"There are {', '.join(TABLES[task])}.")
    return found


def made(found: Entry, parameters: dict[str, Any], *, seed: int, is_balanced: bool = False) -> Any:
    """An estimator that is not fitted.

    Args:
        found: Which.
        parameters: Those that are searched, or others of its own.
        seed: What its random choices follow from.
        is_balanced: Whether rare classes count for more.

    Raises:
        InvalidRequestError: it cannot balance classes, or has no such parameter.
        RequirementError: its library is not installed.
    """
    chosen = {**found.fixed, **parameters}
    if found.has_seed:
        chosen["random_state"] = seed
    if is_balanced:
        if found.weighs_classes is None:
            kind = found.place.rpartition(".")[2]
            raise InvalidRequestError(f"{kind} cannot weigh classes", hint="Resample instead.")
        chosen[found.weighs_classes] = "balanced"
    try:
        return _class(found.place)(**chosen)
    except TypeError as error:
        raise InvalidRequestError(f"{found.place} takes other parameters: {error}") from error


def _class(place: str) -> Any:
    module, _, name = place.rpartition(".")
    try:
        return getattr(import_module(module), name)
    except ImportError as error:
        message = f"{place} needs {error.name}, which is not installed"
        raise RequirementError(message, hint="pip install 'shoal[train]'") from error
