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
    from shoal.evaluate._compare import (
        Comparison,
        Pair,
        PairedTest,
        Standing,
        compare,
        compare_scores,
    )
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
    from shoal.evaluate._importance import Importance, permutation_importance
    from shoal.evaluate._measure import measure
    from shoal.evaluate._page._blocks import (
        Beside,
        Facts,
        Figure,
        Notes,
        Section,
        Shaded,
        Table,
        Text,
        Tile,
        Tiles,
        written,
    )
    from shoal.evaluate._page._page import Page
    from shoal.evaluate._page._plots import ACCENT, INK, MUTED, SECOND, Plot, plot
    from shoal.evaluate._ranking import average_precision, roc_auc
    from shoal.evaluate._report import ModelCard, Report, to_markdown
    from shoal.evaluate._sections import page_of, to_html
    from shoal.evaluate._task import Classification, Regression, Settings

_LAZY = {
    "ACCENT": "_page._plots",
    "INK": "_page._plots",
    "MUTED": "_page._plots",
    "SECOND": "_page._plots",
    "Agreement": "_evaluation",
    "Beside": "_page._blocks",
    "Bin": "_evaluation",
    "Calibration": "_evaluation",
    "Classification": "_task",
    "Comparison": "_compare",
    "Curve": "_evaluation",
    "Evaluation": "_evaluation",
    "Facts": "_page._blocks",
    "Figure": "_page._blocks",
    "Histogram": "_evaluation",
    "Importance": "_importance",
    "Interval": "_evaluation",
    "LabelMetrics": "_evaluation",
    "Metric": "_evaluation",
    "ModelCard": "_report",
    "Notes": "_page._blocks",
    "Page": "_page._page",
    "Pair": "_compare",
    "PairedTest": "_compare",
    "Plot": "_page._plots",
    "Regression": "_task",
    "Report": "_report",
    "Section": "_page._blocks",
    "Settings": "_task",
    "Shaded": "_page._blocks",
    "Slice": "_evaluation",
    "Sliced": "_evaluation",
    "Standing": "_compare",
    "Table": "_page._blocks",
    "Text": "_page._blocks",
    "Threshold": "_evaluation",
    "Tile": "_page._blocks",
    "Tiles": "_page._blocks",
    "average_precision": "_ranking",
    "compare": "_compare",
    "compare_scores": "_compare",
    "from_json": "_evaluation",
    "measure": "_measure",
    "page_of": "_sections",
    "permutation_importance": "_importance",
    "plot": "_page._plots",
    "roc_auc": "_ranking",
    "to_html": "_sections",
    "to_json": "_evaluation",
    "to_markdown": "_report",
    "written": "_page._blocks",
}

__all__ = [
    "ACCENT",
    "INK",
    "MUTED",
    "SECOND",
    "Agreement",
    "Beside",
    "Bin",
    "Calibration",
    "Classification",
    "Comparison",
    "Curve",
    "Evaluation",
    "Facts",
    "Figure",
    "Histogram",
    "Importance",
    "Interval",
    "LabelMetrics",
    "Metric",
    "ModelCard",
    "Notes",
    "Page",
    "Pair",
    "PairedTest",
    "Plot",
    "Regression",
    "Report",
    "Section",
    "Settings",
    "Shaded",
    "Slice",
    "Sliced",
    "Standing",
    "Table",
    "Text",
    "Threshold",
    "Tile",
    "Tiles",
    "average_precision",
    "compare",
    "compare_scores",
    "from_json",
    "measure",
    "page_of",
    "permutation_importance",
    "plot",
    "roc_auc",
    "to_html",
    "to_json",
    "to_markdown",
    "written",
]


def __getattr__(name: str) -> Any:
    """Loads what needs NumPy, scikit-learn or matplotlib when it is first asked for."""
    from importlib import import_module

    if name not in _LAZY:
        message = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(message)
    return getattr(import_module(f"{__name__}.{_LAZY[name]}"), name)
