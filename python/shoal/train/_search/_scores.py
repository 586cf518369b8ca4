"""What candidates are compared by; greater is better, for every one of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sklearn.metrics import get_scorer

from shoal.errors import InvalidRequestError

if TYPE_CHECKING:
    from collections.abc import Callable

    from shoal.train._estimators._table import Task

    Scorer = Callable[[Any, Any, Any], float]

# By scikit-learn's names; where less is better, the score is the negative.
SCORES: dict[Task, dict[str, str]] = {
    "classification": {
        "accuracy": "accuracy",
        "balanced_accuracy": "balanced_accuracy",
        "f1": "f1_macro",
        "log_loss": "neg_log_loss",
        "pr_auc": "average_precision",
        "precision": "precision_macro",
        "recall": "recall_macro",
        "roc_auc": "roc_auc_ovr",
    },
    "regression": {
        "mae": "neg_mean_absolute_error",
        "r2": "r2",
        "rmse": "neg_root_mean_squared_error",
    },
}
USUAL: dict[Task, str] = {"classification": "accuracy", "regression": "rmse"}


def scorer_of(task: Task, name: str | None) -> Scorer:
    """How a fitted estimator is scored on rows and their target; greater is better.

    Raises:
        InvalidRequestError: there is no such score for the task.
    """
    chosen = USUAL[task] if name is None else name
    if chosen not in SCORES[task]:
        message = f"there is no score {chosen!r} for {task}"
        raise InvalidRequestError(message, hint=f"There are {', '.join(SCORES[task])}.")
    scorer: Scorer = get_scorer(SCORES[task][chosen])
    return scorer
