"""Settings that tests deploy, and what is rendered of them."""

from __future__ import annotations

from typing import Any

from shoal import deploy

DIGEST = f"sha256:{'a1' * 32}"
OTHER = f"sha256:{'b2' * 32}"
PACKAGE = f"oci://registry.example.org/digits@{DIGEST}"
IMAGE = f"registry.example.org/shoal@sha256:{'c3' * 32}"
PROMETHEUS = "http://prometheus.monitoring:9090"

CANARY = {"package": f"oci://registry.example.org:5000/digits@{OTHER}", "weight_percent": 5}
ROUTE = {"gateway": "public", "gateway_namespace": "gateways", "hostname": "digits.example.org"}
SCALING = {"autoscaling.max_replicas": 10, "monitoring.prometheus_address": PROMETHEUS}

# What each target is rendered with: as much as goes together.
TARGETS: dict[str, dict[str, Any]] = {
    "plain": {"route": ROUTE, "canary": CANARY},
    "plain, scaled": {"autoscaling.max_replicas": 10, "pull_secret": "registry"},
    "keda": {"target": "keda", "route": ROUTE, **SCALING},
    "keda, from none": {
        "target": "keda",
        "replicas": 0,
        "autoscaling.wake_query": 'sum(rate(requests{host="digits"}[2m]))',
        **SCALING,
    },
    "kserve": {"target": "kserve"},
    "kserve, scaled": {"target": "kserve", **SCALING},
    "istio": {"target": "istio", "route": ROUTE, "canary": CANARY},
    "istio, within": {"target": "istio", "canary": CANARY, "autoscaling.max_replicas": 4},
}


def asked(**more: Any) -> deploy.Deployment:
    """A deployment; tables also by a dot: `asked(**{"route.gateway": "public"})`."""
    known = {"name": "digits", "namespace": "models", "package": PACKAGE, "image": IMAGE}
    return deploy.read_deployment(None, {**known, **more})


def rendered(**more: Any) -> dict[tuple[str, str], dict[str, Any]]:
    """What is rendered, as plain values by kind and name."""
    return by_name(deploy.render(asked(**more)))


def by_name(objects: tuple[Any, ...]) -> dict[tuple[str, str], dict[str, Any]]:
    """Objects as plain values by kind and name."""
    return {(each.kind, each.metadata.name): each.to_dict() for each in objects}


def pod_of(objects: dict[tuple[str, str], dict[str, Any]], name: str = "digits") -> dict[str, Any]:
    """The Pod of a Deployment."""
    pod: dict[str, Any] = objects["Deployment", name]["spec"]["template"]["spec"]
    return pod
