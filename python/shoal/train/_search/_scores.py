"""What candidates are compared by, under the names that `shoal.evaluate` gives the same metrics.

- Greater is better, for every one of them: an error or a loss counts as its negative.
- `precision`, `recall`, `f1` and `average_precision` of two classes are those of the positive one.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from sklearn import metrics
from sklearn.metrics import make_scorer

from shoal.errors import InvalidRequestError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from shoal.train._estimators._table import Task

    Scorer = Callable[[Any, Any, Any], float]

RANKING = ("decision_function", "predict_proba")
BINARY = 2


class _Metric(NamedTuple):
    """A metric of scikit-learn, and how it is asked.

    Attributes:
        function: It.
        of: What of an estimator it takes: answers, or what ranks them.
        is_error: Whether less is better.
        options: What it is told.
        is_of_positive: Whether it is of the positive one of two classes.
    """

    function: Callable[..., float]
    of: Any = "predict"
    is_error: bool = False
    options: Mapping[str, Any] = MappingProxyType({})
    is_of_positive: bool = False


_LABELS = (("precision", metrics.precision_score), ("recall", metrics.recall_score))
METRICS: dict[Task, dict[str, _Metric]] = {
    "classification": {
        "accuracy": _Metric(metrics.accuracy_score),
        "average_precision": _Metric(
            metrics.average_precision_score, of=RANKING, is_of_positive=True
        ),
        "balanced_accuracy": _Metric(metrics.balanced_accuracy_score),
        "log_loss": _Metric(metrics.log_loss, of="predict_proba", is_error=True),
        "roc_auc": _Metric(metrics.roc_auc_score, of=RANKING, options={"multi_class": "ovr"}),
    }
    | {
        name: _Metric(function, options={"zero_division": 0.0}, is_of_positive=True)
        for name, function in (*_LABELS, ("f1", metrics.f1_score))
    }
    | {
        f"macro_{name}": _Metric(
            function, options={"average": "macro", "pos_label": None, "zero_division": 0.0}
        )
        for name, function in (*_LABELS, ("f1", metrics.f1_score))
    },
    "regression": {
        "mean_absolute_error": _Metric(metrics.mean_absolute_error, is_error=True),
        "r2": _Metric(metrics.r2_score),
        "root_mean_squared_error": _Metric(metrics.root_mean_squared_error, is_error=True),
    },
}
USUAL: dict[Task, str] = {
    "classification": "accuracy",
    "regression": "root_mean_squared_error",
}


def sign_of(task: Task, name: str) -> int:
    """-1 where a score is the negative of its metric, 1 otherwise."""
    return -1 if METRICS[task][name].is_error else 1


def scorer_of(
    task: Task, name: str | None, target: NDArray[Any], positive: str | None = None
) -> Scorer:
    """How a fitted estimator is scored on rows and their target; greater is better.

    Args:
        task: What is predicted.
        name: The metric; None for the usual one.
        target: (rows,) the target.
        positive: The class that is looked for, where there are two; the rarer one if None.

    Raises:
        InvalidRequestError: there is no such score for the task, or no such class.
    """
    chosen = USUAL[task] if name is None else name
    if chosen not in METRICS[task]:
        message = f"there is no score {chosen!r} for {task}"
        hint = f"There are {', '.join(sorted(METRICS[task]))}."
        raise InvalidRequestError(message, hint=hint)
    metric = METRICS[task][chosen]
    options = dict(metric.options)
    looked_for = positive_of(target, positive) if task == "classification" else None
    if metric.is_of_positive and looked_for is not None:
        options["pos_label"] = looked_for
    elif metric.is_of_positive and chosen != "average_precision":
        message = f"{chosen!r} is of one of two classes, and the target has more"
        raise InvalidRequestError(message, hint=f"Take 'macro_{chosen}'.")
    scorer: Scorer = make_scorer(
        metric.function,
        greater_is_better=not metric.is_error,
        response_method=metric.of,
        **options,
    )
    return scorer


def positive_of(target: NDArray[Any], positive: str | None) -> str | None:
    """The class that is looked for: the named one, or the rarer of two; None of more.

    Raises:
        InvalidRequestError: the target has no such class, or more than two.
    """
    names, counts = np.unique(target, return_counts=True)
    if positive is not None and (len(names) != BINARY or positive not in names):
        message = f"the positive class is {positive!r}, and the classes are {', '.join(names)}"
        raise InvalidRequestError(message, hint="Of two classes, name one.")
    if positive is not None or len(names) != BINARY:
        return positive
    return str(names[int(counts.argmin())])
