"""Linear models and networks of ReLU layers: answers, and sums of clipped gradients.

- A model is one vector of parameters and its widths: inputs, hidden layers, outputs. No hidden
  layer is a linear model.
- The gradient of a record for one layer is the outer product of what the layer took (and 1, for
  the bias) and what comes back; so its norm is a product of two norms, and no gradient of a single
  record is ever held.
- A gradient above the clip is scaled down to it; one that is not finite counts as nothing.
- The memory of a sum is that of one micro-batch times the widths.

Source for the norms: Goodfellow 2015, "Efficient Per-Example Gradient Computations"
(arXiv 1510.01799).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from shoal.train._private._randomness import Floats

Loss: TypeAlias = Literal["logistic", "softmax", "squared"]


@dataclass(frozen=True)
class Network:
    """The form of a model.

    Attributes:
        widths: Inputs, hidden layers, outputs.
        loss: What is minimised, and what turns outputs into answers: `logistic` for one output and
            targets 0 or 1, `softmax` for one output for each class, `squared` for numbers.
    """

    widths: tuple[int, ...]
    loss: Loss

    @property
    def size(self) -> int:
        """How many parameters the model has."""
        return sum((before + 1) * after for before, after in pairwise(self.widths))

    def layers(self, parameters: Floats) -> list[tuple[Floats, Floats]]:
        """Views of the parameters: weights (inputs, outputs) and biases of each layer."""
        views, start = [], 0
        for before, after in pairwise(self.widths):
            middle, end = start + before * after, start + (before + 1) * after
            views.append((parameters[start:middle].reshape(before, after), parameters[middle:end]))
            start = end
        return views

    def outputs(self, parameters: Floats, rows: Floats) -> Floats:
        """What comes out of the last layer, (rows, outputs)."""
        return self._forward(parameters, rows)[-1]

    def answers(self, parameters: Floats, rows: Floats) -> Floats:
        """Probabilities, or numbers for the squared loss, (rows, outputs)."""
        return _answers(self.outputs(parameters, rows), self.loss)

    def clipped_sum(
        self, parameters: Floats, rows: Floats, targets: Floats, clip_norm: float | None
    ) -> Floats:
        """The sum of the gradients of some rows, each clipped.

        Args:
            parameters: Of the model.
            rows: (rows, inputs).
            targets: (rows, outputs): 0 and 1, or numbers.
            clip_norm: The most a gradient may have in the Euclidean norm; None clips nothing.

        Returns:
            (parameters,).
        """
        with np.errstate(all="ignore"):  # what overflows is not finite, and taken out below
            taken = self._forward(parameters, rows)
            return self._summed(parameters, taken, targets, clip_norm)[0]

    def loss_and_sum(
        self, parameters: Floats, rows: Floats, targets: Floats, clip_norm: float | None
    ) -> tuple[float, Floats]:
        """The sum of the losses of some rows beside what `clipped_sum` gives.

        The loss is not finite where a loss or a gradient is not.
        """
        with np.errstate(all="ignore"):
            taken = self._forward(parameters, rows)
            total, is_whole = self._summed(parameters, taken, targets, clip_norm)
            loss = _loss(taken[-1], targets, self.loss)
            return loss if is_whole else math.nan, total

    def loss_sum(self, parameters: Floats, rows: Floats, targets: Floats) -> float:
        """The sum of the losses of some rows; not finite where one is not."""
        with np.errstate(all="ignore"):
            return _loss(self.outputs(parameters, rows), targets, self.loss)

    def _summed(
        self, parameters: Floats, taken: list[Floats], targets: Floats, clip_norm: float | None
    ) -> tuple[Floats, bool]:
        """The sum of clipped gradients, and whether all of them were finite."""
        returned = self._backward(parameters, taken, targets)
        scale = _scale(_norms(taken[:-1], returned), clip_norm)
        is_kept = scale > 0
        total = np.empty(self.size)
        sums = self.layers(total)
        for (weights, biases), before, after in zip(sums, taken, returned, strict=False):
            scaled = after[is_kept] * scale[is_kept, None]
            weights[:] = before[is_kept].T @ scaled
            biases[:] = scaled.sum(axis=0)
        return total, bool(is_kept.all())

    def _forward(self, parameters: Floats, rows: Floats) -> list[Floats]:
        """What each layer takes, and what the last one gives."""
        values = [rows]
        layers = self.layers(parameters)
        for place, (weights, biases) in enumerate(layers, 1):
            linear = values[-1] @ weights + biases
            values.append(linear if place == len(layers) else np.maximum(linear, 0.0))
        return values

    def _backward(self, parameters: Floats, taken: list[Floats], targets: Floats) -> list[Floats]:
        """What comes back to the outputs of each layer."""
        returned = [_answers(taken[-1], self.loss) - targets]
        for (weights, _), values in zip(
            self.layers(parameters)[:0:-1], taken[-2:0:-1], strict=True
        ):
            returned.append((returned[-1] @ weights.T) * (values > 0))
        return returned[::-1]


def _answers(outputs: Floats, loss: Loss) -> Floats:
    if loss == "squared":
        return outputs
    if loss == "logistic":
        half: Floats = 0.5 * (1.0 + np.tanh(0.5 * outputs))
        return half
    powers = np.exp(outputs - outputs.max(axis=1, keepdims=True))
    shares: Floats = powers / powers.sum(axis=1, keepdims=True)
    return shares


def _loss(outputs: Floats, targets: Floats, loss: Loss) -> float:
    """The sum of the losses of all rows."""
    if loss == "squared":
        return float(0.5 * np.square(outputs - targets).sum())
    if loss == "logistic":
        return float((np.logaddexp(0.0, outputs) - targets * outputs).sum())
    most = outputs.max(axis=1)
    logs = most + np.log(np.exp(outputs - most[:, None]).sum(axis=1))
    return float((logs - (targets * outputs).sum(axis=1)).sum())


def _norms(taken: list[Floats], returned: list[Floats]) -> Floats:
    """The Euclidean norm of the gradient of each row."""
    squares = np.zeros(len(taken[0]))
    for before, after in zip(taken, returned, strict=True):
        squares += (np.square(before).sum(axis=1) + 1.0) * np.square(after).sum(axis=1)
    return np.sqrt(squares)


def _scale(norms: Floats, clip_norm: float | None) -> Floats:
    """What each gradient is multiplied with; 0 for those that are not finite."""
    scale = np.ones(len(norms))
    if clip_norm is not None:
        scale = np.minimum(1.0, clip_norm / np.maximum(norms, np.finfo(float).tiny))
    return np.where(np.isfinite(norms), scale, 0.0)
