"""What a scikit-learn estimator is made of, what it answers, and which exports are known wrong.

Refused before anything is exported, because these exports are silently wrong:
- trees fitted on missing values: ONNX does not know to which side they go;
- imputers that add an indicator column.

Source: both found by comparing scikit-learn 1.9 with skl2onnx 1.20 on two draws of data each.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from shoal.errors import UnsupportedModelError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from shoal.package._rows import Array


@dataclass(frozen=True)
class Reference:
    """What the original answers for one output column: name, (rows, ...) values, class names."""

    column: str
    values: Array
    classes: tuple[str, ...] | None = None


def parts(model: object) -> Iterator[Any]:
    """The estimator and every estimator inside it, at any depth."""
    waiting, seen = [model], set()
    while waiting:
        part = waiting.pop()
        if id(part) in seen:
            continue
        seen.add(id(part))
        if hasattr(part, "get_params") and not isinstance(part, type):
            yield part
            waiting += vars(part).values()
        elif isinstance(part, list | tuple):
            waiting += part
        elif isinstance(part, dict):
            waiting += part.values()
        elif isinstance(part, np.ndarray) and part.dtype == object:
            waiting += part.ravel().tolist()


def refuse_wrong_exports(model: object) -> None:
    """Refuses estimators whose export is known to be wrong.

    Raises:
        UnsupportedModelError: naming the estimator and what to do instead.
    """
    for part in parts(model):
        name = type(part).__name__
        if getattr(part, "add_indicator", False):
            message = f"{name}(add_indicator=True) gives wrong answers once exported"
            hint = "Add the column `is missing` to the data yourself and impute without indicator."
            raise UnsupportedModelError(message, hint=hint)
        if hasattr(part, "tree_") and _saw_missing(part.tree_):
            message = f"{name} was fitted on missing values, which its export sends the wrong way"
            hint = "Impute before the trees, or use HistGradientBoosting, which exports correctly."
            raise UnsupportedModelError(message, hint=hint)


def selects_by_name(model: object) -> bool:
    """Whether any step takes columns of a frame by their names."""
    chosen = [
        columns for part in parts(model) for _, _, columns in getattr(part, "transformers_", [])
    ]
    return any(_has_name(columns) for columns in chosen)


def takes_text(model: Any) -> bool:
    """Whether the model's records are plain texts, as those of a text vectorizer are."""
    if hasattr(model, "steps"):
        return takes_text(model.steps[0][1])
    if hasattr(model, "transformer_list"):
        return any(takes_text(part) for _, part in model.transformer_list)
    return hasattr(model, "analyzer") and hasattr(model, "ngram_range")


def references(model: Any, rows: Any) -> tuple[Reference, ...]:
    """What the original answers, one reference for each output column.

    Classifiers give label and probabilities (or scores), regressors a prediction, outlier
    detectors and clusterers label and scores, all others what they transform to.
    """
    kind = _kind(model)
    if kind == "regressor":
        return (Reference("prediction", _dense(model.predict(rows))),)
    if kind == "transformer":
        return (Reference("transformed", _dense(model.transform(rows))),)
    label = Reference("label", _dense(model.predict(rows)))
    classes = tuple(str(each) for each in getattr(model, "classes_", ()))
    for method, column in _SCORES[kind]:
        if hasattr(model, method):
            scores = _dense(getattr(model, method)(rows))
            return label, Reference(column, scores, classes if _fits(classes, scores) else None)
    return (label,)


_SCORES = {
    "classifier": (("predict_proba", "probabilities"), ("decision_function", "scores")),
    "outlier_detector": (("decision_function", "scores"),),
    "clusterer": (("transform", "distances"),),
}


def _kind(model: Any) -> str:
    from sklearn.base import is_classifier, is_clusterer, is_outlier_detector, is_regressor

    checks = {
        "classifier": is_classifier,
        "regressor": is_regressor,
        "outlier_detector": is_outlier_detector,
        "clusterer": is_clusterer,
    }
    for kind, check in checks.items():
        if check(model):
            return kind
    if hasattr(model, "transform"):
        return "transformer"
    message = f"{type(model).__name__} neither predicts nor transforms"
    raise UnsupportedModelError(message)


def _dense(values: Any) -> Array:
    if isinstance(values, list):
        message = "the model gives a list of probabilities, one array for each of several targets"
        raise UnsupportedModelError(message, hint="Seal one model for each target.")
    return np.asarray(values.toarray() if hasattr(values, "toarray") else values)


def _fits(classes: tuple[str, ...], scores: Array) -> bool:
    return scores.ndim > 1 and scores.shape[-1] == len(classes)


def _has_name(columns: Any) -> bool:
    return isinstance(columns, str) or (
        isinstance(columns, list | np.ndarray) and any(isinstance(each, str) for each in columns)
    )


def _saw_missing(tree: Any) -> bool:
    """Whether a fitted tree met a missing value.

    Where a node saw none, scikit-learn sends missing values to the larger child; any other
    direction, or a threshold at infinity, was learned from missing values.
    Source: sklearn/tree/_splitter.pyx of 1.9, `missing_go_to_left = n_left > n_right`.
    """
    if not hasattr(tree, "missing_go_to_left"):
        return False
    inner = np.flatnonzero(tree.children_left != -1)
    left = tree.n_node_samples[tree.children_left[inner]]
    right = tree.n_node_samples[tree.children_right[inner]]
    learned = tree.missing_go_to_left[inner].astype(bool) != (left > right)
    return bool(learned.any() or np.isinf(tree.threshold[inner]).any())
