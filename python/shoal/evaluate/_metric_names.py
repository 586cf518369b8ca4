"""What metrics are called on a page, and what they mean, in plain words."""

from __future__ import annotations

from typing import Final, NamedTuple


class Named(NamedTuple):
    """A metric's title, and what it tells."""

    title: str
    meaning: str


NAMED: Final = {
    "accuracy": Named("Accuracy", "share of records with the right label"),
    "balanced_accuracy": Named("Balanced accuracy", "mean recall of the labels: each counts alike"),
    "matthews_correlation": Named(
        "Matthews correlation", "of truth and answer: 0 is chance, 1 right"
    ),
    "precision": Named("Precision", "share of positive answers that are right"),
    "recall": Named("Recall", "share of positive records that are found"),
    "f1": Named("F1", "harmonic mean of precision and recall"),
    "macro_precision": Named("Precision, macro", "plain mean over the labels"),
    "macro_recall": Named("Recall, macro", "plain mean over the labels"),
    "macro_f1": Named("F1, macro", "plain mean over the labels"),
    "weighted_precision": Named("Precision, weighted", "mean by the records of each label"),
    "weighted_recall": Named("Recall, weighted", "mean by the records of each label"),
    "weighted_f1": Named("F1, weighted", "mean by the records of each label"),
    "roc_auc": Named("ROC-AUC", "how often a positive record is ranked above another"),
    "average_precision": Named("PR-AUC", "average precision over all thresholds"),
    "log_loss": Named("Log loss", "price of the probabilities given to what came true"),
    "brier_score": Named("Brier score", "mean squared error of the probabilities"),
    "expected_calibration_error": Named(
        "Calibration error", "mean distance of probability and share that came true"
    ),
    "mean_absolute_error": Named("MAE", "mean absolute error"),
    "median_absolute_error": Named("Median absolute error", "half of the errors are smaller"),
    "mean_squared_error": Named("MSE", "mean squared error"),
    "root_mean_squared_error": Named("RMSE", "root of the mean squared error"),
    "r2": Named("R\N{SUPERSCRIPT TWO}", "share of the truth's variance that is explained"),
    "bias": Named("Bias", "mean of answer less truth"),
}
WAYS: Final = {"higher": "higher", "lower": "lower", "zero": "near 0"}


def title_of(metric: str) -> str:
    """Gives what a metric is called on a page."""
    return NAMED[metric].title if metric in NAMED else metric


def meaning_of(metric: str) -> str:
    """Gives what a metric tells."""
    return NAMED[metric].meaning if metric in NAMED else ""
