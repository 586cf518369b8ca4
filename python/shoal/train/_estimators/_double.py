"""Estimators that answer in double precision once they are exported too.

The converters of skl2onnx compute linear models, kernels, networks and likelihoods in single
precision: of a million records one or two then get another label, those that lie between two
classes. What is here stands in the place of a fitted estimator when it is exported: it answers by
that estimator, and has a converter (`_double_onnx`) that computes as it does.

- Answers are single precision in the end; what decides about a label is double.
- Features are given as doubles when an estimator learns as well (`IN_DOUBLE`), since several of
  them compute in the precision that they are given.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from skl2onnx.sklapi import CastTransformer
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.naive_bayes import GaussianNB
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.svm import SVC, SVR, LinearSVC, LinearSVR

# The step before an estimator that computes in double precision.
IN_DOUBLE: tuple[str, Any] = ("double", CastTransformer(dtype=np.float64))


class _Exported(BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """A fitted estimator, to be exported in double precision."""

    def __init__(self, original: Any) -> None:
        """Takes the fitted estimator."""
        self.original = original

    def fit(self, values: Any, target: Any) -> Any:
        """Lets the original learn anew."""
        self.original.fit(values, target)
        return self

    def predict(self, values: Any) -> Any:
        """What the original answers."""
        return self.original.predict(values)

    def __sklearn_is_fitted__(self) -> bool:
        return True

    @property
    def n_features_in_(self) -> int:
        """How many features there are."""
        return int(self.original.n_features_in_)


class _Classifier(ClassifierMixin, _Exported):  # type: ignore[misc]  # scikit-learn has no types
    @property
    def classes_(self) -> Any:
        """The classes, sorted."""
        return self.original.classes_


class _Probable(_Classifier):
    def predict_proba(self, values: Any) -> Any:
        """(rows, classes) what the original answers."""
        return self.original.predict_proba(values)


class _Scored(_Classifier):
    def decision_function(self, values: Any) -> Any:
        """(rows, classes) what the original answers; of two classes each has a score."""
        scores = self.original.decision_function(values)
        return np.stack([-scores, scores], axis=1) if scores.ndim == 1 else scores


class _Regressor(RegressorMixin, _Exported):  # type: ignore[misc]  # scikit-learn has no types
    pass


class DoubleLogisticRegression(_Probable):
    """A logistic regression."""


class DoubleNaiveBayes(_Probable):
    """Naive Bayes with normal distributions."""


class DoubleNetworkClassifier(_Probable):
    """A network that answers with a class."""


class DoubleLinearSVC(_Scored):
    """A linear support vector machine."""


class DoubleSVC(_Scored):
    """A support vector machine with a kernel."""


class DoubleLinear(_Regressor):
    """A linear model that answers with a number."""


class DoubleNetworkRegressor(_Regressor):
    """A network that answers with a number."""


class DoubleSVR(_Regressor):
    """A support vector machine with a kernel that answers with a number."""


_KINDS: tuple[tuple[tuple[type, ...], type[_Exported]], ...] = (
    ((LogisticRegression,), DoubleLogisticRegression),
    ((GaussianNB,), DoubleNaiveBayes),
    ((MLPClassifier,), DoubleNetworkClassifier),
    ((LinearSVC,), DoubleLinearSVC),
    ((SVC,), DoubleSVC),
    ((LinearRegression, Ridge, LinearSVR), DoubleLinear),
    ((MLPRegressor,), DoubleNetworkRegressor),
    ((SVR,), DoubleSVR),
)
_LAST_ACTIVATIONS = frozenset({"identity", "logistic", "softmax"})


def doubled(estimator: Any) -> Any:
    """A fitted estimator as it is exported: in double precision, where that is known here.

    Machines with another kernel than that of distances, or with probabilities, and networks that
    end otherwise than usual are left as they are.
    """
    if isinstance(estimator, SVC | SVR) and not _is_usual_machine(estimator):
        return estimator
    if getattr(estimator, "out_activation_", "softmax") not in _LAST_ACTIVATIONS:
        return estimator
    for kinds, double in _KINDS:
        if type(estimator) in kinds:
            return double(estimator)
    return estimator


def _is_usual_machine(machine: Any) -> bool:
    is_usual = machine.kernel == "rbf" and not getattr(machine, "break_ties", False)
    has_others = getattr(machine, "probability", False) is True
    return (
        is_usual and not has_others and getattr(machine, "decision_function_shape", "ovr") == "ovr"
    )
