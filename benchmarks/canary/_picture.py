"""Draws canaries: what share the new version had, and what was seen of both versions."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import matplotlib as mpl

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from shoal.deploy import CanaryEvent, Verdict

OLD, NEW, BOUND, LINES = "#4878a8", "#e08214", "#b03030", "#808080"
# Text stays text, and the same events are the same bytes; grey is read on light and dark pages.
STYLE: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "shoal",
    "font.size": 9,
    "text.color": LINES,
    "axes.labelcolor": LINES,
    "axes.edgecolor": LINES,
    "xtick.color": LINES,
    "ytick.color": LINES,
}
METRICS = {"error_rate": ("error rate, %", 100.0), "p99_seconds": ("p99, ms", 1000.0)}
SIZE_INCHES = (9.0, 6.0)


def draw(canaries: Mapping[str, Sequence[CanaryEvent]]) -> str:
    """The picture of some canaries side by side, as SVG."""
    mpl.use("svg")
    from matplotlib import pyplot as plt

    with mpl.rc_context(STYLE):
        figure, grid = plt.subplots(
            1 + len(METRICS), len(canaries), sharex="col", sharey="row", figsize=SIZE_INCHES
        )
        for place, (title, events) in enumerate(canaries.items()):
            _draw(grid[:, place], title, events)
        for axes, word in zip(grid[:, 0], ("share, %", *_words()), strict=True):
            axes.set_ylabel(word)
        grid[-1, -1].legend(loc="upper left", frameon=False)
        figure.tight_layout()
        text = io.StringIO()
        figure.savefig(text, format="svg", transparent=True, metadata={"Date": None})
        plt.close(figure)
    return text.getvalue()


def _words() -> list[str]:
    return [word for word, _ in METRICS.values()]


def _draw(column: Any, title: str, events: Sequence[CanaryEvent]) -> None:
    """One canary, from the first event to the last."""
    began_at = events[0].at
    ended = events[-1].at - began_at
    given = [(0.0, 0)] + [
        (event.at - began_at, event.weights.percent.get("digits-canary", 0))
        for event in events
        if event.weights is not None
    ]
    times, shares = zip(*given, (ended, given[-1][1]), strict=True)
    column[0].set_title(title)
    column[0].step(times, shares, where="post", color=NEW)
    column[0].fill_between(times, shares, step="post", color=NEW, alpha=0.2)
    column[0].set_ylim(0, 105)
    for axes, (metric, (_, unit)) in zip(column[1:], METRICS.items(), strict=True):
        looks = [
            (event.at - began_at, verdict)
            for event in events
            for verdict in event.verdicts
            if verdict.metric == metric
        ]
        _metric(axes, looks, unit)
        axes.set_ylim(bottom=0)
    column[-1].set_xlabel("seconds")


def _metric(axes: Any, looks: Sequence[tuple[float, Verdict]], unit: float) -> None:
    """One metric: both versions, the bound, and the looks that were bad or of which is unknown."""
    for key, colour, style in (("threshold", BOUND, ":"), ("old", OLD, "-"), ("new", NEW, "-")):
        points = [
            (at, value * unit)
            for at, verdict in looks
            if (value := getattr(verdict, key)) is not None
        ]
        if points:
            word = "at most" if key == "threshold" else key
            axes.plot(*zip(*points, strict=True), style, color=colour, label=word, marker=".")
    for at, verdict in looks:
        if verdict.verdict == "bad":
            axes.axvline(at, color=BOUND, alpha=0.4)
