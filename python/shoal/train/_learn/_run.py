"""The steps of all epochs, from where a learning stands to its end.

- Steps are read and prepared ahead of the one that is learned from, by the same threads.
- The held-out loss is that of records whose class is learned: of any other no model says anything.
- How far it is is kept after so many steps, and after each epoch.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from shoal.errors import InvalidRequestError
from shoal.train._learn._description import LearnSettings, Progress
from shoal.train._learn._models._learner import Moment, Shard
from shoal.train._learn._order import shards_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from shoal.train._learn._checkpoints import Checkpoints, Standing
    from shoal.train._learn._models._learner import Learner, State, Update
    from shoal.train._learn._order import Order, Step
    from shoal.train._learn._stored._features import Features
    from shoal.train._learn._stored._store import Range, Store
    from shoal.train._learn._threads import Threads

# The place of a class that only held-out records have: the model has no answer to measure.
UNKNOWN = -1


class Run(NamedTuple):
    """A learning that goes on.

    Attributes:
        learner: Who learns.
        order: The order of the records.
        settings: How they are gone through.
        threads: Who works.
        checkpoints: Where it is kept how far it is.
        classes: For each code of a stored target its class, -1 for an unknown one; None where it
            is a number.
        tell: Is told of each step.
    """

    learner: Learner
    order: Order
    settings: LearnSettings
    threads: Threads
    checkpoints: Checkpoints
    classes: NDArray[Any] | None
    tell: Callable[[Progress], object]

    @property
    def epochs(self) -> int:
        """How many there are at most."""
        return self.settings.epochs or self.learner.epochs

    def finish(self, standing: Standing, store: Store, features: Features) -> Standing:
        """Learns all that is left.

        Args:
            standing: Where it stands.
            store: The records.
            features: What makes features of them.

        Returns:
            How it stands when all is learned.

        Raises:
            InvalidRequestError: the model does not stay finite, or no class that is held out is
                learned.
            SinkError: it cannot be kept how far it is.
            SourceError: the records cannot be read.
        """
        reader = _Reader(store, features, self.classes)
        while not standing.is_done:
            standing = self._epoch(standing, reader)
            self.checkpoints.save(standing)
        return standing

    def _epoch(self, standing: Standing, reader: _Reader) -> Standing:
        """The rest of an epoch, and what follows from it."""
        steps = self.order.epoch(standing.epoch, first=standing.step)
        loss = None
        for records in self.threads.answers(reader.step, steps):
            standing, loss = self._step(standing, records)
            if standing.step == self.order.steps:
                break
            self._tell(standing, loss)
            if standing.step % self.settings.checkpoint_steps == 0:
                self.checkpoints.save(standing)
        held_out = self._held_out_loss(standing.state, reader)
        self._tell(standing, loss, held_out)
        return self._after(standing, held_out)

    def _step(self, standing: Standing, records: Shard) -> tuple[Standing, float | None]:
        """The standing after a step, and the mean loss of its records before it."""
        state = standing.state
        shards = [
            Shard(records.rows[part], records.target[part])
            for part in shards_of(len(records.target), self.settings.shards)
        ]
        updates = list(self.threads.answers(lambda shard: self.learner.work(state, shard), shards))
        made = standing.epoch * self.order.steps + standing.step
        moment = Moment(made, self.epochs * self.order.steps)
        merged = self.learner.merge(state, updates, moment)
        return standing._replace(state=merged, step=standing.step + 1), _mean_loss(updates)

    def _after(self, standing: Standing, held_out: float | None) -> Standing:
        """The standing at the begin of the next epoch, or at the end."""
        standing = standing._replace(epoch=standing.epoch + 1, step=0)
        if held_out is not None and self.settings.patience is not None:
            if held_out < standing.best_loss:
                standing = standing._replace(best=standing.state, best_loss=held_out, waited=0)
            else:
                standing = standing._replace(waited=standing.waited + 1)
        has_waited = standing.waited >= (self.settings.patience or math.inf)
        return standing._replace(is_done=has_waited or standing.epoch == self.epochs)

    def _held_out_loss(self, state: State, reader: _Reader) -> float | None:
        if not self.settings.held_out:
            return None

        def lost(ranges: list[Range]) -> tuple[float, int]:
            records = reader.records(ranges)
            rows = len(records.target)
            return (self.learner.loss(state, records) if rows else 0.0), rows

        found = list(self.threads.answers(lost, self.order.held_out_ranges()))
        rows = sum(rows for _, rows in found)
        if not rows:
            message = "no record that is held out is of a class that is learned"
            raise InvalidRequestError(message, hint="Choose another seed, or hold out more.")
        return math.fsum(loss for loss, _ in found) / rows

    def _tell(
        self, standing: Standing, loss: float | None, held_out_loss: float | None = None
    ) -> None:
        progress = Progress(
            epoch=standing.epoch + 1,
            epochs=self.epochs,
            step=standing.step,
            steps=self.order.steps,
            loss=loss,
            held_out_loss=held_out_loss,
        )
        self.tell(progress)


class _Reader(NamedTuple):
    """Reads stored records as a learner takes them."""

    store: Store
    features: Features
    classes: NDArray[Any] | None

    def step(self, step: Step) -> Shard:
        """The records of a step, mixed."""
        return self._prepared(step.mixed(self.store.read(step.ranges)))

    def records(self, ranges: list[Range]) -> Shard:
        """The records of some ranges, in order, but for those of an unknown class."""
        found = self._prepared(self.store.read(ranges))
        if self.classes is None:
            return found
        is_known = found.target != UNKNOWN
        return Shard(found.rows[is_known], found.target[is_known])

    def _prepared(self, records: NDArray[Any]) -> Shard:
        target = records["target"].astype(np.float64)
        if self.classes is not None:
            target = self.classes[target.astype(np.intp)]
        return Shard(self.features(records).astype(np.float64), target)


def _mean_loss(updates: list[Update]) -> float | None:
    losses = [update.loss for update in updates if update.loss is not None]
    if not losses:
        return None
    return math.fsum(losses) / sum(update.rows for update in updates)
