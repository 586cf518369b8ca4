"""When somebody is told, and what Prometheus works out for others to read.

- Each alert says what is wrong, and its description what to do first.
- The recorded wait is what an adapter of metrics offers to an autoscaler.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from shoal.deploy._objects._kinds import custom
from shoal.deploy._objects._labels import DEPLOYMENT, metadata
from shoal.deploy._objects._watch._signals import (
    FAULTS,
    RECORDED_WAIT,
    SHORT_OF_MACHINE,
    Selection,
    error_share,
    one_of,
    p99,
    queue_wait,
    queue_wait_rows,
    rate,
)

if TYPE_CHECKING:
    from shoal.deploy._objects._settings._deployment import Deployment

COMPONENT = "monitoring"

_EVERY = "15s"
_REFUSED_PER_SECOND = "0.1"
_RESTARTS_PER_HOUR = "3"


def alert_rules(asked: Deployment) -> Any:
    """The rules of Prometheus."""
    return custom("PrometheusRule", metadata(asked, COMPONENT), {"groups": alert_groups(asked)})


def alert_groups(asked: Deployment) -> list[dict[str, Any]]:
    """What `promtool check rules` reads."""
    alerts = [*_service(asked), *_replicas(asked), *_refusals(asked)]
    return [
        {"name": f"{asked.name}-recorded", "interval": _EVERY, "rules": [_recorded(asked)]},
        {"name": f"{asked.name}-alerts", "rules": alerts},
    ]


def _recorded(asked: Deployment) -> dict[str, Any]:
    of = Selection(asked.namespace, asked.name, all_tracks=True)
    return {"record": RECORDED_WAIT, "expr": queue_wait_rows(of, "namespace, service")}


def _service(asked: Deployment) -> list[dict[str, Any]]:
    of, limits = Selection(asked.namespace, asked.name, all_tracks=True), asked.monitoring
    return [
        _alert(
            asked,
            "ShoalErrors",
            f"{error_share(of)} > {limits.error_share:g}",
            ("5m", "critical"),
            (
                f"more than {limits.error_share:.2%} of requests fail by the server's fault",
                f"The label outcome of shoal_requests_total says how: {', '.join(FAULTS)}.",
            ),
        ),
        _alert(
            asked,
            "ShoalSlow",
            f"{p99(of)} > {limits.p99_ms / 1000:g}",
            ("10m", "warning"),
            (
                f"one request in a hundred takes longer than {limits.p99_ms:g} ms",
                "Compare the wait with the time in the model; more replicas shorten the wait only.",
            ),
        ),
        _alert(
            asked,
            "ShoalQueueWait",
            f"{queue_wait(of)} > {limits.queue_wait_ms / 1000:g}",
            ("5m", "warning"),
            (
                f"records wait longer than {limits.queue_wait_ms:g} ms for a micro-batch",
                "More replicas, or a higher autoscaling.max_replicas.",
            ),
        ),
    ]


def _replicas(asked: Deployment) -> list[dict[str, Any]]:
    of = Selection(asked.namespace, asked.name, all_tracks=True)
    restarts = of.series("shoal_worker_restarts_total")
    unavailable = rate(of.series("shoal_requests_total", 'outcome="model_unavailable"'))
    return [
        _alert(
            asked,
            "ShoalDown",
            _down(asked, of),
            ("2m", "critical"),
            ("no replica answers Prometheus", "Look at the Pods, their events and their logs."),
        ),
        _alert(
            asked,
            "ShoalModelUnavailable",
            f"{unavailable} > 0 or min({of.series('shoal_workers')}) < 1",
            ("2m", "critical"),
            (
                "a model has no process that could answer",
                "The answer of /v2/health/ready says which, and why.",
            ),
        ),
        _alert(
            asked,
            "ShoalWorkersRestart",
            f"sum(increase({restarts}[1h])) > {_RESTARTS_PER_HOUR}",
            ("1m", "warning"),
            (
                "workers are started again and again",
                "The log says how they ended; SIGKILL is nearly always memory.",
            ),
        ),
    ]


def _down(asked: Deployment, of: Selection) -> str:
    """No replica answers; where there may be none at all, none of those that there are."""
    up = of.series("up")
    return f"absent({up} == 1)" if asked.replicas else f"max({up}) < 1"


def _refusals(asked: Deployment) -> list[dict[str, Any]]:
    of = Selection(asked.namespace, asked.name, all_tracks=True)
    refused = of.series("shoal_rejected_total", one_of("reason", SHORT_OF_MACHINE))
    dropped = rate(of.series("shoal_connections_dropped_total", 'reason="limit"'))
    return [
        _alert(
            asked,
            "ShoalRefuses",
            f"{rate(refused, 'reason')} > {_REFUSED_PER_SECOND}",
            ("5m", "warning"),
            (
                "requests are refused: {{ $labels.reason }}",
                "More waits than the server may hold: more replicas, or more of the machine.",
            ),
        ),
        _alert(
            asked,
            "ShoalConnectionsRefused",
            f"{dropped} > 0",
            ("5m", "warning"),
            (
                "clients find no connection free",
                "More replicas, or a higher server.max_connections.",
            ),
        ),
    ]


def _alert(
    asked: Deployment, name: str, expression: str, after: tuple[str, str], told: tuple[str, str]
) -> dict[str, Any]:
    (waits, severity), (summary, description) = after, told
    label = DEPLOYMENT.replace(".", "_").replace("/", "_")
    return {
        "alert": name,
        "expr": expression,
        "for": waits,
        "labels": {"severity": severity, label: asked.name, "namespace": asked.namespace},
        "annotations": {"summary": f"{asked.name}: {summary}", "description": description},
    }
