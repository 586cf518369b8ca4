"""Where Prometheus asks for metrics.

- Series carry `namespace`, `pod` and `service`; the latter tells the tracks apart: `NAME` and
  `NAME-canary`, also where Pods are asked directly.
- With Istio, mutual TLS is strict and Prometheus stands outside: it asks the sidecar, which asks
  the server and gives both their metrics in plain text.

Source: prometheus-operator, "ServiceMonitor", "PodMonitor"; Istio, "Integrations: Prometheus".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from shoal.deploy._objects._kinds import custom
from shoal.deploy._objects._labels import COMPONENT as COMPONENT_LABEL
from shoal.deploy._objects._labels import chosen, metadata
from shoal.deploy._objects._network import ISTIO_METRICS_PORT
from shoal.deploy._objects._watch._alerts import COMPONENT
from shoal.deploy._objects._workloads import COMPONENT as SERVER

if TYPE_CHECKING:
    from shoal.deploy._objects._settings._deployment import Deployment

_EVERY = "15s"
_POD_TRACK = "__meta_kubernetes_pod_label_shoal_io_track"
_POD_CONTAINER = "__meta_kubernetes_pod_container_name"
_POD_ADDRESS = "__meta_kubernetes_pod_ip"


def monitor(asked: Deployment) -> Any:
    """Where Prometheus asks."""
    if asked.target in {"kserve", "istio"}:
        return custom("PodMonitor", metadata(asked, COMPONENT), _of_pods(asked))
    services = {**chosen(asked), COMPONENT_LABEL: SERVER}
    endpoint = {"port": "http", "path": "/metrics", "interval": _EVERY}
    spec = {"selector": {"matchLabels": services}, "endpoints": [endpoint]}
    return custom("ServiceMonitor", metadata(asked, COMPONENT), spec)


def _of_pods(asked: Deployment) -> dict[str, Any]:
    endpoint: dict[str, Any] = {"port": "http", "path": "/metrics", "interval": _EVERY}
    relabelings = [_service(asked, "(stable)?", ""), _service(asked, "canary", "-canary")]
    if asked.target == "istio":
        endpoint = {"path": "/stats/prometheus", "interval": _EVERY}
        relabelings += [
            {"action": "keep", "sourceLabels": [_POD_CONTAINER], "regex": "istio-proxy"},
            {
                "action": "replace",
                "sourceLabels": [_POD_ADDRESS],
                "regex": "(.+)",
                "targetLabel": "__address__",
                "replacement": f"$1:{ISTIO_METRICS_PORT}",
            },
        ]
    return {
        "selector": {"matchLabels": chosen(asked)},
        "podMetricsEndpoints": [{**endpoint, "relabelings": relabelings}],
    }


def _service(asked: Deployment, track: str, suffix: str) -> dict[str, Any]:
    return {
        "action": "replace",
        "sourceLabels": [_POD_TRACK],
        "regex": track,
        "targetLabel": "service",
        "replacement": f"{asked.name}{suffix}",
    }
