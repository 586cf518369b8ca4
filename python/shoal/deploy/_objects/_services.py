"""How replicas are reached, who they are, and how many may be taken away at once.

- One Service for requests of any kind, of one track; one without an address of its own for clients
  of gRPC, which hold one connection and must share requests out by themselves.
- Replicas speak to nobody in the cluster's name: their ServiceAccount has no token.
- Nodes are emptied one replica at a time; replicas that are not ready stand in nobody's way.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lightkube.models.core_v1 import ServicePort, ServiceSpec
from lightkube.models.policy_v1 import PodDisruptionBudgetSpec
from lightkube.resources.core_v1 import Service, ServiceAccount
from lightkube.resources.policy_v1 import PodDisruptionBudget

from shoal.deploy._objects._labels import chosen, metadata, selector
from shoal.deploy._objects._pod import GRPC_PORT, HTTP_PORT
from shoal.deploy._objects._workloads import COMPONENT

if TYPE_CHECKING:
    from shoal.deploy._objects._labels import Track
    from shoal.deploy._objects._settings._deployment import Deployment
    from shoal.deploy._objects._settings._references import Reference

_HTTP = ServicePort(
    name="http", port=HTTP_PORT, targetPort="http", protocol="TCP", appProtocol="http"
)
# HTTP/2 without TLS. Source: KEP-3726.
_GRPC = ServicePort(
    name="grpc",
    port=GRPC_PORT,
    targetPort="grpc",
    protocol="TCP",
    appProtocol="kubernetes.io/h2c",
)


def service_account(asked: Deployment) -> ServiceAccount:
    """Who the replicas are: somebody without a token."""
    return ServiceAccount(metadata=metadata(asked, "identity"), automountServiceAccountToken=False)


def service(asked: Deployment, track: Track, content: Reference) -> Service:
    """How the replicas of a track are reached."""
    suffix = "" if track == "stable" else f"-{track}"
    return Service(
        metadata=metadata(asked, COMPONENT, suffix, content=content),
        spec=ServiceSpec(type="ClusterIP", selector=chosen(asked, track), ports=[_HTTP, _GRPC]),
    )


def headless_service(asked: Deployment) -> Service:
    """Every replica of the stable track by its own address, for clients of gRPC."""
    spec = ServiceSpec(
        type="ClusterIP", clusterIP="None", selector=chosen(asked, "stable"), ports=[_GRPC]
    )
    return Service(metadata=metadata(asked, "grpc", "-headless"), spec=spec)


def disruption_budget(asked: Deployment) -> PodDisruptionBudget:
    """How many replicas may be taken away at once."""
    spec = PodDisruptionBudgetSpec(
        maxUnavailable=1, selector=selector(asked), unhealthyPodEvictionPolicy="AlwaysAllow"
    )
    return PodDisruptionBudget(metadata=metadata(asked, "availability"), spec=spec)
