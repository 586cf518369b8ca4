"""`search`: which estimator answers a question best, in a given time."""

from __future__ import annotations

import hashlib
import time
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import numpy as np
import pandas as pd

from shoal.errors import InvalidRequestError, NullError
from shoal.train._estimators._leaves import round_leaves
from shoal.train._estimators._table import Task
from shoal.train._estimators._thresholds import round_thresholds
from shoal.train._prepare._description import Preparation
from shoal.train._prepare._frames import frame_of, kept
from shoal.train._prepare._infer import preparation_of
from shoal.train._search._candidates import Balance, Candidate, pipeline_of
from shoal.train._search._folds import Folds, cut_by, cut_columns, folds_of, repeated
from shoal.train._search._scores import USUAL, scorer_of, sign_of
from shoal.train._search._space import Space, is_alike, names_for, usual_space
from shoal.train._search._study import Asked, Sampler, Study, Tried
from shoal.train._search._trials import Material, Trials

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import pyarrow as pa
    from numpy.typing import NDArray


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a search is made.

    Attributes:
        preparation: What stands before every estimator; None for what columns look like.
        task: Whether a class or a number is predicted; None for what the target looks like.
        positive: The class that is looked for, where there are two; the rarer one if None.
        score: What candidates are compared by; accuracy, or the root mean squared error, if None.
        estimators: Which are compared; None for all that so many records allow.
        space: What is searched, in place of the ranges that estimators usually have.
        balance: What is tried for rare classes.
        folds: How records are cut.
        sampler: `tpe` learns from what was tried; `random`; or `grid`: every combination.
        seconds: No candidate is begun after that time, that of earlier calls included; None for no
            end.
        trials: So many candidates, those of earlier calls included; None for no end.
        workers: Folds that are fitted at a time.
        seed: What random choices follow from.
    """

    preparation: Preparation | None = None
    task: Task | None = None
    positive: str | None = None
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
        test_share: How many records a fold is tested on, for each that is learned from; the mean.
    """

    task: Task
    score: str
    rows: tuple[Tried, ...]
    records: int
    repeated: int
    test_share: float

    @property
    def sign(self) -> int:
        """-1 where a score is the negative of its metric, as that of an error is; 1 otherwise."""
        return sign_of(self.task, self.score)

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
        ConflictError: the journal is of another search, or damaged.
        SinkError: the journal cannot be written (disk full, no right); a later call goes on.
    """
    chosen = settings or Settings()
    answers = target_of(records, target, task=chosen.task)
    task = task_of(answers)
    preparation = chosen.preparation or preparation_of(
        records, target, without=cut_by(chosen.folds)
    )
    is_kept = kept(records, preparation)
    material = _material(records.filter(is_kept), answers[is_kept], task, preparation, chosen)
    space = chosen.space or usual_space(
        task,
        chosen.estimators or names_for(task, len(material.target)),
        chosen.balance,
        is_alike=is_alike(material.frame, preparation),
    )
    digest = _digest(material, chosen, space)
    sign = sign_of(task, chosen.score or USUAL[task])
    asked = Asked(space, task, chosen.sampler, chosen.seed, sign, digest)
    study = Study(asked, journal=journal)
    spent = sum(tried.seconds for tried in study.tried())
    ends_at = None if chosen.seconds is None else time.monotonic() + chosen.seconds - spent
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
        test_share=float(np.mean([len(each.test) / len(each.learn) for each in material.folds])),
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


def fit(  # noqa: PLR0913 - each changes what is learned
    records: pa.Table,
    target: str,
    candidate: Candidate,
    *,
    preparation: Preparation,
    task: Task | None = None,
    seed: int = 0,
) -> Fitted:
    """Lets a candidate learn from all records.

    What trees have learned is rounded to what a package holds, so that it is the same model.

    Args:
        records: What is known, and the target.
        target: The column to predict.
        candidate: An estimator and its parameters.
        preparation: What stands before it.
        task: Whether a class or a number is predicted; None for what the target looks like.
        seed: What random choices follow from.

    Raises:
        InputError: columns, target or candidate cannot be used.
    """
    answers = target_of(records, target, task=task)
    task = task_of(answers)
    is_kept = kept(records, preparation)
    pipeline = pipeline_of(candidate, preparation, task, seed=seed)
    pipeline.fit(frame_of(records.filter(is_kept), preparation), answers[is_kept])
    round_leaves(pipeline.steps[-1][1])
    round_thresholds(pipeline.steps[-1][1])
    return Fitted(pipeline, preparation, task)


def task_of(answers: NDArray[Any]) -> Task:
    """What the target is, as `target_of` gives it."""
    return "regression" if answers.dtype.kind == "f" else "classification"


def target_of(records: pa.Table, target: str, *, task: Task | None = None) -> NDArray[Any]:
    """(rows,) the target: doubles, or names of classes.

    Args:
        records: What is known.
        target: The column to predict.
        task: What it is; None for classes, unless its numbers have fractions.

    Raises:
        InvalidRequestError: there is no such column, it holds no numbers where a number is to be
            predicted, or one that is infinite.
        NullError: it is missing somewhere.
    """
    import pyarrow as pa

    if target not in records.column_names:
        there = ", ".join(records.column_names)
        raise InvalidRequestError(f"there is no column {target!r} to predict; there are {there}")
    values = records.column(target).combine_chunks()
    if values.null_count:
        row = next(at for at, value in enumerate(values) if not value.is_valid)
        raise NullError(
            f"the target {target!r} is missing in row {row} and {values.null_count - 1} others",
            hint="Leave out records whose target is not known.",
        )
    if task == "regression" or (task is None and pa.types.is_floating(values.type)):
        return _numbers(values, target)
    return np.asarray([str(value) for value in values.to_pylist()])


def _numbers(values: pa.Array, target: str) -> NDArray[np.float64]:
    import pyarrow as pa

    if not (pa.types.is_floating(values.type) or pa.types.is_integer(values.type)):
        message = f"the target {target!r} is {values.type}, expected numbers"
        raise InvalidRequestError(message, hint="Predict a class: task='classification'.")
    numbers = np.asarray(values.to_pylist(), np.float64)
    if (wrong := np.flatnonzero(~np.isfinite(numbers))).size:
        row = int(wrong[0])
        message = f"the target {target!r} row {row} is {numbers[row]}, expected a finite number"
        raise InvalidRequestError(message)
    return numbers


def _material(
    records: pa.Table,
    answers: NDArray[Any],
    task: Task,
    preparation: Preparation,
    settings: Settings,
) -> Material:
    by = cut_columns(records, settings.folds)
    frame = frame_of(records, preparation)
    return Material(
        frame=frame,
        target=answers,
        folds=folds_of(settings.folds, by if len(by.columns) else frame, answers, task),
        preparation=preparation,
        task=task,
        scorer=scorer_of(task, settings.score, answers, settings.positive),
        seed=settings.seed,
    )


def _digest(material: Material, settings: Settings, space: Space) -> str:
    """Of all that the scores of candidates depend on."""
    told = (settings.folds, settings.score, settings.positive, settings.sampler, settings.seed)
    text = msgspec.json.encode((told, space, material.preparation), order="deterministic")
    found = hashlib.sha256(text)
    found.update(msgspec.json.encode(list(material.preparation.columns)))
    found.update(pd.util.hash_pandas_object(material.frame, index=False).to_numpy().tobytes())
    found.update(pd.util.hash_array(material.target.astype(object)).tobytes())
    for fold in material.folds:
        found.update(fold.test.tobytes())
    return found.hexdigest()


def _goes_on(tried: int, most: int | None, ends_at: float | None) -> bool:
    is_in_time = ends_at is None or time.monotonic() < ends_at
    return is_in_time and (most is None or tried < most)


def _rank(tried: Tried) -> tuple[int, float]:
    order = ("done", "given_up", "failed").index(tried.status)
    return order, -float(np.mean(tried.scores)) if tried.scores else 0.0
