"""Candidates: an estimator, its parameters, and what stands before it, as data.

- A candidate is fitted as one pipeline, so that whatever is learned from records is learned inside
  a fold, from the records of that fold.
- Resampling changes the records that are learned from, never those that are tested; a sealed model
  has none of it. Its library is loaded for candidates that ask for it, since that takes a second.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import msgspec
from sklearn.pipeline import Pipeline

from shoal.errors import InvalidRequestError
from shoal.train._estimators._double import IN_DOUBLE
from shoal.train._estimators._table import entry, made
from shoal.train._prepare._description import Numeric, Preparation, Scale
from shoal.train._prepare._steps import steps_of

if TYPE_CHECKING:
    from shoal.train._estimators._table import Task

Balance: TypeAlias = Literal["none", "weights", "over", "under", "smote", "noise"]

RESAMPLED = frozenset({"over", "under", "smote", "noise"})


class Candidate(msgspec.Struct, frozen=True, kw_only=True):
    """One way to answer.

    Attributes:
        estimator: Its name in the table.
        parameters: Those that differ from its defaults.
        balance: What is done for rare classes: `weights`, or records that are repeated (`over`),
            left out (`under`), invented between neighbours (`smote`), or repeated with noise.
        scale: How columns of scale `auto` are scaled, if the estimator needs features of one scale.
    """

    estimator: str
    parameters: dict[str, str | int | float | bool | None] = msgspec.field(default_factory=dict)
    balance: Balance = "none"
    scale: Scale = "standard"


def pipeline_of(
    candidate: Candidate, preparation: Preparation, task: Task, *, seed: int
) -> Pipeline:
    """A candidate that is not fitted.

    Raises:
        InvalidRequestError: there is no such estimator or parameter, or it cannot do what is asked.
    """
    found = entry(task, candidate.estimator)
    _check_missing(candidate, preparation, takes_missing=found.takes_missing)
    estimator = made(
        found, dict(candidate.parameters), seed=seed, is_balanced=candidate.balance == "weights"
    )
    steps = steps_of(
        preparation,
        is_scaled=found.is_scaled,
        is_classification=task == "classification",
        scale=candidate.scale,
    )
    if found.in_double:
        steps.append(IN_DOUBLE)
    if candidate.balance not in RESAMPLED:
        return Pipeline([*steps, ("estimator", estimator)])
    from imblearn.pipeline import Pipeline as ResamplingPipeline

    sampler = ("balance", _sampler(candidate.balance, seed))
    return ResamplingPipeline([*steps, sampler, ("estimator", estimator)])


def _sampler(balance: Balance, seed: int) -> Any:
    if balance == "noise":
        from shoal.train._search._noise import NoisyCopies

        return NoisyCopies(random_state=seed)
    if balance == "under":
        from imblearn.under_sampling import RandomUnderSampler

        return RandomUnderSampler(random_state=seed)
    from imblearn.over_sampling import SMOTE, RandomOverSampler

    return (SMOTE if balance == "smote" else RandomOverSampler)(random_state=seed)


def without_sampler(fitted: Pipeline) -> Pipeline:
    """A fitted pipeline as it answers: resampling is for learning only."""
    return Pipeline([(name, step) for name, step in fitted.steps if name != "balance"])


def _check_missing(candidate: Candidate, preparation: Preparation, *, takes_missing: bool) -> None:
    if takes_missing:
        return
    for name, feature in preparation.columns.items():
        if isinstance(feature, Numeric) and feature.missing == "keep":
            message = f"{candidate.estimator} takes no missing numbers, as column {name!r} keeps"
            raise InvalidRequestError(message, hint="Fill them: missing='median'.")
