"""`learn_privately`: from records of mixed types to a model that can be sealed, within a budget.

- Each record is used for one thing: to learn, to measure, to find what is not stated, or to choose.
  So each of these may spend the whole budget, and the noise of each is the least there can be.
- Nothing leaves here that was computed from records without noise: not the model, not what stands
  before it, not how good it is.
- Refusals do look at the records: a class that was not stated, a target that is missing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from sklearn.pipeline import Pipeline

from shoal.errors import DtypeError, InvalidRequestError
from shoal.evaluate import Classification
from shoal.train._prepare._frames import doubles_of, frame_of
from shoal.train._private._account import Account
from shoal.train._private._choice import randomness_of
from shoal.train._private._records._candidates import Candidates
from shoal.train._private._records._columns import (
    encoder_of,
    found_columns,
    kinds_of,
    made_up,
    preparation_of,
    said_of,
)
from shoal.train._private._records._errors import of_numbers
from shoal.train._private._records._measured import of_classes
from shoal.train._private._records._parts import parts_of
from shoal.train._private._records._words import facts_of
from shoal.train._private._sealing import as_sklearn
from shoal.train._search._search import Fitted, target_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from shoal.evaluate import Evaluation
    from shoal.train._private._records._columns import Column
    from shoal.train._private._records._parts import Part
    from shoal.train._private._records._settings import PrivateSettings
    from shoal.train._private._spent import PrivacySpent


@dataclass(frozen=True)
class PrivateModel:
    """A model that has learned privately.

    Attributes:
        fitted: It can be sealed: `seal(model.fitted, model.example(500), ...)`.
        spent: What all of it cost.
        evaluation: How good it is, from statistics with noise.
        columns: What it takes, as stated or found with noise.
    """

    fitted: Fitted
    spent: PrivacySpent
    evaluation: Evaluation
    columns: tuple[Column, ...]

    @property
    def facts(self) -> dict[str, str]:
        """What was spent on what, in words, as the facts of a model card."""
        return facts_of(self.spent)

    def example(self, rows: int, *, seed: int = 0) -> pa.Table:
        """Made-up records: the export is proved on them, and golden rows are taken from there.

        Args:
            rows: How many; sealing takes at least 200.
            seed: What they follow from.
        """
        return made_up(self.columns, rows, seed)


def learn_privately(
    records: pa.Table, target: str, settings: PrivateSettings, *, seed: int | None = None
) -> PrivateModel:
    """Learns from records, and measures what was learned, within a budget of privacy.

    Args:
        records: What is known, and the target.
        target: The column to predict.
        settings: What may be spent, what is stated, and how to learn.
        seed: For tests: with it nothing is private, and the result says so.

    Returns:
        The model, what was spent, and how good it is.

    Raises:
        BudgetError: epsilon is too small for what is asked; the message says what is needed.
        MissingColumnError: a column is not there.
        DtypeError: a column is of another kind than stated.
        NullError: the target is missing somewhere.
        InvalidRequestError: a target is none of the classes stated, or there are too few records.
    """
    if target in settings.columns:
        raise InvalidRequestError(f"the target {target!r} is a column to learn from as well")
    frame = frame_of(records, kinds_of(settings.columns))
    answers = _answers(records, target, settings)
    account = Account(settings.budget(len(frame)), records=len(frame))
    randomness = randomness_of(account, seed)
    parts = parts_of(account, settings, randomness)
    columns = found_columns(settings, frame, parts.get("preparation"), seed)
    for statement in said_of(columns, settings):
        account.take_as_public(statement)
    encoder = encoder_of(columns)
    model = Candidates(settings, encoder.transform(frame), answers, parts, seed).best()
    pipeline = Pipeline([("columns", encoder), ("estimator", as_sklearn(model))])
    fitted = Fitted(pipeline, preparation_of(columns), settings.task)
    part = parts["evaluation"]
    found = pipeline.predict(frame.iloc[part.places])
    evaluation = _measured_on(part, answers[part.places], found, settings, seed)
    return PrivateModel(fitted, account.spent, evaluation, columns)


def _answers(records: pa.Table, target: str, settings: PrivateSettings) -> NDArray[Any]:
    """(records,) the target: names of classes that were stated, or numbers."""
    answers = target_of(records, target)
    if settings.target_bounds is not None:
        return _numbers(records, target)
    if answers.dtype.kind == "f":
        message = f"the target {target!r} is {records.column(target).type}, expected classes"
        hint = "State target_bounds to predict a number, or make it whole numbers or text."
        raise DtypeError(message, hint=hint)
    if len(unknown := np.flatnonzero(~np.isin(answers, settings.labels))):
        row = int(unknown[0])
        message = (
            f"the target {target!r} is {str(answers[row])!r:.80} in row {row}, expected one of"
        )
        raise InvalidRequestError(f"{message} the classes stated: {', '.join(settings.labels)}")
    return answers


def _numbers(records: pa.Table, target: str) -> NDArray[np.float64]:
    try:
        numbers = doubles_of(records.column(target))
    except (pa.ArrowException, ValueError) as error:
        message = f"the target {target!r} is {records.column(target).type}, expected numbers"
        raise DtypeError(message, hint="State classes to predict one of them.") from error
    if len(unknown := np.flatnonzero(~np.isfinite(numbers))):
        row = int(unknown[0])
        message = f"the target {target!r} is {numbers[row]} in row {row}, expected a finite number"
        raise DtypeError(message)
    return numbers


def _measured_on(
    part: Part,
    truth: NDArray[Any],
    answers: NDArray[Any],
    settings: PrivateSettings,
    seed: int | None,
) -> Evaluation:
    if settings.target_bounds is not None:
        return of_numbers(part.account, truth, answers, settings.target_bounds, seed=seed)
    task = Classification(labels=settings.labels, positive=settings.positive_label)
    return of_classes(part.account, truth, answers, task, seed=seed)
