"""Fitted pipelines as they are exported: by estimators that answer the same, and have an export.

- A baseline is a linear model whose weights are zero.
- What computes in double precision is exported so.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import Pipeline

from shoal.train._estimators._double import doubled


def plain(fitted: Pipeline, rows: Any) -> Pipeline:
    """The pipeline as it is exported.

    Args:
        fitted: A fitted pipeline.
        rows: Some that it takes.
    """
    name, last = fitted.steps[-1]
    if isinstance(last, DummyClassifier | DummyRegressor):
        width = fitted[:-1].transform(rows).shape[1]
        is_class = isinstance(last, DummyClassifier)
        last = _classifier(last, width) if is_class else _number(last, width)
    return Pipeline([*fitted.steps[:-1], (name, doubled(last))])


def _classifier(dummy: DummyClassifier, width: int) -> LogisticRegression:
    made = LogisticRegression()
    made.classes_ = dummy.classes_
    logs = np.log(np.maximum(dummy.class_prior_, np.finfo(np.float64).tiny))
    is_binary = len(logs) == 2  # noqa: PLR2004 - one row of weights says both
    made.intercept_ = logs[1:] - logs[:1] if is_binary else logs
    made.coef_ = np.zeros((len(made.intercept_), width))
    made.n_features_in_, made.n_iter_ = width, np.zeros(1, np.int32)
    return made


def _number(dummy: DummyRegressor, width: int) -> LinearRegression:
    made = LinearRegression()
    made.coef_, made.intercept_ = np.zeros(width), float(np.ravel(dummy.constant_)[0])
    made.n_features_in_ = width
    return made
