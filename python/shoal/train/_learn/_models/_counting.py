"""Naive Bayes: each record counts once, and what is counted adds up.

- The answer is that of `fit` on all records at once, but for rounding: moments of classes are
  merged (Chan et al.), counts are added.
- Records are read once; held-out ones do not count.

Source: Chan, Golub and LeVeque 1983, "Algorithms for Computing the Sample Variance".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.base import clone

from shoal.errors import InvalidRequestError
from shoal.train._learn._models._averaging import error_of
from shoal.train._learn._models._learner import Update

if TYPE_CHECKING:
    from collections.abc import Sequence

    from shoal.train._learn._models._learner import Array, Facts, Moment, Shard, State

COUNTED = ("class_count_", "feature_count_")


class Counting:
    """Counts for MultinomialNB and BernoulliNB; see `Learner`."""

    epochs = 1

    def __init__(self, estimator: Any, facts: Facts) -> None:
        """Takes an estimator that is not fitted."""
        self._facts = facts
        self._plain = clone(estimator)

    def begin(self) -> State:
        """See `Learner`."""
        classes = len(self._facts.labels)
        shapes = ((classes,), (classes, self._facts.features))
        return {name: np.zeros(shape) for name, shape in zip(COUNTED, shapes, strict=True)}

    def work(self, state: State, shard: Shard) -> Update:
        """See `Learner`.

        Raises:
            InvalidRequestError: scikit-learn refuses a value, such as one below 0.
        """
        del state
        model, labels = clone(self._plain), self._facts.labels
        try:
            model.partial_fit(shard.rows, labels[shard.target.astype(np.intp)], classes=labels)
        except ValueError as error:
            hint = "MultinomialNB takes counts: numbers from 0 up, and no scaling below 0."
            raise InvalidRequestError(f"the estimator refuses: {error}", hint=hint) from error
        return Update({name: getattr(model, name) for name in COUNTED}, len(shard.rows), None)

    def merge(self, state: State, updates: Sequence[Update], moment: Moment) -> State:
        """See `Learner`."""
        del moment
        return {
            name: state[name] + np.sum([update.arrays[name] for update in updates], axis=0)
            for name in COUNTED
        }

    def loss(self, state: State, shard: Shard) -> float:
        """See `Learner`."""
        return error_of(self.estimator(state), shard, self._facts)

    def estimator(self, state: State) -> Any:
        """See `Learner`."""
        model = clone(self._plain)
        model.classes_, model.n_features_in_ = self._facts.labels, self._facts.features
        for name in COUNTED:
            setattr(model, name, state[name])
        # What its partial_fit does after counting.
        model._update_feature_log_prob(model._check_alpha())  # noqa: SLF001
        model._update_class_log_prior(class_prior=model.class_prior)  # noqa: SLF001
        return model


class Moments:
    """Means and variances for GaussianNB; see `Learner`."""

    epochs = 1

    def __init__(self, estimator: Any, facts: Facts) -> None:
        """Takes an estimator that is not fitted."""
        self._facts = facts
        self._plain = clone(estimator)

    def begin(self) -> State:
        """See `Learner`."""
        shape = (len(self._facts.labels), self._facts.features)
        return {
            "count": np.zeros((shape[0], 1)),
            "mean": np.zeros(shape),
            "spread": np.zeros(shape),
        }

    def work(self, state: State, shard: Shard) -> Update:
        """See `Learner`."""
        del state
        found = self.begin()
        for place in np.unique(shard.target.astype(np.intp)):
            rows = shard.rows[shard.target == place]
            found["count"][place] = len(rows)
            found["mean"][place] = rows.mean(axis=0)
            found["spread"][place] = np.square(rows - found["mean"][place]).sum(axis=0)
        return Update(found, len(shard.rows), None)

    def merge(self, state: State, updates: Sequence[Update], moment: Moment) -> State:
        """See `Learner`."""
        del moment
        for update in updates:
            state = _joined(state, update.arrays)
        return state

    def loss(self, state: State, shard: Shard) -> float:
        """See `Learner`."""
        return error_of(self.estimator(state), shard, self._facts)

    def estimator(self, state: State) -> Any:
        """See `Learner`."""
        model = clone(self._plain)
        counts = state["count"][:, 0]
        whole = _over_classes(state)
        model.classes_, model.n_features_in_ = self._facts.labels, self._facts.features
        model.epsilon_ = model.var_smoothing * float((whole / counts.sum()).max())
        model.class_count_, model.theta_ = counts, state["mean"]
        model.var_ = state["spread"] / np.maximum(state["count"], 1.0) + model.epsilon_
        model.class_prior_ = counts / counts.sum()
        if model.priors is not None:
            model.class_prior_ = np.asarray(model.priors, np.float64)
        return model


def _joined(one: State, other: State) -> State:
    """The moments of two sets of records, for each class."""
    count = one["count"] + other["count"]
    share = other["count"] / np.maximum(count, 1.0)
    apart = other["mean"] - one["mean"]
    spread = one["spread"] + other["spread"] + np.square(apart) * one["count"] * share
    return {"count": count, "mean": one["mean"] + apart * share, "spread": spread}


def _over_classes(state: State) -> Array:
    """(features,) the squared distances of all records from their mean."""
    counts = state["count"]
    mean = (counts * state["mean"]).sum(axis=0) / counts.sum()
    apart: Array = (counts * np.square(state["mean"] - mean)).sum(axis=0)
    total: Array = state["spread"].sum(axis=0) + apart
    return total
