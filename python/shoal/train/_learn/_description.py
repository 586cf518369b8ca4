"""What is learned and how, as data.

- All of it but `workers`, `checkpoints` and `checkpoint_steps` decides the answer; with the records
  it is what a checkpoint is for.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal, TypeAlias

import msgspec

from shoal.errors import InvalidRequestError
from shoal.train._prepare._description import Preparation

Schedule: TypeAlias = Literal["constant", "cosine"]


class Gradient(msgspec.Struct, frozen=True, kw_only=True):
    """A linear model or a network of ReLU layers, learned by stochastic gradient descent.

    For classes it is logistic regression, or a network with a softmax; for numbers least squares,
    on a target that is brought to mean 0 and deviation 1 while it is learned.

    Attributes:
        hidden_layers: The widths of the layers between; none is a linear model.
        penalty: The weight of half the sum of squared weights, biases left out, beside the mean
            loss: 1 / (C * records) of LogisticRegression, alpha / records of Ridge.
        learning_rate: How far a step goes along the mean gradient.
        schedule: `cosine`: the rate falls to 0 until the last step; `constant`.
        momentum: How much of the last step is in the next.
        clip_norm: The most that a gradient may have in the Euclidean norm; None for no clipping.
        clipping: `sum` clips the mean gradient of a step, `record` that of each record.

    Raises:
        InvalidRequestError: a value cannot be.
    """

    hidden_layers: tuple[int, ...] = ()
    penalty: float = 0.0
    learning_rate: float = 0.01
    schedule: Schedule = "cosine"
    momentum: float = 0.9
    clip_norm: float | None = None
    clipping: Literal["record", "sum"] = "sum"

    def __post_init__(self) -> None:
        if any(width < 1 for width in self.hidden_layers):
            raise _wrong("hidden_layers", self.hidden_layers, "widths from 1 up")
        if not 0 <= self.penalty < float("inf"):
            raise _wrong("penalty", self.penalty, "a finite number from 0 up")
        if not 0 < self.learning_rate < float("inf"):
            raise _wrong("learning_rate", self.learning_rate, "a finite number above 0")
        if self.schedule not in {"constant", "cosine"}:
            raise _wrong("schedule", self.schedule, "'constant' or 'cosine'")
        if not 0 <= self.momentum < 1:
            raise _wrong("momentum", self.momentum, "from 0 to below 1")
        if self.clip_norm is not None and not self.clip_norm > 0:
            raise _wrong("clip_norm", self.clip_norm, "more than 0")
        if self.clipping not in {"record", "sum"}:
            raise _wrong("clipping", self.clipping, "'record' or 'sum'")


class LearnSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How records are gone through.

    Attributes:
        preparation: What stands before the model; None goes by the types of the columns: numbers,
            dates, and text as categories.
        epochs: How often each record is learned from; None for 5, or 1 for what only counts.
        step_records: How many records are learned from between two changes of the model.
        shards: Into how many parts a step is cut, whose gradients or updates are merged by the
            weighted mean. They stay the same however many workers there are.
        held_out: The share of records that nothing is learned from, to measure the loss on: not
            the model, and not what stands before it (means, medians, categories, classes). Short
            runs of records that `seed` chooses. Those of a class that no other record has are not
            measured.
        patience: After so many epochs without a smaller held-out loss it ends, and the model with
            the smallest is taken; None goes on to the last epoch and takes the last model.
        workers: How many threads read, prepare and learn. The answer does not depend on it.
        seed: What the order of records and the first parameters follow from.
        checkpoints: A folder; a run that was killed goes on there. None keeps nothing.
        checkpoint_steps: After how many steps the model is kept; after each epoch it always is.

    Raises:
        InvalidRequestError: a value cannot be.
    """

    preparation: Preparation | None = None
    epochs: int | None = None
    step_records: int = 4096
    shards: int = 8
    held_out: float = 0.0
    patience: int | None = None
    workers: int = 2
    seed: int = 0
    checkpoints: str | Path | None = None
    checkpoint_steps: int = 200

    def __post_init__(self) -> None:
        for name in ("epochs", "step_records", "shards", "patience", "workers", "checkpoint_steps"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise _wrong(name, value, "at least 1")
        if not 0 <= self.held_out < 1:
            raise _wrong("held_out", self.held_out, "from 0 to below 1")
        if self.patience is not None and not self.held_out:
            message = f"patience is {self.patience} and no record is held out to measure the loss"
            raise InvalidRequestError(message, hint="Say held_out=0.1.")
        if self.seed < 0:
            raise _wrong("seed", self.seed, "0 or more")


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """How far a learning is.

    Attributes:
        epoch: The epoch, from 1.
        epochs: How many there are at most.
        step: The step of the epoch, from 1.
        steps: How many an epoch has.
        loss: The mean loss of the step's records before it; None for a model that has none.
        held_out_loss: After the last step of an epoch, where records are held out: their mean loss
            by then; for models of scikit-learn the share of errors, or the mean squared error.
    """

    epoch: int
    epochs: int
    step: int
    steps: int
    loss: float | None = None
    held_out_loss: float | None = None


def _wrong(name: str, value: object, expected: str) -> InvalidRequestError:
    return InvalidRequestError(f"{name} is {value!r}, expected {expected}")
