"""Which models learn in micro-batches, and how each does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from shoal.errors import InvalidRequestError
from shoal.train._learn._description import Gradient
from shoal.train._learn._models._averaging import Averaging
from shoal.train._learn._models._counting import Counting, Moments
from shoal.train._learn._models._descent import Descent

if TYPE_CHECKING:
    from collections.abc import Callable

    from shoal.train._estimators._table import Task
    from shoal.train._learn._models._learner import Facts, Learner


class Kind(NamedTuple):
    """How a model learns.

    Attributes:
        learner: Makes its learner, of the model and what is known.
        tasks: What it can predict.
        is_scaled: Whether it needs features of one scale.
        is_single: Whether it reads records once.
    """

    learner: Callable[[Any, Facts], Learner]
    tasks: tuple[Task, ...]
    is_scaled: bool = True
    is_single: bool = False


KINDS = {
    "Gradient": Kind(Descent, ("classification", "regression")),
    "SGDClassifier": Kind(Averaging, ("classification",)),
    "Perceptron": Kind(Averaging, ("classification",)),
    "SGDRegressor": Kind(Averaging, ("regression",)),
    "GaussianNB": Kind(Moments, ("classification",), is_single=True),
    "MultinomialNB": Kind(Counting, ("classification",), is_scaled=False, is_single=True),
    "BernoulliNB": Kind(Counting, ("classification",), is_scaled=False, is_single=True),
}


def kind_of(model: Any, task: Task) -> Kind:
    """How a model learns a task.

    Raises:
        InvalidRequestError: it does not learn in micro-batches, or not that.
    """
    name = type(model).__name__
    is_known = isinstance(model, Gradient) or type(model).__module__.startswith("sklearn.")
    kind = KINDS.get(name) if is_known else None
    if kind is None:
        message = f"{name} does not learn in micro-batches whose updates can be merged"
        raise InvalidRequestError(message, hint=f"There are {', '.join(KINDS)}.")
    if task not in kind.tasks:
        message = f"{name} does {kind.tasks[0]}, the target asks for {task}"
        hint = "A column of floats is a number to predict, every other one has classes."
        raise InvalidRequestError(message, hint=hint)
    return kind


def described(model: Any) -> dict[str, Any]:
    """A model as plain data, to compare it with that of another run."""
    if isinstance(model, Gradient):
        parameters = msgspec.to_builtins(model)
    else:
        parameters = {name: _plain(value) for name, value in model.get_params().items()}
    return {"model": type(model).__name__, **parameters}


def _plain(value: Any) -> Any:
    is_plain = value is None or isinstance(value, bool | int | float | str)
    return value if is_plain else repr(value)
