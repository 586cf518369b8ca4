"""`learn`: a model from more records than memory holds.

1. One pass over the source: records are prepared and stored on disk. What they are like is found
   out from those stored that are not held out (`_stored`).
2. Steps over what is stored, in an order that the seed decides (`_order.py`): each is cut into
   shards, whose gradients or updates are merged by the weighted mean (`_run.py`, `_models`).
3. The model becomes a pipeline of scikit-learn that takes raw columns (`_stored`).

- Memory holds a few micro-batches and a few copies of the model, however many records there are.
- The answer follows from records, model and settings alone: it is the same, bit for bit on one
  machine, for every number of workers, every cut of the source, and after being killed.
"""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import numpy as np
from sklearn.pipeline import Pipeline
from threadpoolctl import threadpool_limits

from shoal.errors import InvalidRequestError
from shoal.train._learn._checkpoints import Checkpoints, Standing
from shoal.train._learn._description import Gradient, LearnSettings, Progress
from shoal.train._learn._models._kinds import Kind, described, kind_of
from shoal.train._learn._models._learner import Facts
from shoal.train._learn._order import Order
from shoal.train._learn._places import held
from shoal.train._learn._run import Run
from shoal.train._learn._stored._encode import is_number
from shoal.train._learn._stored._features import Features, fitted_step
from shoal.train._learn._stored._layout import layout_of, usual_preparation
from shoal.train._learn._stored._records import records_of
from shoal.train._learn._stored._store import Store, record_type
from shoal.train._learn._stored._survey import Question, Survey, survey
from shoal.train._learn._threads import Threads
from shoal.train._search._search import Fitted

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from shoal.train._estimators._table import Task
    from shoal.train._learn._models._learner import Learner
    from shoal.train._learn._stored._records import Records

# What does not change the answer, or is in the question.
NOT_DECIDING = ("preparation", "workers", "checkpoints", "checkpoint_steps")


def learn(
    records: Any,
    target: str,
    model: Any = None,
    *,
    settings: LearnSettings | None = None,
    tell: Callable[[Progress], object] | None = None,
) -> Fitted:
    """Learns a model in micro-batches.

    Prepared records are stored on disk meanwhile: 4 bytes for each number and each name, 8 for each
    date and the target. Without a folder for checkpoints that is a file without a name in the
    system's place for such files (`TMPDIR`).

    Args:
        records: A dataset, Parquet files (a path, a folder, a pattern, an address), a table, or
            anything that gives record batches each time it is gone through.
        target: The column to predict: text, whole or true-and-false values are classes, floats are
            numbers.
        model: A `Gradient`, the default, or an estimator of scikit-learn that is not fitted:
            SGDClassifier, SGDRegressor, Perceptron, GaussianNB, MultinomialNB or BernoulliNB.
        settings: How.
        tell: Is told after each step how far it is.

    Returns:
        The model and what stands before it, as `seal` takes them.

    Raises:
        InputError: records, target, model or settings cannot be used; messages count records from
            0 over all of them.
        ConflictError: the folder for checkpoints holds another learning, or is in use.
        CorruptPackageError: it cannot be read.
        SinkError: something cannot be written; what was kept before stays.
    """
    chosen = settings or LearnSettings()
    source = records_of(records)
    asked = _asked(source, target, Gradient() if model is None else model, chosen)
    with (
        threadpool_limits(1),
        Threads(chosen.workers) as threads,
        held(chosen.checkpoints) as folder,
    ):
        return _Learning(asked, folder, threads).learn(source, tell or (lambda _progress: None))


class _Asked(NamedTuple):
    """What is asked for."""

    question: Question
    model: Any
    kind: Kind
    settings: LearnSettings

    @property
    def task(self) -> Task:
        return "classification" if self.question.has_classes else "regression"

    def order(self, rows: int) -> Order:
        """In which order so many records are learned from, and which are held out.

        Raises:
            InvalidRequestError: none would be, on one of the sides.
        """
        settings = self.settings
        return Order(rows, settings.step_records, settings.held_out, settings.seed)

    @property
    def configuration(self) -> dict[str, Any]:
        """All that decides the answer beside the records, as plain data."""
        settings = msgspec.structs.asdict(self.settings)
        configuration = {
            **{name: each for name, each in settings.items() if name not in NOT_DECIDING},
            **described(self.model),
            "target": self.question.target,
            "preparation": self.question.preparation,
        }
        plain: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(configuration))
        return plain


def _asked(source: Records, target: str, model: Any, settings: LearnSettings) -> _Asked:
    schema = source.schema()
    if target not in schema.names:
        raise InvalidRequestError(f"there is no column {target!r} to predict")
    has_classes = not is_number(schema.field(target).type)
    kind = kind_of(model, "classification" if has_classes else "regression")
    if kind.is_single and (settings.epochs or 1) > 1:
        message = f"epochs is {settings.epochs}, expected 1: {type(model).__name__} only counts"
        raise InvalidRequestError(message)
    preparation = settings.preparation or usual_preparation(schema, target)
    layout = layout_of(preparation)
    question = Question(preparation, layout, target, kind.is_scaled, has_classes)
    return _Asked(question, model, kind, settings)


class _Learning:
    """One learning, from the records to the model."""

    def __init__(self, asked: _Asked, folder: Path | None, threads: Threads) -> None:
        self._asked, self._folder, self._threads = asked, folder, threads
        self._checkpoints = Checkpoints(folder, asked.configuration)
        self._record = record_type(asked.question.layout)

    def learn(self, source: Records, tell: Callable[[Progress], object]) -> Fitted:
        """Learns, or goes on."""
        standing = self._checkpoints.standing()
        known, store = self._stored(source, is_done=standing is not None and standing.is_done)
        with store or nullcontext():
            learner, features = self._learner(known)
            standing = standing or Standing(0, 0, learner.begin(), {})
            if store is not None:
                standing = self._run(learner, known, tell).finish(standing, store, features)
        if self._folder is not None:
            Store.remove(self._folder)
        state = standing.best if self._asked.settings.patience else standing.state
        before = fitted_step(self._asked.question, known)
        pipeline = Pipeline([before, ("estimator", learner.estimator(state))])
        return Fitted(pipeline, self._asked.question.preparation, self._asked.task)

    def _learner(self, known: Survey) -> tuple[Learner, Features]:
        """Who learns, and what of each record."""
        features = Features(self._asked.question.layout, known)
        width = features(np.zeros(1, self._record)).shape[1]
        facts = Facts(width, known.classes, known.target, self._asked.settings.seed)
        return self._asked.kind.learner(self._asked.model, facts), features

    def _stored(self, source: Records, *, is_done: bool) -> tuple[Survey, Store | None]:
        """The records, as an earlier run stored them or anew; None where nothing is left to do."""
        kept = self._checkpoints.kept()
        if kept is not None and self._folder is not None:
            self._checkpoints.check_same("the dataset", kept.identity, source.identity)
            if source.identity is not None:
                store = Store.opened(self._folder, self._record, kept.survey.rows)
                if store is not None or is_done:
                    return kept.survey, store
        blocks = source.blocks(self._asked.question.names)
        asked = self._asked
        known, store = survey(asked.question, blocks, self._folder, self._threads, asked.order)
        try:
            if kept is not None:
                self._checkpoints.check_same("records", kept.survey.digest, known.digest)
            store.keep()
            self._checkpoints.keep(source.identity, known)
        except BaseException:
            store.close()
            raise
        return known, store

    def _run(self, learner: Learner, known: Survey, tell: Callable[[Progress], object]) -> Run:
        settings = self._asked.settings
        order = self._asked.order(known.rows)
        classes = np.asarray(known.class_places, np.float64) if known.classes else None
        return Run(learner, order, settings, self._threads, self._checkpoints, classes, tell)
