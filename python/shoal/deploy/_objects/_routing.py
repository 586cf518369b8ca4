"""How requests come in, and which share of them another version gets.

- The Gateway API shares out by weights: `HTTPRoute`, also for gRPC, which is HTTP/2 at a path.
- With Istio a `VirtualService` does, for whoever calls within the mesh as well; each version is a
  host of its own, spoken to by mutual TLS only.
- Only the paths of the protocols are routed: what the server says of itself, `/metrics`, is not
  for the outside.

Source: Gateway API v1, "HTTPRoute"; Istio, "Virtual Service", "Destination Rule".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from shoal.deploy._objects._kinds import custom
from shoal.deploy._objects._labels import chosen, metadata
from shoal.deploy._objects._pod import GRPC_PORT, HTTP_PORT

if TYPE_CHECKING:
    from shoal.deploy._objects._settings._deployment import Deployment, Route

COMPONENT = "route"

_WHOLE = 100
_GRPC_PATH = "/inference.GRPCInferenceService"
_HTTP_PATHS = ("/predict", "/v1", "/v2", "/openapi.json", "/docs")


def shares(asked: Deployment) -> list[tuple[str, int]]:
    """The Services that answer, and the percent of requests of each."""
    if asked.canary is None:
        return [(asked.name, _WHOLE)]
    weight = asked.canary.weight_percent
    return [(asked.name, _WHOLE - weight), (f"{asked.name}-canary", weight)]


def http_route(asked: Deployment, route: Route) -> Any:
    """The route of the Gateway API."""
    parent = {"name": route.gateway}
    if route.gateway_namespace is not None:
        parent["namespace"] = route.gateway_namespace
    spec: dict[str, Any] = {
        "parentRefs": [parent],
        "rules": [_rule(asked, GRPC_PORT, [_GRPC_PATH]), _rule(asked, HTTP_PORT, _HTTP_PATHS)],
    }
    if route.hostname is not None:
        spec["hostnames"] = [route.hostname]
    return custom("HTTPRoute", metadata(asked, COMPONENT), spec)


def _rule(asked: Deployment, port: int, paths: Any) -> dict[str, Any]:
    backends = [{"name": name, "port": port, "weight": share} for name, share in shares(asked)]
    return {
        "matches": [{"path": {"type": "PathPrefix", "value": path}} for path in paths],
        "backendRefs": backends,
    }


def mesh(asked: Deployment) -> list[Any]:
    """The objects of Istio: how requests are shared out, how versions are spoken to, by whom."""
    strict = {"selector": {"matchLabels": chosen(asked)}, "mtls": {"mode": "STRICT"}}
    return [
        custom("PeerAuthentication", metadata(asked, "mesh"), strict),
        *(_destination(asked, name) for name, _ in shares(asked)),
        _virtual_service(asked),
    ]


def _virtual_service(asked: Deployment) -> Any:
    hosts = [_host(asked, asked.name)]
    gateways = ["mesh"]
    if asked.route is not None:
        namespace = asked.route.gateway_namespace or asked.namespace
        gateways.append(f"{namespace}/{asked.route.gateway}")
        hosts += [each for each in [asked.route.hostname] if each is not None]
    rules = [
        _mesh_rule(asked, GRPC_PORT, [_GRPC_PATH]),
        _mesh_rule(asked, HTTP_PORT, _HTTP_PATHS),
    ]
    spec = {"hosts": hosts, "gateways": gateways, "http": rules}
    return custom("VirtualService", metadata(asked, COMPONENT), spec)


def _mesh_rule(asked: Deployment, port: int, paths: Any) -> dict[str, Any]:
    return {
        "match": [{"uri": {"prefix": path}} for path in paths],
        "route": [
            {
                "destination": {"host": _host(asked, name), "port": {"number": port}},
                "weight": share,
            }
            for name, share in shares(asked)
        ],
        # Only what no replica has begun may be sent again.
        "retries": {"attempts": 2, "retryOn": "connect-failure,refused-stream"},
    }


def _destination(asked: Deployment, name: str) -> Any:
    policy = {
        "tls": {"mode": "ISTIO_MUTUAL"},
        "loadBalancer": {"simple": "LEAST_REQUEST"},
        # A replica that cannot be reached is passed over; one that refuses is not.
        "outlierDetection": {
            "splitExternalLocalOriginErrors": True,
            "consecutiveLocalOriginFailures": 5,
            "consecutive5xxErrors": 0,
            "interval": "10s",
            "baseEjectionTime": "30s",
            "maxEjectionPercent": 50,
        },
    }
    stated = metadata(asked, "mesh", name.removeprefix(asked.name))
    return custom("DestinationRule", stated, {"host": _host(asked, name), "trafficPolicy": policy})


def _host(asked: Deployment, name: str) -> str:
    return f"{name}.{asked.namespace}.svc.cluster.local"
