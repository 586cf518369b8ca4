"""Linear models and ReLU networks by stochastic gradient descent with momentum.

- A step goes along the mean gradient of its records: the sums of its shards over their number.
- A gradient is clipped before the penalty is added to it; biases have no penalty.
- A loss that is not finite ends the learning with an error, and does not go on as if nothing were.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from shoal.errors import InvalidRequestError
from shoal.train._learn._models._learner import Update
from shoal.train._learn._models._merging import total
from shoal.train._private._descent import start
from shoal.train._private._estimators import GradientClassifier, GradientRegressor
from shoal.train._private._network import Network
from shoal.train._private._randomness import SeededRandomness
from shoal.train._private._sealing import as_sklearn

if TYPE_CHECKING:
    from collections.abc import Sequence

    from shoal.train._learn._description import Gradient
    from shoal.train._learn._models._learner import Array, Facts, Moment, Shard, State

TWO = 2


class Descent:
    """Learns the parameters of a network; see `Learner`."""

    epochs = 5

    def __init__(self, described: Gradient, facts: Facts) -> None:
        """Takes how, and for what."""
        self._described, self._facts = described, facts
        classes = facts.classes
        outputs = 1 if classes is None or len(classes) == TWO else len(classes)
        widths = (facts.features, *described.hidden_layers, outputs)
        loss = "squared" if classes is None else ("logistic" if outputs == 1 else "softmax")
        self._network = Network(widths, loss)  # type: ignore[arg-type] # one of the three
        self._has_penalty = _is_weight(self._network)

    def begin(self) -> State:
        """See `Learner`."""
        parameters = start(self._network, SeededRandomness(self._facts.seed))
        return {"parameters": parameters, "velocity": np.zeros(self._network.size)}

    def work(self, state: State, shard: Shard) -> Update:
        """See `Learner`."""
        clip = self._described.clip_norm if self._described.clipping == "record" else None
        loss, gradient = self._network.loss_and_sum(
            state["parameters"], shard.rows, self._targets(shard.target), clip
        )
        return Update({"gradient": gradient}, len(shard.rows), loss)

    def merge(self, state: State, updates: Sequence[Update], moment: Moment) -> State:
        """See `Learner`."""
        if not all(math.isfinite(update.loss or 0.0) for update in updates):
            message = f"the loss is not finite in step {moment.step + 1}, the model runs away"
            raise InvalidRequestError(message, hint="Lower learning_rate, or say clip_norm=1.")
        parameters, described = state["parameters"], self._described
        rows = sum(update.rows for update in updates)
        mean = total([update.arrays["gradient"] for update in updates]) / rows
        gradient = self._clipped(mean) + described.penalty * self._has_penalty * parameters
        velocity = described.momentum * state["velocity"] + gradient
        rate = described.learning_rate
        if described.schedule == "cosine":
            rate *= 0.5 * (1.0 + math.cos(math.pi * moment.step / moment.steps))
        return {"parameters": parameters - rate * velocity, "velocity": velocity}

    def loss(self, state: State, shard: Shard) -> float:
        """See `Learner`."""
        targets = self._targets(shard.target)
        return self._network.loss_sum(state["parameters"], shard.rows, targets)

    def estimator(self, state: State) -> Any:
        """See `Learner`."""
        mean, deviation = self._facts.target
        made: Any
        if self._facts.classes is None:
            made = GradientRegressor()
            made.target_center_, made.target_scale_ = mean, deviation
        else:
            made = GradientClassifier()
            made.classes_ = self._facts.labels
        made.network_, made.parameters_ = self._network, state["parameters"]
        made.n_features_in_, made.n_steps_ = self._facts.features, 1
        return as_sklearn(made)

    def _targets(self, target: Array) -> Array:
        """(rows, outputs), as the network takes them."""
        if self._network.loss == "softmax":
            return np.eye(self._network.widths[-1])[target.astype(np.intp)]
        if self._network.loss == "logistic":
            return target[:, None]
        mean, deviation = self._facts.target
        scaled: Array = ((target - mean) / deviation)[:, None]
        return scaled

    def _clipped(self, gradient: Array) -> Array:
        clip = self._described.clip_norm
        if clip is None or self._described.clipping != "sum":
            return gradient
        norm = float(np.linalg.norm(gradient))
        return gradient if norm <= clip else gradient * (clip / norm)


def _is_weight(network: Network) -> Array:
    """1 for each weight, 0 for each bias."""
    parts = [
        np.repeat([1.0, 0.0], [before * after, after]) for before, after in pairwise(network.widths)
    ]
    return np.concatenate(parts)
