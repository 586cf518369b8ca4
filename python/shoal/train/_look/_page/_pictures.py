"""The plots of the page: each from the facts of a look, with a description in words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from shoal.evaluate import ACCENT, MUTED, SECOND, Figure, plot, written
from shoal.train._look._totals import MOMENTS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes

    from shoal.train._look._facts import ColumnLook, Frequent, Histogram

WIDE_INCHES: Final = 7.6
NARROW_INCHES: Final = 4.2
HISTOGRAM_INCHES: Final = 1.75
LEAST_INCHES: Final = 0.75
LINE_INCHES: Final = 0.26
LONGEST: Final = 26
TICKS: Final = 3
YEAR_S: Final = 366 * 86_400


def short(text: str, longest: int = LONGEST) -> str:
    """A name or value that fits: on one line, cut, and never empty."""
    plain = "".join(each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in text)
    if len(plain) > longest:
        plain = plain[: longest - 1] + "\N{HORIZONTAL ELLIPSIS}"
    return (
        plain
        if plain.strip()
        else f"\N{LEFT DOUBLE QUOTATION MARK}{plain}\N{RIGHT DOUBLE QUOTATION MARK}"
    )


def distribution(column: ColumnLook, said: str) -> Figure | None:
    """Draws how the values of a column lie; None where there is nothing to draw.

    Args:
        column: The column.
        said: What stands below.
    """
    if column.frequent:
        return bars(column.frequent, column.other_values, title=column.name, said=said)
    if column.histogram is None:
        return None
    return _histogram(column, column.histogram, said)


def bars(values: Sequence[Frequent], others: int, *, title: str, said: str) -> Figure:
    """Draws how many records have each value.

    Args:
        values: The values.
        others: How many values are not drawn.
        title: What has these values.
        said: What stands below.
    """

    def draw(axes: Axes) -> None:
        axes.barh(range(len(values)), [each.records for each in values], color=ACCENT, height=0.66)
        _rows(axes, [short(each.value) for each in values])
        _few_ticks(axes, "x", are_whole=True)
        axes.set_title(short(title, 40), loc="left", fontsize=10, fontweight="bold")

    shown = ", ".join(f"{short(each.value)} {written(each.records)}" for each in values)
    beside = f" {written(others)} other values are not drawn." if others else ""
    height = LEAST_INCHES + LINE_INCHES * max(len(values), 2)
    drawn = plot(draw, width_inches=NARROW_INCHES, height_inches=height)
    return Figure(drawn, f"Records by {short(title)}: {shown}.{beside}", said + beside)


def powers(columns: Sequence[ColumnLook]) -> Figure:
    """Draws how well columns predict the target alone, and by being missing."""

    def draw(axes: Axes) -> None:
        places = np.arange(len(columns))
        axes.barh(places, [each.power or 0.0 for each in columns], color=ACCENT, height=0.62)
        missing = [(place, each.missing_power) for place, each in enumerate(columns)]
        points = [(value, place) for place, value in missing if value is not None]
        if points:
            label = "by being missing alone"
            axes.plot(*zip(*points, strict=True), "D", color=SECOND, markersize=5, label=label)
            axes.legend(loc="lower right")
        _rows(axes, [short(each.name) for each in columns])
        axes.set(xlim=(0, 1.02), xlabel="Predictive power alone")

    height = 1.0 + 0.3 * len(columns)
    told = ", ".join(f"{short(each.name)} {written(each.power)}" for each in columns[:3])
    return Figure(
        plot(draw, width_inches=WIDE_INCHES, height_inches=height),
        f"Predictive power of {len(columns)} columns, the strongest first: {told}.",
        "0 is chance, 1 is perfect. A column that is nearly perfect alone is seldom honest.",
    )


def _histogram(column: ColumnLook, found: Histogram, said: str) -> Figure:
    edges = np.array(found.edges)

    def draw(axes: Axes) -> None:
        axes.bar(edges[:-1], found.records, np.diff(edges), align="edge", color=ACCENT)
        if column.quantiles:
            middle = column.quantiles[len(column.quantiles) // 2]
            axes.axvline(middle, color=SECOND, linewidth=1.2, linestyle="--")
        axes.set_xlim(edges[0], edges[-1])
        _few_ticks(axes, "y", are_whole=True)
        if column.kind in MOMENTS:
            ticks = np.linspace(edges[0], edges[-1], TICKS + 2)[1:-1]
            axes.set_xticks(ticks, [_moment(each, edges[-1] - edges[0]) for each in ticks])
        else:
            _few_ticks(axes, "x", are_whole=column.kind in {"integer", "text"})
        axes.tick_params(color=MUTED)
        what = "characters" if column.kind == "text" else ""
        axes.set_xlabel(what)
        axes.set_title(short(column.name, 40), loc="left", fontsize=10, fontweight="bold")

    drawn = plot(draw, width_inches=NARROW_INCHES, height_inches=HISTOGRAM_INCHES)
    beyond = found.below + found.above
    beside = f" {written(beyond)} far out, not drawn." if beyond else ""
    return Figure(drawn, f"Histogram of {short(column.name)}: {said}{beside}", said + beside)


def _rows(axes: Axes, names: list[str]) -> None:
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.grid(visible=False, axis="y")


def _few_ticks(axes: Axes, axis: str, *, are_whole: bool) -> None:
    from matplotlib.ticker import MaxNLocator

    chosen = axes.xaxis if axis == "x" else axes.yaxis
    count = TICKS if axis == "y" else TICKS + 2
    chosen.set_major_locator(MaxNLocator(count, integer=are_whole))


def _moment(seconds: float, span_s: float) -> str:
    text = str(np.datetime64(int(seconds), "s"))
    date, _, time = text.partition("T")
    return date if span_s > YEAR_S / 100 else f"{date[5:]} {time[:5]}"
