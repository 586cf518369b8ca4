"""The pictures of docs/concepts/autoscaling.md: a day, and what each scaler costs."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

from benchmarks.serve._plot import COLOURS, INK

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from benchmarks.autoscaling._study import Outcome, Play, Report

MARKS = {"fixed": "s", "cpu": "o", "queue wait": "D"}
LEAST_PERCENT = 1.0
BY_KIND = {"queue wait": COLOURS[0], "cpu": COLOURS[1], "fixed": COLOURS[7]}


def draw_day(plays: Sequence[tuple[Play, Report]], path: Path) -> None:
    """Load, replicas and p99 over a day, by each of a few scalers."""
    from matplotlib.ticker import LogFormatter

    figure = _figure((9.0, 7.2))
    load, replicas, latency = figure.subplots(3, 1, sharex=True, height_ratios=(1, 2, 2))
    first, _ = plays[0]
    hours = [step * first.shape.step_ms / 3.6e6 for step in range(len(first.shape.levels))]
    load.plot(hours, first.shape.levels, color=INK, linewidth=1)
    load.set_ylabel("load, in replicas")
    load.set_ylim(bottom=0)
    for place, (one, report) in enumerate(plays):
        at = [minute.at_s / 3600 for minute in report.minutes]
        style = {"color": COLOURS[place], "linewidth": 1.2, "label": one.scaler.name}
        replicas.step(at, [minute.ready for minute in report.minutes], where="post", **style)
        latency.plot(at, [minute.p99_ms or None for minute in report.minutes], **style)
    target_ms = first.latency_target_ms
    latency.axhline(target_ms, color=INK, linestyle=":", linewidth=1)
    latency.annotate("latency target", (0.2, target_ms), va="bottom", fontsize=8)
    latency.set_yscale("log")
    for axis in (latency.yaxis.set_major_formatter, latency.yaxis.set_minor_formatter):
        axis(LogFormatter(minor_thresholds=(2, 0.5)))
    latency.set_ylabel("p99 of each minute, ms")
    replicas.set_ylabel("replicas that answer")
    replicas.set_ylim(bottom=0)
    replicas.set_xlim(0, 24)
    replicas.legend(loc="upper left", frameon=False)
    latency.set_xlabel("hour of the day")
    figure.suptitle(f"A day of the model {first.profile.model!r}")
    _save(figure, path)


def draw_price(outcomes: Sequence[Outcome], path: Path) -> None:
    """Replica-hours against late requests, for each model and shape."""
    models = list(dict.fromkeys(each.model for each in outcomes))
    shapes = list(dict.fromkeys(each.shape for each in outcomes))
    figure = _figure((10.0, 6.4))
    axes = figure.subplots(len(models), len(shapes), squeeze=False)
    for row, model in enumerate(models):
        for column, shape in enumerate(shapes):
            here = [each for each in outcomes if (each.model, each.shape) == (model, shape)]
            _price(axes[row][column], [each for each in here if each.scaler.is_usual], model, shape)
    for row in axes:
        row[0].set_ylabel("late requests, %")
    for below in axes[-1]:
        below.set_xlabel("replica-hours")
    handles, labels = axes[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, frameon=False)
    _save(figure, path)


def _price(axes: Any, outcomes: Sequence[Outcome], model: str, shape: str) -> None:
    for kind, colour in BY_KIND.items():
        seen = [each for each in outcomes if each.scaler.kind == kind]
        hours = [each.replica_hours for each in seen]
        late = [100 * each.late_share for each in seen]
        axes.plot(hours, late, marker=MARKS[kind], color=colour, linewidth=0.8, label=kind)
        if kind != "fixed":
            for each, x, y in zip(seen, hours, late, strict=True):
                words = f"{each.scaler.target:g}"
                axes.annotate(words, (x, y), xytext=(3, 3), textcoords="offset points", fontsize=7)
    axes.set_title(f"{model}, {shape}", fontsize=10)
    highest = max(LEAST_PERCENT, *(100 * each.late_share for each in outcomes))
    axes.set_ylim(-0.05 * highest, 1.1 * highest)
    axes.set_xlim(left=0)


def _figure(inches: tuple[float, float]) -> Any:
    import matplotlib as mpl
    from matplotlib.figure import Figure

    # The same picture is the same file.
    mpl.rcParams["svg.hashsalt"] = "autoscaling"
    mpl.rcParams["svg.fonttype"] = "none"
    return Figure(figsize=inches, layout="constrained", facecolor="white")


def _save(figure: Any, path: Path) -> None:
    drawn = io.StringIO()
    figure.savefig(drawn, format="svg", metadata={"Date": None})
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = (line.rstrip() for line in drawn.getvalue().splitlines())
    path.write_text("\n".join(lines) + "\n", "utf-8")
