"""Schemas of the kinds that other projects add to Kubernetes, from their Go modules.

- Go fetches a module once and keeps it; that it is the one meant is told by its digest here.
- A field that a schema does not know is refused, as an API server does with strict validation.
- Rules in CEL are not evaluated: that takes an API server.

Source: go.dev/ref/mod#go-mod-download; Kubernetes documentation, "Custom Resources", "structural
schemas".
"""

from __future__ import annotations

import json
import subprocess
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import jsonschema
import yaml  # type: ignore[import-untyped]  # ships no types

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_FETCHED_WITHIN_SECONDS = 100
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_KEEPS_UNKNOWN = "x-kubernetes-preserve-unknown-fields"


class Module(NamedTuple):
    """A module that defines kinds."""

    name: str
    digest: str
    path: str


_GATEWAY = "gateway.networking.k8s.io"
_GATEWAY_API = Module(
    "sigs.k8s.io/gateway-api@v1.6.3",
    "h1:lKpJa5bGlraC/QeACvCpsHLdmO6y0iKfzVl6gzaFEYc=",
    f"config/crd/standard/{_GATEWAY}_{{plural}}.yaml",
)
_ISTIO = Module(
    "istio.io/api@v1.31.4",
    "h1:AcnncYrlDj1PJkym7h88Gggkef4MAra8QpGaXRMsr+E=",
    "kubernetes/customresourcedefinitions.gen.yaml",
)
_KEDA = Module(
    "github.com/kedacore/keda/v2@v2.21.0",
    "h1:R6z2HZvstK4RLUMxroNACzBj74xGxt3kG59b5Xc+Xps=",
    "config/crd/bases/keda.sh_{plural}.yaml",
)
_KSERVE = Module(
    "github.com/kserve/kserve@v0.20.0",
    "h1:Bs7HxmGV4KFqqptDcWseKv+mwD4YOYHJWcuVgPG2Gug=",
    "config/crd/full/serving.kserve.io_{plural}.yaml",
)
_PROMETHEUS = Module(
    "github.com/prometheus-operator/prometheus-operator@v0.85.0",
    "h1:M5xLCLEoaW2IJfnuCwFzzpL+jSVQu3KGT84Pye+fW8s=",
    "example/prometheus-operator-crd/monitoring.coreos.com_{plural}.yaml",
)
KINDS = {
    "HTTPRoute": (_GATEWAY_API, "httproutes"),
    "ScaledObject": (_KEDA, "scaledobjects"),
    "InferenceService": (_KSERVE, "inferenceservices"),
    "VirtualService": (_ISTIO, "virtualservices"),
    "DestinationRule": (_ISTIO, "destinationrules"),
    "PeerAuthentication": (_ISTIO, "peerauthentications"),
    "ServiceMonitor": (_PROMETHEUS, "servicemonitors"),
    "PodMonitor": (_PROMETHEUS, "podmonitors"),
    "PrometheusRule": (_PROMETHEUS, "prometheusrules"),
}


class Definitions:
    """Says what is wrong with an object of a kind that another project defines."""

    def __init__(self, go: str) -> None:
        """Fetches nothing yet.

        Args:
            go: The program Go.
        """
        self._read = cache(lambda kind: _validators(go, kind))

    def wrong_with(self, content: dict[str, Any]) -> list[str]:
        """What the schema refuses, with where it is."""
        validator = self._read(content["kind"])[content["apiVersion"]]
        return [f"{found.json_path}: {found.message}" for found in validator.iter_errors(content)]


def _validators(go: str, kind: str) -> dict[str, jsonschema.Draft202012Validator]:
    """By the version of the API that objects state."""
    module, plural = KINDS[kind]
    path = _folder(go, module) / module.path.format(plural=plural)
    for document in yaml.load_all(path.read_bytes(), _LOADER):
        if document is not None and document["spec"]["names"]["kind"] == kind:
            return dict(_versions(document["spec"]))
    message = f"{path} defines no {kind}"
    raise AssertionError(message)


def _versions(spec: dict[str, Any]) -> Iterator[tuple[str, jsonschema.Draft202012Validator]]:
    for version in spec["versions"]:
        schema = _closed(version["schema"]["openAPIV3Schema"])
        own = {"metadata": {"type": "object"}, "apiVersion": {}, "kind": {}}  # of Kubernetes
        schema["properties"] = {**schema["properties"], **own}
        yield (
            f"{spec['group']}/{version['name']}",
            jsonschema.Draft202012Validator(schema),
        )


def _folder(go: str, module: Module) -> Path:
    answer = subprocess.run(
        [go, "mod", "download", "-json", module.name],
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
        timeout=_FETCHED_WITHIN_SECONDS,
    )
    found = json.loads(answer.stdout or "{}")
    assert "Dir" in found, found.get("Error", answer.stderr)
    assert found["Sum"] == module.digest
    return Path(found["Dir"])


def _closed(schema: dict[str, Any]) -> dict[str, Any]:
    """A structural schema in which a field that is not listed is refused."""
    closed = dict(schema)
    if "properties" in schema:
        closed["properties"] = _each(schema["properties"], _closed)
        if not schema.get(_KEEPS_UNKNOWN):
            closed["additionalProperties"] = False
    if isinstance(schema.get("items"), dict):
        closed["items"] = _closed(schema["items"])
    if isinstance(schema.get("additionalProperties"), dict):
        closed["additionalProperties"] = _closed(schema["additionalProperties"])
    if schema.get("x-kubernetes-int-or-string"):
        closed.pop("type", None)
    return closed


def _each(
    schemas: dict[str, Any], change: Callable[[dict[str, Any]], dict[str, Any]]
) -> dict[str, Any]:
    return {name: change(schema) for name, schema in schemas.items()}
