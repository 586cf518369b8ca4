"""`search`: which estimator answers a question best, in a given time."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import numpy as np

from shoal.errors import InvalidRequestError, NullError
from shoal.train._estimators._leaves import round_leaves
from shoal.train._estimators._table import TABLES
from shoal.train._estimators._thresholds import round_thresholds
from shoal.train._prepare._description import Preparation
from shoal.train._prepare._frames import frame_of, kept
from shoal.train._prepare._infer import preparation_of
from shoal.train._search._candidates import Balance, Candidate, pipeline_of
from shoal.train._search._folds import Folds, folds_of, repeated
from shoal.train._search._scores import USUAL, scorer_of
from shoal.train._search._study import Sampler, Space, Study, Tried, usual_space
from shoal.train._search._trials import Material, Trials

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import pandas as pd
    import pyarrow as pa
    from numpy.typing import NDArray

    from shoal.train._estimators._table import Task


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """How a search is made.

    Attributes:
        preparation: What stands before every estimator; None for what columns look like.
        score: What candidates are compared by; accuracy, or the root mean squared error, if None.
        estimators: Which are compared; None for all.
        space: What is searched, in place of the ranges that estimators usually have.
        balance: What is tried for rare classes.
        folds: How records are cut.
        sampler: `tpe` learns from what was tried; `random`; or `grid`: every combination.
        seconds: No candidate is begun after that time; None for no end.
        trials: So many candidates, those of earlier calls included; None for no end.
        workers: Folds that are fitted at a time.
        seed: What random choices follow from.
    """

    preparation: Preparation | None = None
    score: str | None = None
    estimators: tuple[str, ...] | None = None
    space: Space | None = None
    balance: tuple[Balance, ...] = ("none",)
    folds: Folds = Folds()
    sampler: Sampler = "tpe"
    seconds: float | None = None
    trials: int | None = None
    workers: int = 2
    seed: int = 0


class Leaderboard(msgspec.Struct, frozen=True, kw_only=True):
    """How candidates did.

    Attributes:
        task: Whether a class or a number was predicted.
        score: What they were compared by; greater is better.
        rows: Best first: done ones by their mean, then those given up, then those that failed.
        records: How many records there were.
        repeated: Tested records of the first fold that equal one that was learned from.
    """

    task: str
    score: str
    rows: tuple[Tried, ...]
    records: int
    repeated: int

    @property
    def best(self) -> Tried:
        """The best candidate.

        Raises:
            InvalidRequestError: none was tested on all folds.
        """
        if not self.rows or self.rows[0].status != "done":
            reasons = "; ".join(f"{row.candidate.estimator}: {row.reason}" for row in self.rows)
            message = f"no candidate was tested on all folds ({reasons or 'none was tried'})"
            raise InvalidRequestError(message, hint="Give the search more time.")
        return self.rows[0]


def search(
    records: pa.Table,
    target: str,
    *,
    settings: Settings | None = None,
    journal: Path | None = None,
    tell: Callable[[Tried], object] | None = None,
) -> Leaderboard:
    """Compares candidates by cross-validation.

    Args:
        records: What is known, and the target.
        target: The column to predict: text, whole or true-and-false values are classes, other
            numbers are not.
        settings: How.
        journal: A file that remembers what was tried; a later call goes on there.
        tell: Is told of each candidate that was tried.

    Returns:
        The candidates, best first.

    Raises:
        InputError: columns, target or settings cannot be used.
    """
    chosen = settings or Settings()
    answers = target_of(records, target)
    task: Task = "regression" if answers.dtype.kind == "f" else "classification"
    preparation = chosen.preparation or preparation_of(records, target)
    is_kept = kept(records, preparation)
    material = _material(records.filter(is_kept), answers[is_kept], task, preparation, chosen)
    names = chosen.estimators or tuple(TABLES[task])
    space = chosen.space or usual_space(task, names, chosen.balance)
    study = Study(space, task, chosen.sampler, seed=chosen.seed, journal=journal)
    ends_at = None if chosen.seconds is None else time.monotonic() + chosen.seconds
    with Trials(material, chosen.workers) as trials:
        study.run(
            trials,
            lambda tried: _goes_on(tried, chosen.trials, ends_at),
            tell or (lambda _tried: None),
        )
    return Leaderboard(
        task=task,
        score=chosen.score or USUAL[task],
        rows=tuple(sorted(study.tried(), key=_rank)),
        records=len(material.target),
        repeated=repeated(material.frame, list(material.folds)),
    )


class Fitted(NamedTuple):
    """A candidate that has learned.

    Attributes:
        pipeline: It takes frames, as `frame_of` gives them.
        preparation: What stands before its estimator.
        task: Whether it answers with a class.
    """

    pipeline: Any
    preparation: Preparation
    task: Task


def fit(
    records: pa.Table,
    target: str,
    candidate: Candidate,
    *,
    preparation: Preparation,
    seed: int = 0,
) -> Fitted:
    """Lets a candidate learn from all records.

    What trees have learned is rounded to what a package holds, so that it is the same model.

    Raises:
        InputError: columns, target or candidate cannot be used.
    """
    answers = target_of(records, target)
    task: Task = "regression" if answers.dtype.kind == "f" else "classification"
    is_kept = kept(records, preparation)
    pipeline = pipeline_of(candidate, preparation, task, seed=seed)
    pipeline.fit(frame_of(records.filter(is_kept), preparation), answers[is_kept])
    round_leaves(pipeline.steps[-1][1])
    round_thresholds(pipeline.steps[-1][1])
    return Fitted(pipeline, preparation, task)


def target_of(records: pa.Table, target: str) -> NDArray[Any]:
    """(rows,) the target: doubles, or names of classes.

    Raises:
        InvalidRequestError: there is no such column.
        NullError: it is missing somewhere.
    """
    import pyarrow as pa

    if target not in records.column_names:
        raise InvalidRequestError(f"there is no column {target!r} to predict")
    values = records.column(target).combine_chunks()
    if values.null_count:
        row = next(at for at, value in enumerate(values) if not value.is_valid)
        raise NullError(
            f"the target {target!r} is missing in row {row} and {values.null_count - 1} others",
            hint="Leave out records whose target is not known.",
        )
    if pa.types.is_floating(values.type):
        return np.asarray(values.to_pylist(), np.float64)
    return np.asarray([str(value) for value in values.to_pylist()])


def _material(
    records: pa.Table,
    answers: NDArray[Any],
    task: Task,
    preparation: Preparation,
    settings: Settings,
) -> Material:
    by = [name for name in (settings.folds.group, settings.folds.time) if name is not None]
    whole: pd.DataFrame = records.select(by).to_pandas()
    frame = frame_of(records, preparation)
    return Material(
        frame=frame,
        target=answers,
        folds=folds_of(settings.folds, whole if by else frame, answers, task),
        preparation=preparation,
        task=task,
        scorer=scorer_of(task, settings.score),
        seed=settings.seed,
    )


def _goes_on(tried: int, most: int | None, ends_at: float | None) -> bool:
    is_in_time = ends_at is None or time.monotonic() < ends_at
    return is_in_time and (most is None or tried < most)


def _rank(tried: Tried) -> tuple[int, float]:
    order = ("done", "given_up", "failed").index(tried.status)
    return order, -float(np.mean(tried.scores)) if tried.scores else 0.0
