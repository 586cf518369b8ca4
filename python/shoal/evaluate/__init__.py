"""How good a model is: metrics with intervals, by slice, compared, and as a page.

    evaluation = measure(truth, model.predict(records), task=Classification(labels=["no", "yes"]))

- What is measured here of a table is measured of a stream by `shoal.batch`: `classification`,
  `ranking`, `calibration`, `log_loss`, `brier_score`, `regression` and `quantiles` are merges.
- Nothing is dropped and nothing is NaN: what cannot be measured is refused by column and row, what
  is not defined is None with a note.
- Importing this room loads nothing heavy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from shoal.evaluate._evaluation import (
        Agreement,
        Bin,
        Calibration,
        Curve,
        Evaluation,
        Histogram,
        Interval,
        LabelMetrics,
        Metric,
        Slice,
        Sliced,
        Threshold,
        from_json,
        to_json,
    )
    from shoal.evaluate._measure import measure
    from shoal.evaluate._ranking import average_precision, roc_auc
    from shoal.evaluate._task import Classification, Regression, Settings

_LAZY = {
    "Agreement": "_evaluation",
    "Bin": "_evaluation",
    "Calibration": "_evaluation",
    "Classification": "_task",
    "Curve": "_evaluation",
    "Evaluation": "_evaluation",
    "Histogram": "_evaluation",
    "Interval": "_evaluation",
    "LabelMetrics": "_evaluation",
    "Metric": "_evaluation",
    "Regression": "_task",
    "Settings": "_task",
    "Slice": "_evaluation",
    "Sliced": "_evaluation",
    "Threshold": "_evaluation",
    "average_precision": "_ranking",
    "from_json": "_evaluation",
    "measure": "_measure",
    "roc_auc": "_ranking",
    "to_json": "_evaluation",
}

__all__ = [
    "Agreement",
    "Bin",
    "Calibration",
    "Classification",
    "Curve",
    "Evaluation",
    "Histogram",
    "Interval",
    "LabelMetrics",
    "Metric",
    "Regression",
    "Settings",
    "Slice",
    "Sliced",
    "Threshold",
    "average_precision",
    "from_json",
    "measure",
    "roc_auc",
    "to_json",
]


def __getattr__(name: str) -> Any:
    """Loads what needs NumPy, scikit-learn or matplotlib when it is first asked for."""
    from importlib import import_module

    if name not in _LAZY:
        message = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(message)
    return getattr(import_module(f"{__name__}.{_LAZY[name]}"), name)
