"""How well a candidate does: fitted on each fold but one, tested on that one.

- What stands before an estimator depends on whether and how it is scaled, not on its parameters: so
  each fold is prepared once for all candidates that need the same, within a bound in bytes.
- Folds are fitted by several threads; an estimator itself uses one.
- After each wave of folds a candidate that is behind may be given up.
"""

from __future__ import annotations

import math
import time
import warnings
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from threading import Lock
from typing import TYPE_CHECKING, Any, NamedTuple

from sklearn.base import clone
from threadpoolctl import threadpool_limits

from shoal.errors import InvalidRequestError
from shoal.train._estimators._table import entry
from shoal.train._search._candidates import pipeline_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Self

    import pandas as pd
    from numpy.typing import NDArray

    from shoal.train._estimators._table import Task
    from shoal.train._prepare._description import Preparation, Scale
    from shoal.train._search._candidates import Candidate
    from shoal.train._search._folds import Fold
    from shoal.train._search._scores import Scorer

    GiveUp = Callable[[Sequence[float]], bool]
    """Told the scores of the folds that were tested; true to give the candidate up."""

KEPT_BYTES = 256 << 20


class Material(NamedTuple):
    """What all candidates are tried on.

    Attributes:
        frame: Columns, as `frame_of` gives them.
        target: (rows,) what is to be predicted.
        folds: How rows are cut.
        preparation: What stands before every estimator.
        task: Whether the target is a class.
        scorer: How a fitted estimator is scored.
        seed: What random choices follow from.
    """

    frame: pd.DataFrame
    target: NDArray[Any]
    folds: Sequence[Fold]
    preparation: Preparation
    task: Task
    scorer: Scorer
    seed: int


class Scored(NamedTuple):
    """How a candidate did.

    Attributes:
        scores: One for each fold that was tested, in their order.
        seconds: How long it took.
        is_whole: Whether all folds were tested.
    """

    scores: tuple[float, ...]
    seconds: float
    is_whole: bool


class _Prepared(NamedTuple):
    """A fold as an estimator takes it."""

    learn: Any
    learn_target: NDArray[Any]
    test: Any
    test_target: NDArray[Any]

    @property
    def size_bytes(self) -> int:
        return int(self.learn.nbytes + self.test.nbytes)


class Trials:
    """Tries candidates, one after the other."""

    def __init__(self, material: Material, workers: int) -> None:
        """Takes what they are tried on, and how many folds are fitted at a time."""
        self._material = material
        self._workers = workers
        # OpenMP counts threads for each thread that calls it, so each is told.
        self._pool = ThreadPoolExecutor(
            workers,
            thread_name_prefix="shoal-fold",
            initializer=partial(threadpool_limits, 1),
        )
        self._kept: OrderedDict[tuple[int, bool, Scale], _Prepared] = OrderedDict()
        self._lock = Lock()
        self._limits = threadpool_limits(1)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(cancel_futures=True)
        self._limits.restore_original_limits()

    def try_one(self, candidate: Candidate, give_up: GiveUp) -> Scored:
        """Tests a candidate on the folds.

        Raises:
            InvalidRequestError: it cannot be made.
            Exception: whatever its estimator raises.
        """
        began = time.perf_counter()
        steps = pipeline_of(
            candidate, self._material.preparation, self._material.task, seed=self._material.seed
        )
        found = entry(self._material.task, candidate.estimator)
        scaling = found.is_scaled, candidate.scale
        scores: list[float] = []
        count = len(self._material.folds)
        for first in range(0, count, self._workers):
            wave = range(first, min(first + self._workers, count))
            scores += self._pool.map(lambda number: self._score(steps, scaling, number), wave)
            if len(scores) < count and give_up(scores):
                break
        seconds = time.perf_counter() - began
        return Scored(tuple(scores), seconds, len(scores) == count)

    def _score(self, steps: Any, scaling: tuple[bool, Scale], number: int) -> float:
        before, last = _parted(steps)
        fold = self._fold(before, (number, *scaling))
        learn, target = fold.learn, fold.learn_target
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that it has not converged shows in its score
            for step in last[:-1]:
                learn, target = clone(step).fit_resample(learn, target)
            estimator = clone(last[-1]).fit(learn, target)
            score = float(self._material.scorer(estimator, fold.test, fold.test_target))
        if not math.isfinite(score):
            message = f"fold {number + 1} gives the score {score}: the metric is not defined on it"
            raise InvalidRequestError(message, hint="Cut other folds, or compare by another score.")
        return score

    def _fold(self, before: Any, key: tuple[int, bool, Scale]) -> _Prepared:
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        found = self._prepared(before, key[0])
        with self._lock:
            self._kept[key] = found
            while sum(each.size_bytes for each in self._kept.values()) > KEPT_BYTES:
                self._kept.popitem(last=False)
        return found

    def _prepared(self, before: Any, number: int) -> _Prepared:
        fold, target = self._material.folds[number], self._material.target
        frame = self._material.frame
        fitted = clone(before)
        learn = fitted.fit_transform(frame.iloc[fold.learn], target[fold.learn])
        test = fitted.transform(frame.iloc[fold.test])
        return _Prepared(learn, target[fold.learn], test, target[fold.test])


def _parted(pipeline: Any) -> tuple[Any, list[Any]]:
    """What prepares records, and what comes after it: resampling, if any, and the estimator."""
    first = next(
        at for at, (name, _) in enumerate(pipeline.steps) if name in {"balance", "estimator"}
    )
    return pipeline[:first], [step for _, step in pipeline.steps[first:]]
