"""The kinds that other projects add to Kubernetes, as their Go modules define them.

- Go fetches a module once and keeps it; that it is the one meant is told by its digest here.
- `Definitions` checks objects by the schemas: a field that a schema does not know is refused, as an
  API server does with strict validation. Rules in CEL are not evaluated: that takes one.
- `install` makes an API server know them. Only the kinds that Shoal makes objects of are installed;
  nothing acts on these, but each object is checked as it would be where the project runs.

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
from lightkube.core.resource import ApiInfo, ResourceDef
from lightkube.generic_resource import GenericGlobalResource

from tests.services import until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from lightkube import Client

ESTABLISHED_WITHIN_SECONDS = 60.0
_FETCHED_WITHIN_SECONDS = 100
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_KEEPS_UNKNOWN = "x-kubernetes-preserve-unknown-fields"
_APIEXTENSIONS = ResourceDef("apiextensions.k8s.io", "v1", "CustomResourceDefinition")


class Project(NamedTuple):
    """Where a project defines its kinds: a module, its digest, and for each kind a file of it."""

    module: str
    digest: str
    files: dict[str, str]


def _files(path: str, **plurals: str) -> dict[str, str]:
    return {kind: path.format(plural=plural) for kind, plural in plurals.items()}


PROJECTS = {
    "gateway-api": Project(
        "sigs.k8s.io/gateway-api@v1.6.3",
        "h1:lKpJa5bGlraC/QeACvCpsHLdmO6y0iKfzVl6gzaFEYc=",
        _files(
            "config/crd/standard/gateway.networking.k8s.io_{plural}.yaml",
            HTTPRoute="httproutes",
        ),
    ),
    "istio": Project(
        "istio.io/api@v1.31.4",
        "h1:AcnncYrlDj1PJkym7h88Gggkef4MAra8QpGaXRMsr+E=",
        _files(
            "kubernetes/customresourcedefinitions.gen.yaml",
            VirtualService="virtualservices",
            DestinationRule="destinationrules",
            PeerAuthentication="peerauthentications",
        ),
    ),
    "keda": Project(
        "github.com/kedacore/keda/v2@v2.21.0",
        "h1:R6z2HZvstK4RLUMxroNACzBj74xGxt3kG59b5Xc+Xps=",
        _files("config/crd/bases/keda.sh_{plural}.yaml", ScaledObject="scaledobjects"),
    ),
    "kserve": Project(
        "github.com/kserve/kserve@v0.20.0",
        "h1:Bs7HxmGV4KFqqptDcWseKv+mwD4YOYHJWcuVgPG2Gug=",
        _files(
            "config/crd/full/serving.kserve.io_{plural}.yaml", InferenceService="inferenceservices"
        ),
    ),
    "prometheus-operator": Project(
        "github.com/prometheus-operator/prometheus-operator@v0.85.0",
        "h1:M5xLCLEoaW2IJfnuCwFzzpL+jSVQu3KGT84Pye+fW8s=",
        _files(
            "example/prometheus-operator-crd/monitoring.coreos.com_{plural}.yaml",
            ServiceMonitor="servicemonitors",
            PodMonitor="podmonitors",
            PrometheusRule="prometheusrules",
        ),
    ),
}
KINDS = {kind: project for project in PROJECTS.values() for kind in project.files}


class Definition(GenericGlobalResource):
    """A definition as plain JSON: schemas are deep, and nothing of them is looked at here."""

    _api_info = ApiInfo(
        resource=_APIEXTENSIONS,
        plural="customresourcedefinitions",
        verbs=["get", "patch", "delete"],
    )


def read(go: str, project: str) -> list[dict[str, Any]]:
    """The definitions of a project.

    Args:
        go: The program Go.
        project: Which one.
    """
    found = PROJECTS[project]
    return list(_read(go, found, found.files))


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


def _read(go: str, project: Project, kinds: Iterable[str]) -> Iterator[dict[str, Any]]:
    folder, wanted = _folder(go, project), set(kinds)
    for name in sorted({project.files[kind] for kind in wanted}):
        for document in yaml.load_all((folder / name).read_bytes(), _LOADER):
            if document is not None and document["spec"]["names"]["kind"] in wanted:
                yield document


def _validators(go: str, kind: str) -> dict[str, jsonschema.Draft202012Validator]:
    """By the version of the API that objects state."""
    (document,) = _read(go, KINDS[kind], [kind])
    return dict(_versions(document["spec"]))


def _versions(spec: dict[str, Any]) -> Iterator[tuple[str, jsonschema.Draft202012Validator]]:
    for version in spec["versions"]:
        schema = _closed(version["schema"]["openAPIV3Schema"])
        own = {"metadata": {"type": "object"}, "apiVersion": {}, "kind": {}}  # of Kubernetes
        schema["properties"] = {**schema["properties"], **own}
        yield (
            f"{spec['group']}/{version['name']}",
            jsonschema.Draft202012Validator(schema),
        )


def _folder(go: str, project: Project) -> Path:
    answer = subprocess.run(
        [go, "mod", "download", "-json", project.module],
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
        timeout=_FETCHED_WITHIN_SECONDS,
    )
    found = json.loads(answer.stdout or "{}")
    assert "Dir" in found, found.get("Error", answer.stderr)
    assert found["Sum"] == project.digest, f"{project.module} is {found['Sum']}"
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
