"""The kinds that other projects add to Kubernetes, as their Go modules define them.

- A module is fetched once and kept by Go; that it is the one meant is told by its digest here.
- Only the kinds that Shoal makes objects of are installed; nothing acts on these, but the API
  server checks each object as it would where the project runs.

Source: go.dev/ref/mod#go-mod-download; kubernetes.io/docs/tasks/extend-kubernetes.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import yaml  # type: ignore[import-untyped]  # ships no types
from lightkube.core.resource import ApiInfo, ResourceDef
from lightkube.generic_resource import GenericGlobalResource

from tests.services import until

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lightkube import Client

ESTABLISHED_WITHIN_SECONDS = 60.0
APIEXTENSIONS = ResourceDef("apiextensions.k8s.io", "v1", "CustomResourceDefinition")


class Project(NamedTuple):
    """Where a project defines its kinds: a module, its digest, and files of it."""

    module: str
    digest: str
    folder: str
    files: tuple[str, ...]
    kinds: tuple[str, ...]


PROJECTS = {
    "gateway-api": Project(
        "sigs.k8s.io/gateway-api@v1.6.3",
        "h1:lKpJa5bGlraC/QeACvCpsHLdmO6y0iKfzVl6gzaFEYc=",
        "config/crd/standard",
        tuple(
            f"gateway.networking.k8s.io_{each}.yaml"
            for each in ("gatewayclasses", "gateways", "httproutes", "grpcroutes")
        ),
        ("GatewayClass", "Gateway", "HTTPRoute", "GRPCRoute"),
    ),
    "istio": Project(
        "istio.io/api@v1.31.4",
        "h1:AcnncYrlDj1PJkym7h88Gggkef4MAra8QpGaXRMsr+E=",
        "kubernetes",
        ("customresourcedefinitions.gen.yaml",),
        ("VirtualService", "DestinationRule", "PeerAuthentication"),
    ),
    "keda": Project(
        "github.com/kedacore/keda/v2@v2.21.0",
        "h1:R6z2HZvstK4RLUMxroNACzBj74xGxt3kG59b5Xc+Xps=",
        "config/crd/bases",
        ("keda.sh_scaledobjects.yaml", "keda.sh_triggerauthentications.yaml"),
        ("ScaledObject", "TriggerAuthentication"),
    ),
    "kserve": Project(
        "github.com/kserve/kserve@v0.20.0",
        "h1:Bs7HxmGV4KFqqptDcWseKv+mwD4YOYHJWcuVgPG2Gug=",
        "config/crd/full",
        ("serving.kserve.io_inferenceservices.yaml",),
        ("InferenceService",),
    ),
    "prometheus-operator": Project(
        "github.com/prometheus-operator/prometheus-operator@v0.85.0",
        "h1:M5xLCLEoaW2IJfnuCwFzzpL+jSVQu3KGT84Pye+fW8s=",
        "example/prometheus-operator-crd",
        tuple(
            f"monitoring.coreos.com_{each}.yaml"
            for each in ("podmonitors", "prometheusrules", "servicemonitors")
        ),
        ("PodMonitor", "PrometheusRule", "ServiceMonitor"),
    ),
}


class Definition(GenericGlobalResource):
    """A definition as plain JSON: schemas are deep, and nothing of them is looked at here."""

    _api_info = ApiInfo(
        resource=APIEXTENSIONS,
        plural="customresourcedefinitions",
        verbs=["get", "patch", "delete"],
    )


def read(go: str, project: str) -> list[dict[str, Any]]:
    """The definitions of a project."""
    found = PROJECTS[project]
    folder = _fetch(go, found) / found.folder
    documents = [
        document
        for name in found.files
        for document in yaml.load_all((folder / name).read_bytes(), yaml.CSafeLoader)
    ]
    return [each for each in documents if each and each["spec"]["names"]["kind"] in found.kinds]


def install(client: Client, definitions: Iterable[dict[str, Any]]) -> None:
    """Makes the API server know them, and waits until it does."""
    names = [each["metadata"]["name"] for each in definitions]
    for definition in definitions:
        client.apply(Definition(**definition), field_manager="definitions", force=True)

    def is_known(name: str) -> bool:
        status = client.get(Definition, name).get("status") or {}
        conditions = {each["type"]: each["status"] for each in status.get("conditions") or ()}
        return conditions.get("Established") == "True"

    until(lambda: all(map(is_known, names)), f"kinds {names}", ESTABLISHED_WITHIN_SECONDS)


def _fetch(go: str, project: Project) -> Path:
    command = [go, "mod", "download", "-json", project.module]
    answer = subprocess.run(command, capture_output=True, check=True, cwd="/")
    fetched = json.loads(answer.stdout)
    assert fetched["Sum"] == project.digest, f"{project.module} is {fetched['Sum']}"
    return Path(fetched["Dir"])
