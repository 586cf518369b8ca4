"""Who may speak to replicas, and to whom they may speak: nobody but those named here.

- In: the Gateway's namespace and those of clients, to both doors; Prometheus, for metrics. Without
  any of the former, the deployment's own namespace.
- Out: names are looked up, wherever a cluster does that: its DNS may stand in any namespace, or on
  the node itself. Where a package is pulled, its registry is reached, and 443 with it, where
  tokens and blobs may come from; with Istio, its control plane. A server of models needs nothing
  else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lightkube.models.meta_v1 import LabelSelector
from lightkube.models.networking_v1 import (
    NetworkPolicyEgressRule,
    NetworkPolicyIngressRule,
    NetworkPolicyPeer,
    NetworkPolicyPort,
    NetworkPolicySpec,
)
from lightkube.resources.networking_v1 import NetworkPolicy

from shoal.deploy._objects._labels import metadata, selector
from shoal.deploy._objects._pod import GRPC_PORT, HTTP_PORT
from shoal.deploy._objects._settings._versions import has_image_volumes

if TYPE_CHECKING:
    from shoal.deploy._objects._settings._deployment import Deployment

_DNS_PORT = 53
_HTTPS_PORT = 443
_ISTIO_CONTROL_PORT = 15012
# Where the sidecar gives its own metrics, and those of the server with them.
ISTIO_METRICS_PORT = 15020


def network_policy(asked: Deployment) -> NetworkPolicy:
    """Who may speak with whom."""
    spec = NetworkPolicySpec(
        podSelector=selector(asked),
        policyTypes=["Ingress", "Egress"],
        ingress=[_clients(asked), _prometheus(asked)],
        egress=_egress(asked),
    )
    return NetworkPolicy(metadata=metadata(asked, "network"), spec=spec)


def registry_ports(asked: Deployment) -> tuple[int, ...]:
    """What replicas pull from, by port; none where the node mounts the package."""
    if has_image_volumes(asked.version):
        return ()
    canary = set() if asked.canary is None else {asked.canary.content.port}
    return tuple(sorted({_HTTPS_PORT, asked.content.port} | canary))


def _clients(asked: Deployment) -> NetworkPolicyIngressRule:
    namespaces = set(asked.clients)
    if asked.route is not None:
        namespaces.add(asked.route.gateway_namespace or asked.namespace)
    peers = [_namespace(name) for name in sorted(namespaces or {asked.namespace})]
    return NetworkPolicyIngressRule(from_=peers, ports=_ports(HTTP_PORT, GRPC_PORT))


def _prometheus(asked: Deployment) -> NetworkPolicyIngressRule:
    port = ISTIO_METRICS_PORT if asked.target == "istio" else HTTP_PORT
    peer = _namespace(asked.monitoring.prometheus_namespace)
    return NetworkPolicyIngressRule(from_=[peer], ports=_ports(port))


def _egress(asked: Deployment) -> list[NetworkPolicyEgressRule]:
    names = [NetworkPolicyPort(port=_DNS_PORT, protocol=each) for each in ("UDP", "TCP")]
    rules = [NetworkPolicyEgressRule(ports=names)]
    if ports := registry_ports(asked):
        rules.append(NetworkPolicyEgressRule(ports=_ports(*ports)))
    if asked.target == "istio":
        control = _ports(_ISTIO_CONTROL_PORT)
        rules.append(NetworkPolicyEgressRule(to=[_namespace("istio-system")], ports=control))
    return rules


def _namespace(name: str) -> NetworkPolicyPeer:
    labels = {"kubernetes.io/metadata.name": name}
    return NetworkPolicyPeer(namespaceSelector=LabelSelector(matchLabels=labels))


def _ports(*ports: int) -> list[NetworkPolicyPort]:
    return [NetworkPolicyPort(port=port, protocol="TCP") for port in ports]
