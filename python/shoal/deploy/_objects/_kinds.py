"""Kinds of objects beyond those of Kubernetes itself, as lightkube takes them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lightkube.generic_resource import create_namespaced_resource

if TYPE_CHECKING:
    from lightkube.models.meta_v1 import ObjectMeta

_KINDS = {
    "HTTPRoute": ("gateway.networking.k8s.io", "v1", "httproutes"),
    "ScaledObject": ("keda.sh", "v1alpha1", "scaledobjects"),
    "InferenceService": ("serving.kserve.io", "v1beta1", "inferenceservices"),
    "VirtualService": ("networking.istio.io", "v1", "virtualservices"),
    "DestinationRule": ("networking.istio.io", "v1", "destinationrules"),
    "PeerAuthentication": ("security.istio.io", "v1", "peerauthentications"),
    "ServiceMonitor": ("monitoring.coreos.com", "v1", "servicemonitors"),
    "PodMonitor": ("monitoring.coreos.com", "v1", "podmonitors"),
    "PrometheusRule": ("monitoring.coreos.com", "v1", "prometheusrules"),
}


def custom(kind: str, metadata: ObjectMeta, spec: dict[str, Any]) -> Any:
    """An object of a kind that a custom resource definition brings."""
    group, version, plural = _KINDS[kind]
    made = create_namespaced_resource(group, version, kind, plural)
    stated = {"apiVersion": f"{group}/{version}", "kind": kind}
    return made(**stated, metadata=metadata, spec=spec)
