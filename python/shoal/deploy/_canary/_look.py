"""One look: what Prometheus tells of both versions, judged by every metric."""

from __future__ import annotations

import math
from string import Template
from typing import TYPE_CHECKING, Protocol

import msgspec

from shoal.deploy._canary._judge import Measured, judge, lacking

if TYPE_CHECKING:
    from collections.abc import Mapping

    from shoal.deploy._canary._analysis import Metric
    from shoal.deploy._canary._judge import Verdict


class Asked(Protocol):
    """Whoever answers queries."""

    def ask(self, query: str) -> Measured:
        """The number that a query gives now."""


class Sides(msgspec.Struct, frozen=True):
    """The labels of the series of both versions, as PromQL has them between braces."""

    old: str
    new: str


def labels_of(selector: str, *, namespace: str, service: str) -> str:
    """The labels of the series of a version."""
    return Template(selector).substitute(namespace=namespace, service=service)


def measure(asked: Asked, metric: Metric, labels: str, window_seconds: int) -> Measured:
    """What is known of one version; samples are asked for first: without them no value counts."""
    samples = None
    if metric.samples is not None:
        counted = asked.ask(_filled(metric.samples, labels, window_seconds))
        samples = counted.value
        if samples is None or math.isnan(samples):
            return Measured(problem=counted.problem or "nobody counted the samples")
    found = asked.ask(_filled(metric.query, labels, window_seconds))
    return Measured(found.value, samples, found.problem)


def look(
    asked: Asked,
    metrics: Mapping[str, Metric],
    sides: Sides,
    known: Mapping[str, float],
    window_seconds: int,
) -> tuple[Verdict, ...]:
    """Judges the new version by every metric.

    Args:
        asked: Whoever answers queries.
        metrics: What is judged, by name.
        sides: The labels of both versions.
        known: What was last known of the old version, by metric.
        window_seconds: How far back the queries go.
    """
    return tuple(
        judge(
            name,
            metric,
            measure(asked, metric, sides.old, window_seconds),
            measure(asked, metric, sides.new, window_seconds),
            known=known.get(name),
        )
        for name, metric in metrics.items()
    )


def known_of(
    asked: Asked, metrics: Mapping[str, Metric], labels: str, window_seconds: int
) -> dict[str, float]:
    """What is known of the old version alone, by metric; only what counts."""
    found = {}
    for name, metric in metrics.items():
        measured = measure(asked, metric, labels, window_seconds)
        if measured.value is not None and not lacking(measured, metric):
            found[name] = measured.value
    return found


def _filled(query: str, labels: str, window_seconds: int) -> str:
    return Template(query).substitute(labels=labels, window=f"{window_seconds}s")
