"""The plots of a report: each from the tables of an evaluation, with a description in words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np

from shoal.evaluate._metric_names import title_of
from shoal.evaluate._page._blocks import Figure, written
from shoal.evaluate._page._plots import (
    ACCENT,
    INK,
    MUTED,
    SECOND,
    SERIES,
    WIDE_INCHES,
    plot,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes

    from shoal.evaluate._evaluation import (
        Agreement,
        Calibration,
        Curve,
        Metric,
        Sliced,
        Threshold,
    )
    from shoal.evaluate._importance import Importance

DASHES: Final = ("-", "--", ":")
MOST_BARS: Final = 20
LINE_INCHES: Final = 0.32
LEAST_INCHES: Final = 1.4
LONGEST_NAME: Final = 28


def roc(curves: Sequence[Curve]) -> Figure:
    """Draws how many positive records are found at the price of how many false alarms."""

    def draw(axes: Axes) -> None:
        axes.plot([0, 1], [0, 1], color=MUTED, linewidth=1, linestyle="--")
        for place, curve in enumerate(curves):
            axes.plot(
                curve.false_positive_rate, curve.recall, label=short(curve.label), **_look(place)
            )
        _unit(axes, "False positive rate", "Recall (true positive rate)")
        _legend(axes, len(curves), "lower right")

    return Figure(
        plot(draw),
        f"ROC curve of {_labels(curves)}: recall by false positive rate.",
        "ROC: the nearer to the upper left corner, the better; the dashed line is chance.",
    )


def precision_recall(curves: Sequence[Curve]) -> Figure:
    """Draws how precise the answers are while more and more positive records are found."""

    def draw(axes: Axes) -> None:
        for place, curve in enumerate(curves):
            axes.step(
                curve.recall, curve.precision, where="pre", label=short(curve.label), **_look(place)
            )
        _unit(axes, "Recall", "Precision")
        _legend(axes, len(curves), "lower left")

    return Figure(
        plot(draw),
        f"Precision-recall curve of {_labels(curves)}.",
        "Precision and recall: the nearer to the upper right corner, the better.",
    )


def reliability(calibration: Calibration) -> Figure:
    """Draws the share that came true by the probability that was given."""
    met = [found for found in calibration.bins if found.probability is not None]
    largest = max((found.records for found in met), default=1.0)

    def draw(axes: Axes) -> None:
        axes.plot([0, 1], [0, 1], color=MUTED, linewidth=1, linestyle="--")
        for found in calibration.bins:
            height = 0.22 * found.records / largest
            axes.bar(
                found.low, height, found.high - found.low, align="edge", color=SECOND, alpha=0.35
            )
        points = [(found.probability or 0.0, found.share or 0.0) for found in met]
        axes.plot(*zip(*points, strict=True), color=ACCENT, marker="o", markersize=5)
        _unit(axes, "Mean probability given", "Share that came true")

    return Figure(
        plot(draw),
        f"Reliability plot of {len(met)} bins: the share that came true by the probability given.",
        "On the dashed line probabilities can be taken at their word. Bars: how many records.",
    )


def by_threshold(thresholds: Sequence[Threshold]) -> Figure:
    """Draws what each threshold finds."""

    def draw(axes: Axes) -> None:
        at = [row.threshold for row in thresholds]
        for place, name in enumerate(("precision", "recall", "f1")):
            values = [getattr(row, name) for row in thresholds]
            drawn = [np.nan if value is None else value for value in values]
            axes.plot(at, drawn, label=title_of(name), **_look(place))
        _unit(axes, "Threshold", "Metric")
        axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3)

    return Figure(
        plot(draw),
        "Precision, recall and F1 by threshold; the table beside it has the numbers.",
        "A higher threshold answers positive less often: precision rises, recall falls.",
    )


def agreement(found: Agreement) -> Figure:
    """Draws answered by true numbers, the darker the more records."""
    cells, edges = np.array(found.records), np.array(found.edges)
    most = max(float(cells.max()), 1.0)

    def draw(axes: Axes) -> None:
        size = edges[1] - edges[0]
        for truth, answer in zip(*np.nonzero(cells), strict=True):
            depth = 0.15 + 0.85 * float(np.sqrt(cells[truth, answer] / most))
            axes.bar(
                edges[truth], size, size, edges[answer], align="edge", color=ACCENT, alpha=depth
            )
        ends = [edges[0], edges[-1]]
        axes.plot(ends, ends, color=INK, linewidth=1, linestyle="--")
        axes.set(xlim=ends, ylim=ends, xlabel="True number", ylabel="Answered number")
        axes.set_aspect("equal")

    return Figure(
        plot(draw),
        f"Answered by true numbers, from {written(edges[0])} to {written(edges[-1])}.",
        "The darker a cell, the more records; on the dashed line the answer is right.",
    )


def errors(found: Agreement) -> Figure:
    """Draws how often the answer is off by how much."""
    edges = np.array(found.errors.edges)

    def draw(axes: Axes) -> None:
        axes.bar(edges[:-1], found.errors.records, np.diff(edges), align="edge", color=ACCENT)
        axes.axvline(0, color=INK, linewidth=1, linestyle="--")
        axes.set(xlabel="Answer less truth", ylabel="Records")
        axes.locator_params(axis="y", integer=True)

    return Figure(
        plot(draw),
        f"Histogram of errors, from {written(edges[0])} to {written(edges[-1])}.",
        "Errors: left of 0 the answer is too small, right of it too large.",
    )


def slices(sliced: Sliced, metrics: Sequence[str]) -> Figure | None:
    """Draws, of each slice, the first of some metrics that a slice has; None where none has one."""
    for metric in metrics:
        points = [
            (short(part.value), found)
            for part in sliced.slices
            for found in part.metrics
            if found.name == metric and found.value is not None
        ]
        if points:
            return _slices(sliced.column, metric, points)
    return None


def _slices(column: str, metric: str, points: list[tuple[str, Metric]]) -> Figure:
    def draw(axes: Axes) -> None:
        names = [name for name, _ in points]
        for place, (_, found) in enumerate(points):
            if found.bounds is not None:
                axes.plot([found.bounds.low, found.bounds.high], [place, place], color=ACCENT)
        values = [float(found.value or 0.0) for _, found in points]
        axes.plot(values, range(len(points)), "o", color=ACCENT)
        _rows(axes, names)
        axes.set_xlabel(title_of(metric))

    return Figure(
        plot(draw, width_inches=WIDE_INCHES, height_inches=_height(len(points))),
        f"{title_of(metric)} of each value of {column}, with intervals.",
        f"{title_of(metric)} by {column}: slices whose intervals overlap may well be alike.",
    )


def importances(found: Sequence[Importance]) -> Figure:
    """Draws what is lost when a column is shuffled."""
    shown = found[:MOST_BARS]

    def draw(axes: Axes) -> None:
        spreads = [one.spread or 0.0 for one in shown]
        bars = [one.mean for one in shown]
        axes.barh(
            range(len(shown)), bars, xerr=spreads, color=ACCENT, ecolor=INK, height=0.62, capsize=2
        )
        axes.axvline(0, color=MUTED, linewidth=1)
        _rows(axes, [short(one.column) for one in shown])
        axes.set_xlabel(f"Loss of {title_of(shown[0].metric)} when shuffled")

    return Figure(
        plot(draw, width_inches=WIDE_INCHES, height_inches=_height(len(shown))),
        f"Importance of {len(shown)} columns, {shown[0].column} first.",
        "How much worse the model gets when a column is shuffled; lines: standard deviation.",
    )


def short(label: object) -> str:
    """Gives a name that fits beside a plot."""
    text = "missing" if label is None else str(label)
    if text.startswith("_"):
        text = f"\N{ZERO WIDTH SPACE}{text}"  # matplotlib hides names that begin with _
    ending = "\N{HORIZONTAL ELLIPSIS}"
    return text if len(text) <= LONGEST_NAME else text[: LONGEST_NAME - 1] + ending


def _look(place: int) -> dict[str, Any]:
    dash = DASHES[place // len(SERIES) % len(DASHES)]
    return {"color": SERIES[place % len(SERIES)], "linestyle": dash}


def _unit(axes: Axes, across: str, up: str) -> None:
    axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.03), xlabel=across, ylabel=up)


def _legend(axes: Axes, count: int, place: Literal["lower right", "lower left"]) -> None:
    if count > 1:
        axes.legend(loc=place)


def _rows(axes: Axes, names: list[str]) -> None:
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.grid(visible=False, axis="y")


def _height(rows: int) -> float:
    return LEAST_INCHES + LINE_INCHES * rows


def _labels(curves: Sequence[Curve]) -> str:
    return ", ".join(short(curve.label) for curve in curves)
