"""What a model that learns in micro-batches has to be able to do.

- Its state is a few arrays by name, so that it can be kept in a file and taken up again.
- Shards of a step are worked beside each other, all from the state before the step; what they give
  is merged in the order of the shards. So workers change nothing, not a bit of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from collections.abc import Sequence

Array: TypeAlias = NDArray[Any]
State: TypeAlias = dict[str, Array]


class Shard(NamedTuple):
    """Some records: (rows, features) and (rows,), doubles; a class is its place among them all."""

    rows: Array
    target: Array


class Update(NamedTuple):
    """What a shard gives.

    Attributes:
        arrays: Sums or states, by name.
        rows: How many records they are of.
        loss: The sum of their losses; None where there is none.
    """

    arrays: State
    rows: int
    loss: float | None


class Moment(NamedTuple):
    """When a step is made: so many are before it, of so many in all."""

    step: int
    steps: int


class Learner(Protocol):
    """A model that learns."""

    epochs: int
    """How many epochs it usually needs."""

    def begin(self) -> State:
        """The state before the first step."""

    def work(self, state: State, shard: Shard) -> Update:
        """What a shard gives; called by several threads, which change nothing of the state."""

    def merge(self, state: State, updates: Sequence[Update], moment: Moment) -> State:
        """The state after a step.

        Raises:
            InvalidRequestError: it is not finite.
        """

    def loss(self, state: State, shard: Shard) -> float:
        """The sum of the losses of some records."""

    def estimator(self, state: State) -> Any:
        """A fitted estimator of scikit-learn that answers as the state says."""


class Facts(NamedTuple):
    """What a learner is told before it begins.

    Attributes:
        features: How many there are.
        classes: Their names, sorted; None for a number.
        target: The mean and the deviation of a number.
        seed: What random choices follow from.
    """

    features: int
    classes: list[str] | None
    target: tuple[float, float]
    seed: int

    @property
    def labels(self) -> Array:
        """The classes as scikit-learn has them."""
        return np.asarray(self.classes)
