"""Linear models of scikit-learn: each shard goes on from the last mean, and the next is theirs.

- `partial_fit` goes through the records of a shard one by one; coefficients and intercepts are then
  merged by the weighted mean. More shards are more models whose mean is taken.
- `t_`, which some learning rates follow, grows by the records of the largest shard of a step.
- Records come mixed; so an estimator does not mix them again, and uses no thread of its own.

Source: McDonald, Hall and Mann 2010, "Distributed Training Strategies for the Structured
Perceptron" (iterative parameter mixing).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.base import clone

from shoal.errors import InvalidRequestError
from shoal.train._learn._models._learner import Update
from shoal.train._learn._models._merging import weighted_mean

if TYPE_CHECKING:
    from collections.abc import Sequence

    from shoal.train._learn._models._learner import Array, Facts, Moment, Shard, State

BINARY = 2
AVERAGED = ("coef_", "intercept_")
# What would be done twice, or looks at more than one shard.
REFUSED = {"average": False, "early_stopping": False, "class_weight": None}


class Averaging:
    """Learns the coefficients of a linear model; see `Learner`."""

    epochs = 5

    def __init__(self, estimator: Any, facts: Facts) -> None:
        """Takes an estimator that is not fitted.

        Raises:
            InvalidRequestError: a parameter of it cannot be used.
        """
        self._facts = facts
        self._plain = clone(estimator)
        parameters = self._plain.get_params()
        for name, usual in REFUSED.items():
            value = parameters.get(name, usual)
            if value != usual and not isinstance(value, dict):
                kind = type(estimator).__name__
                message = f"{kind} has {name}={value!r}, which cannot be learned in micro-batches"
                raise InvalidRequestError(message, hint="Leave it as it is by default.")
        fixed = {"shuffle": False, "random_state": facts.seed, "n_jobs": None, "warm_start": False}
        known = {name: value for name, value in fixed.items() if name in parameters}
        self._plain.set_params(**known)
        _checked(self._plain._validate_params)  # noqa: SLF001 - as its partial_fit does first
        _checked(self._plain._more_validate_params, for_partial_fit=True)  # noqa: SLF001

    def begin(self) -> State:
        """See `Learner`."""
        classes, features = self._facts.classes, self._facts.features
        rows = 1 if classes is None or len(classes) == BINARY else len(classes)
        shape = (features,) if classes is None else (rows, features)
        return {"coef_": np.zeros(shape), "intercept_": np.zeros(rows), "t_": np.asarray(1.0)}

    def work(self, state: State, shard: Shard) -> Update:
        """See `Learner`."""
        model = self.estimator(state)
        target = shard.target
        if self._facts.classes is not None:
            target = self._facts.labels[target.astype(np.intp)]
        _checked(model.partial_fit, shard.rows, target)
        return Update({name: getattr(model, name) for name in AVERAGED}, len(target), None)

    def merge(self, state: State, updates: Sequence[Update], moment: Moment) -> State:
        """See `Learner`."""
        del moment
        rows = [update.rows for update in updates]
        merged = {
            name: weighted_mean([update.arrays[name] for update in updates], rows)
            for name in AVERAGED
        }
        return {**merged, "t_": state["t_"] + max(rows)}

    def loss(self, state: State, shard: Shard) -> float:
        """See `Learner`."""
        return error_of(self.estimator(state), shard, self._facts)

    def estimator(self, state: State) -> Any:
        """See `Learner`."""
        model = clone(self._plain)
        for name in AVERAGED:
            setattr(model, name, state[name].copy())
        model.t_, model.n_features_in_, model.n_iter_ = float(state["t_"]), self._facts.features, 1
        if self._facts.classes is not None:
            model.classes_ = self._facts.labels
        return model


def error_of(model: Any, shard: Shard, facts: Facts) -> float:
    """How many records are answered wrongly, or the sum of squared errors."""
    answers = model.predict(shard.rows)
    if facts.classes is None:
        return float(np.square(answers - shard.target).sum())
    wanted: Array = facts.labels[shard.target.astype(np.intp)]
    return float((answers != wanted).sum())


def _checked(function: Any, *arguments: Any, **options: Any) -> None:
    """Calls scikit-learn; what it refuses is refused by name.

    Raises:
        InvalidRequestError: it refuses.
    """
    try:
        function(*arguments, **options)
    except ValueError as error:
        hint = "See scikit-learn for its parameters; a smaller eta0 keeps numbers finite."
        raise InvalidRequestError(f"the estimator refuses: {error}", hint=hint) from error
