"""A fitted model with the threshold that was asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from sklearn.pipeline import Pipeline

from shoal.train._estimators._decided import decided
from shoal.train._estimators._table import TABLES, entry, made
from shoal.train._run._material import by_name
from shoal.train._run._threshold import best_threshold, shares_of_folds
from shoal.train._search._candidates import pipeline_of, without_sampler
from shoal.train._search._folds import cut_columns, folds_of
from shoal.train._search._scores import positive_of
from shoal.train._search._space import names_for

if TYPE_CHECKING:
    from shoal.train._estimators._table import Task
    from shoal.train._run._configuration import Configuration
    from shoal.train._run._material import Material
    from shoal.train._run._threshold import Threshold
    from shoal.train._search._candidates import Candidate
    from shoal.train._search._search import Fitted


OF_PROBABILITIES = {"log_loss", "brier_score", "expected_calibration_error"}


class Decided(NamedTuple):
    """A model and its threshold.

    Attributes:
        fitted: The model; it answers by the threshold.
        threshold: It; None for the more probable class.
        positive: The class that it is of.
        notes: Why there is none although one was asked for.
    """

    fitted: Fitted
    threshold: float | None = None
    positive: str | None = None
    notes: tuple[str, ...] = ()


def with_threshold(
    fitted: Fitted, candidate: Candidate, material: Material, configuration: Configuration
) -> Decided:
    """The model, with a threshold if the configuration asks for one and the model can have it.

    Raises:
        InputError: folds cannot be cut.
    """
    if configuration.threshold is None:
        return Decided(fitted)
    if candidate.estimator == "dummy":
        return Decided(fitted, notes=("no threshold was chosen: the best model is the baseline",))
    return decided_by(configuration.threshold, fitted, candidate, material, configuration)


def decided_by(
    rule: Threshold,
    fitted: Fitted,
    candidate: Candidate,
    material: Material,
    configuration: Configuration,
) -> Decided:
    """The model with a threshold that is chosen by a rule, if the model can have one.

    Raises:
        InputError: folds cannot be cut.
    """
    frame, target = by_name(material, configuration.target)
    reason, positive = _why_not(fitted, candidate), None
    if reason is None:
        positive = positive_of(target, configuration.search.positive)
        reason = "there are more than two classes" if positive is None else None
    if reason is not None or positive is None:
        return Decided(fitted, notes=(f"no threshold was chosen: {reason}",))
    search = configuration.search
    by = cut_columns(material.learned, search.folds)
    folds = folds_of(search.folds, by if len(by.columns) else frame, target, material.task)
    model = pipeline_of(candidate, fitted.preparation, material.task, seed=search.seed)
    rows, shares = shares_of_folds(model, frame, target, folds, positive)
    threshold = best_threshold(shares, target[rows] == positive, rule)
    return Decided(thresholded(fitted, threshold, positive), threshold, positive)


def estimators_for(configuration: Configuration, material: Material) -> dict[str, str | None]:
    """All estimators, and why one is not compared where none are named; None for those that are."""
    task, records = material.task, material.learned.num_rows
    needs = "a threshold needs" if configuration.threshold is not None else None
    if of_probabilities(configuration):
        needs = f"{configuration.evaluation.metric!r} needs"
    found: dict[str, str | None] = dict.fromkeys(TABLES[task])
    for name in found:
        if needs and task == "classification" and not gives_probabilities(name, task):
            found[name] = f"it gives no probabilities, which {needs}"
        if name not in names_for(task, records):
            found[name] = f"{records} records would take it too long"
    return found


def of_probabilities(configuration: Configuration) -> bool:
    """Whether what decides in the report is measured on probabilities."""
    return configuration.evaluation.metric in OF_PROBABILITIES


def gives_probabilities(name: str, task: Task) -> bool:
    """Whether an estimator gives probabilities."""
    return hasattr(made(entry(task, name), {}, seed=0), "predict_proba")


def thresholded(fitted: Fitted, threshold: float, positive: str) -> Fitted:
    """The same model, answering by a threshold."""
    steps = without_sampler(fitted.pipeline).steps
    name, last = steps[-1]
    pipeline = Pipeline([*steps[:-1], (name, decided(last, threshold, positive))])
    return fitted._replace(pipeline=pipeline)


def _why_not(fitted: Fitted, candidate: Candidate) -> str | None:
    if fitted.task == "regression":
        return "a number is predicted"
    if not hasattr(fitted.pipeline, "predict_proba"):
        return f"{candidate.estimator} gives no probabilities"
    return None
