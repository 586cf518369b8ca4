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

if TYPE_CHECKING:
    from shoal.train._run._configuration import Configuration
    from shoal.train._run._material import Material
    from shoal.train._search._candidates import Candidate
    from shoal.train._search._search import Fitted
from shoal.train._search._space import names_for


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
    rule = configuration.threshold
    if rule is None:
        return Decided(fitted)
    if reason := _why_not(fitted, candidate):
        return Decided(fitted, notes=(f"no threshold was chosen: {reason}",))
    frame, target = by_name(material, configuration.target)
    positive = positive_of(target, configuration.search.positive)
    if positive is None:
        return Decided(fitted, notes=("no threshold was chosen: there are more than two classes",))
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
    needs_shares = configuration.threshold is not None and task == "classification"
    found: dict[str, str | None] = dict.fromkeys(TABLES[task])
    for name in found:
        if needs_shares and not hasattr(made(entry(task, name), {}, seed=0), "predict_proba"):
            found[name] = "it gives no probabilities, which a threshold needs"
        if name not in names_for(task, records):
            found[name] = f"{records} records would take it too long"
    return found


def thresholded(fitted: Fitted, threshold: float, positive: str) -> Fitted:
    """The same model, answering by a threshold."""
    steps = without_sampler(fitted.pipeline).steps
    name, last = steps[-1]
    pipeline = Pipeline([*steps[:-1], (name, decided(last, threshold, positive))])
    return fitted._replace(pipeline=pipeline)


def _why_not(fitted: Fitted, candidate: Candidate) -> str | None:
    if fitted.task == "regression":
        return "a number is predicted"
    if candidate.estimator == "dummy":
        return "the best model is the baseline"
    if not hasattr(fitted.pipeline, "predict_proba"):
        return f"{candidate.estimator} gives no probabilities"
    return None
