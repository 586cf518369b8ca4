"""A user overrides any field, and hears of a patch that changes nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from shoal import deploy
from shoal.deploy._objects._patches import merged, operated
from shoal.errors import ConfigurationError, PathError
from tests.deploy.objects.made import ROUTE, pod_of, rendered

if TYPE_CHECKING:
    from pathlib import Path

MERGED = """
kind: Deployment
metadata: {name: digits}
spec:
  template:
    spec:
      nodeSelector: {pool: serving}
      terminationGracePeriodSeconds: 600
      containers:
        - name: server
          resources: {requests: {cpu: "4"}}
          env: [{name: TZ, value: UTC}]
        - {name: beside, image: registry.example.org/beside@sha256:00}
---
target: {kind: Service}
operations:
  - {op: add, path: /metadata/annotations/team, value: vision}
---
kind: HTTPRoute
spec:
  hostnames: null
"""


@pytest.fixture
def patch_file(tmp_path: Path) -> Path:
    return tmp_path / "patch.yaml"


def test_fields_of_any_object_are_overridden(patch_file: Path) -> None:
    patch_file.write_text(MERGED)
    objects = rendered(route=ROUTE, patches=[str(patch_file)])
    pod, before = pod_of(objects), pod_of(rendered(route=ROUTE))
    assert pod["nodeSelector"] == {"pool": "serving"}
    assert pod["terminationGracePeriodSeconds"] == 600
    server, beside = pod["containers"]
    assert server["resources"] == {
        "requests": {"cpu": "4", "memory": "2Gi"},
        "limits": {"memory": "2Gi"},
    }
    assert server["env"] == [*before["containers"][0]["env"], {"name": "TZ", "value": "UTC"}]
    assert server["args"] == before["containers"][0]["args"]
    assert beside["name"] == "beside"
    for name in ("digits", "digits-headless"):
        assert objects["Service", name]["metadata"]["annotations"]["team"] == "vision"
    assert "hostnames" not in objects["HTTPRoute", "digits"]["spec"]


def test_a_patch_of_options_gives_their_map_another_name(patch_file: Path) -> None:
    patch_file.write_text('kind: ConfigMap\nmetadata: {name: NAME}\ndata: {SHOAL_MORE: "1"}\n')
    (before,) = [name for kind, name in rendered() if kind == "ConfigMap" and "-config-" in name]
    patch_file.write_text(patch_file.read_text().replace("NAME", before))
    objects = rendered(patches=[str(patch_file)])
    (after,) = [name for kind, name in objects if kind == "ConfigMap" and "-config-" in name]
    assert after != before
    assert objects["ConfigMap", after]["data"]["SHOAL_MORE"] == "1"
    (server,) = pod_of(objects)["containers"]
    assert server["envFrom"] == [{"configMapRef": {"name": after}}]


def test_a_volume_is_mounted_once_more_by_another_path(patch_file: Path) -> None:
    mount = "{name: cache, mountPath: /srv/more}"
    server = f"{{name: server, volumeMounts: [{mount}]}}"
    patch_file.write_text(
        f"kind: Deployment\nspec: {{template: {{spec: {{containers: [{server}]}}}}}}\n"
    )
    before = pod_of(rendered())["containers"][0]["volumeMounts"]
    after = pod_of(rendered(patches=[str(patch_file)]))["containers"][0]["volumeMounts"]
    assert after == [*before, {"name": "cache", "mountPath": "/srv/more"}]


REFUSED = {
    "a kind that is not rendered": ("kind: Ingress\nspec: {}", "there is no Ingress to patch"),
    "another name": (
        "kind: Service\nmetadata: {name: numbers}\nspec: {}",
        "there is no Service numbers to patch",
    ),
    "a field that the kind lacks": (
        "kind: Deployment\nspec: {replica: 3}",
        "Deployment digits has no field spec.replica",
    ),
    "a field of another type": ("kind: Deployment\nspec: {replicas: many}", "spec.replicas"),
    "another name for the object": (
        "target: {kind: Deployment}\noperations: [{op: replace, path: /metadata/name, value: x}]",
        "changes neither name, namespace nor the label",
    ),
    "the label taken away": (
        "kind: Deployment\nmetadata: {labels: {shoal.io/deployment: null}}",
        "changes neither name, namespace nor the label",
    ),
    "a path that is not there": (
        "target: {kind: Deployment}\noperations: [{op: remove, path: /spec/paused}]",
        "there is nothing at 'paused'",
    ),
    "a test that fails": (
        "target: {kind: Deployment}\noperations: [{op: test, path: /spec/replicas, value: 5}]",
        "/spec/replicas is 2, expected 5",
    ),
    "a path that is no pointer": (
        "target: {kind: Deployment}\noperations: [{op: remove, path: spec}]",
        "'spec' is no JSON pointer",
    ),
    "an operation that there is not": (
        "target: {kind: Deployment}\noperations: [{op: increment, path: /spec}]",
        "Invalid enum value 'increment'",
    ),
    "no kind": ("spec: {}", "Expected `str`, got `null` - at `$.kind`"),
    "no object": ("- 1", "a patch is an object, not list"),
    "neither form": ("target: {kind: Deployment}", "one of both"),
    "no YAML": ("kind: [", "is not YAML"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_patch_that_cannot_be_applied_is_refused_with_its_file(
    case: str, patch_file: Path
) -> None:
    text, said = REFUSED[case]
    patch_file.write_text(text)
    with pytest.raises(ConfigurationError) as refused:
        rendered(patches=[str(patch_file)])
    assert said in str(refused.value)
    assert str(patch_file) in str(refused.value)


def test_what_could_have_been_patched_is_told(patch_file: Path) -> None:
    patch_file.write_text("kind: Ingress\nspec: {}")
    with pytest.raises(ConfigurationError) as refused:
        rendered(patches=[str(patch_file)])
    assert "Deployment digits, " in (refused.value.hint or "")


def test_a_file_of_patches_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(PathError, match="nowhere"):
        rendered(patches=[str(tmp_path / "nowhere.yaml")])


# Source: RFC 7396, appendix A, without lists of objects that have names.
RFC_7396: list[tuple[Any, Any, Any]] = [
    ({"a": "b"}, {"a": "c"}, {"a": "c"}),
    ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
    ({"a": "b"}, {"a": None}, {}),
    ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
    ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
    ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
    ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
    ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
    (["a", "b"], ["c", "d"], ["c", "d"]),
    ({"a": "b"}, ["c"], ["c"]),
    ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
    ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
]


@pytest.mark.parametrize("row", range(len(RFC_7396)))
def test_merging_is_that_of_rfc_7396(row: int) -> None:
    target, patch, result = RFC_7396[row]
    assert merged(target, patch) == result


# Source: RFC 6902, appendix A.
RFC_6902: list[tuple[Any, dict[str, Any], Any]] = [
    ({"foo": "bar"}, {"op": "add", "path": "/baz", "value": 1}, {"foo": "bar", "baz": 1}),
    ({"foo": [1, 3]}, {"op": "add", "path": "/foo/1", "value": 2}, {"foo": [1, 2, 3]}),
    ({"foo": [1]}, {"op": "add", "path": "/foo/-", "value": [2]}, {"foo": [1, [2]]}),
    ({"foo": [1, 2, 3]}, {"op": "remove", "path": "/foo/1"}, {"foo": [1, 3]}),
    ({"baz": 1}, {"op": "replace", "path": "/baz", "value": 2}, {"baz": 2}),
    (
        {"foo": {"bar": 1}, "qux": {}},
        {"op": "move", "from": "/foo/bar", "path": "/qux/thud"},
        {"foo": {}, "qux": {"thud": 1}},
    ),
    ({"a": [1]}, {"op": "copy", "from": "/a", "path": "/b"}, {"a": [1], "b": [1]}),
    ({"~1": 10}, {"op": "test", "path": "/~01", "value": 10}, {"~1": 10}),
    ({"a/b": 10}, {"op": "remove", "path": "/a~1b"}, {}),
]


@pytest.mark.parametrize("row", range(len(RFC_6902)))
def test_operations_are_those_of_rfc_6902(row: int) -> None:
    import msgspec

    document, operation, result = RFC_6902[row]
    assert operated(document, msgspec.convert(operation, deploy.Operation)) == result
