"""A dashboard of Grafana, made from the metrics that the server has.

- The first row answers: is it up, does it answer, how fast, does anybody wait. Below it, every
  metric of the server has one panel; none names a metric that there is not.
- It is a ConfigMap with the label `grafana_dashboard`, by which Grafana's sidecar finds it.

Source: Grafana, "Dashboard JSON model" (schema version 39).
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

from lightkube.resources.core_v1 import ConfigMap

from shoal.deploy._objects._labels import metadata
from shoal.deploy._objects._watch._alerts import COMPONENT
from shoal.deploy._objects._watch._signals import (
    METRICS,
    Metric,
    Selection,
    error_share,
    p99,
    quantile,
    queue_wait,
    rate,
    ready_replicas,
    request_rate,
)

if TYPE_CHECKING:
    from shoal.deploy._objects._settings._deployment import Deployment

_SCHEMA = 39
_COLUMNS = 24
_FIRST_WIDTH, _WIDTH, _FIRST_HEIGHT, _HEIGHT = 4, 8, 4, 7
_UID_DIGITS = 20
_SOURCE = {"type": "prometheus", "uid": "${datasource}"}


def dashboard_map(asked: Deployment) -> ConfigMap:
    """The ConfigMap that Grafana's sidecar finds."""
    stated = metadata(asked, COMPONENT, "-dashboard")
    stated.labels = {**(stated.labels or {}), "grafana_dashboard": "1"}
    text = json.dumps(dashboard(asked), indent=1, sort_keys=True)
    return ConfigMap(metadata=stated, data={f"shoal-{asked.namespace}-{asked.name}.json": text})


def dashboard(asked: Deployment) -> dict[str, Any]:
    """What Grafana reads."""
    of = Selection(asked.namespace, asked.name, all_tracks=True)
    known = f"{asked.namespace}/{asked.name}"
    source = {"name": "datasource", "type": "datasource", "query": "prometheus", "label": "Source"}
    return {
        "uid": hashlib.sha256(known.encode()).hexdigest()[:_UID_DIGITS],
        "title": f"Shoal: {known}",
        "tags": ["shoal"],
        "schemaVersion": _SCHEMA,
        "editable": True,
        "refresh": "30s",
        "time": {"from": "now-1h", "to": "now"},
        "templating": {"list": [source]},
        "panels": _panels(of, asked),
    }


def _panels(of: Selection, asked: Deployment) -> list[dict[str, Any]]:
    panels = [
        _panel("stat", title, unit, [_target(query, title)])
        for title, unit, query in _first_row(of, asked)
    ]
    panels += [_panel("timeseries", each.tells, each.unit, _targets(of, each)) for each in METRICS]
    first = len(_first_row(of, asked))
    for number, panel in enumerate(panels):
        panel["id"] = number + 1
        panel["gridPos"] = _place(number, first)
    return panels


def _first_row(of: Selection, asked: Deployment) -> list[tuple[str, str, str]]:
    limit = f"{asked.monitoring.queue_wait_ms:g} ms"
    return [
        ("Replicas that answer", "short", ready_replicas(of)),
        ("Requests", "reqps", request_rate(of)),
        ("Failed", "percentunit", error_share(of)),
        ("99 of 100 answered within", "s", p99(of)),
        (f"Wait (told above {limit})", "s", queue_wait(of)),
    ]


def _place(number: int, first: int) -> dict[str, int]:
    if number < first:
        return {"x": number * _FIRST_WIDTH, "y": 0, "w": _FIRST_WIDTH, "h": _FIRST_HEIGHT}
    row, column = divmod(number - first, _COLUMNS // _WIDTH)
    y = _FIRST_HEIGHT + row * _HEIGHT
    return {"x": column * _WIDTH, "y": y, "w": _WIDTH, "h": _HEIGHT}


def _panel(kind: str, title: str, unit: str, targets: list[dict[str, Any]]) -> dict[str, Any]:
    named = [{**each, "refId": chr(ord("A") + number)} for number, each in enumerate(targets)]
    return {
        "type": kind,
        "title": title,
        "datasource": _SOURCE,
        "fieldConfig": {"defaults": {"unit": unit, "min": 0}, "overrides": []},
        "targets": named,
    }


def _targets(of: Selection, metric: Metric) -> list[dict[str, Any]]:
    by = "service" if metric.by is None else f"service, {metric.by}"
    legend = " ".join(f"{{{{{label}}}}}" for label in by.split(", "))
    if metric.kind == "counter":
        return [_target(rate(of.series(f"{metric.name}_total"), by), legend)]
    if metric.kind == "gauge":
        return [_target(f"sum by ({by}) ({of.series(metric.name)})", legend)]
    buckets = of.series(f"{metric.name}_bucket")
    shares = ((0.5, "half"), (0.99, "99 of 100"))
    return [_target(quantile(share, buckets, by), f"{legend} {told}") for share, told in shares]


def _target(query: str, legend: str) -> dict[str, Any]:
    return {"datasource": _SOURCE, "expr": query, "legendFormat": legend}
