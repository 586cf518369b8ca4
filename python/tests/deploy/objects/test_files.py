"""What is written: YAML, a kustomization and a chart of the same objects."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest
import yaml  # type: ignore[import-untyped]  # ships no types

from shoal import deploy
from shoal.deploy._objects._chart import SETTINGS
from shoal.errors import PathError, StorageError
from tests.deploy.objects.made import DIGEST, IMAGE, TARGETS, asked

if TYPE_CHECKING:
    from pathlib import Path

GOLDEN = "rendered.yaml"
VALUE = re.compile(r"\{\{ (?:\.Values\.(\w+)( \| quote)?|\"(\{\{|\}\})\") \}\}")


def read(directory: Path) -> list[Any]:
    order = yaml.safe_load((directory / "kustomization.yaml").read_text())["resources"]
    return [yaml.safe_load((directory / name).read_text()) for name in order]


def installed(chart: Path, **values: Any) -> dict[str, Any]:
    """What Helm makes of the templates, which say nothing else than its values and braces."""
    given = {**yaml.safe_load((chart / "values.yaml").read_text()), **values}

    def filled(found: re.Match[str]) -> str:
        value = str(given.get(found[1]))
        return found[3] or (json.dumps(value) if found[2] else value)

    texts = {each.name: each.read_text() for each in (chart / "templates").iterdir()}
    return {name: yaml.safe_load(VALUE.sub(filled, text)) for name, text in texts.items()}


@pytest.mark.parametrize("target", TARGETS)
def test_files_hold_the_objects_in_their_order(target: str, tmp_path: Path) -> None:
    objects = deploy.render(asked(**TARGETS[target]))
    files = deploy.write(objects, tmp_path / "out")
    assert read(tmp_path / "out") == [each.to_dict() for each in objects]
    assert [yaml.safe_load(each.read_text()) for each in files] == read(tmp_path / "out")


@pytest.mark.parametrize("target", TARGETS)
def test_the_chart_gives_the_same_objects(target: str, tmp_path: Path) -> None:
    objects = deploy.render(asked(**TARGETS[target]))
    deploy.write(objects, tmp_path)
    made = installed(tmp_path / "chart")
    plain = {
        each.name: yaml.safe_load(each.read_text()) for each in (tmp_path / "objects").iterdir()
    }
    for each in plain.values():
        each["metadata"].get("annotations", {}).pop(SETTINGS, None)
    assert made == plain


@pytest.mark.parametrize("target", TARGETS)
def test_the_chart_gives_what_is_rendered_for_its_values(target: str, tmp_path: Path) -> None:
    more = {key: value for key, value in TARGETS[target].items() if key != "replicas"}
    other = f"registry.example.org/other@sha256:{'d4' * 32}"
    deploy.write(deploy.render(asked(**more)), tmp_path / "one")
    chosen = {"namespace": "team-a", "image": other, "replicas": 3}
    if "wake" in str(more):
        more["replicas"] = 1
    again = asked(**{**more, **chosen})
    deploy.write(deploy.render(again), tmp_path / "other")
    made = installed(tmp_path / "one" / "chart", **chosen)
    expected = installed(tmp_path / "other" / "chart")
    for name in ("configmap-dashboard.yaml",):  # says in its title for what it was rendered
        made.pop(name)
        expected.pop(name)
    if target.startswith("kserve") and "autoscaling" not in str(more):
        for each in (made, expected):
            del each["inferenceservice.yaml"]["spec"]["predictor"]["maxReplicas"]
    assert made == expected


def test_what_looks_like_a_number_elsewhere_is_written_as_text(tmp_path: Path) -> None:
    package = f"oci://registry.example.org/digits@sha256:12345678e123{'0' * 52}"
    deploy.write(deploy.render(asked(package=package, namespace="1e3")), tmp_path)
    text = (tmp_path / "objects" / "service.yaml").read_text()
    assert "app.kubernetes.io/version: '12345678e123'" in text
    assert "namespace: '1e3'" in text
    template = (tmp_path / "chart" / "templates" / "service.yaml").read_text()
    assert "namespace: {{ .Values.namespace | quote }}" in template


def test_a_container_that_a_patch_adds_keeps_its_image_in_the_chart(tmp_path: Path) -> None:
    beside = f"registry.example.org/beside@{DIGEST}"
    patch = tmp_path / "patch.yaml"
    spec = {"template": {"spec": {"containers": [{"name": "beside", "image": beside}]}}}
    patch.write_text(yaml.safe_dump({"kind": "Deployment", "spec": spec}))
    deploy.write(deploy.render(asked(patches=[str(patch)])), tmp_path / "out")
    other = f"registry.example.org/other@{DIGEST}"
    made = installed(tmp_path / "out" / "chart", image=other)
    pod = made["deployment.yaml"]["spec"]["template"]["spec"]
    images = {each["name"]: each["image"] for each in pod["containers"]}
    assert images == {"server": other, "beside": beside}


def test_words_of_a_patch_that_look_like_a_template_are_kept_in_the_chart(tmp_path: Path) -> None:
    patch = tmp_path / "patch.yaml"
    said = "{{ .Release.Name }} and {{- end }}"
    notes = {"metadata": {"annotations": {"said": said}}}
    patch.write_text(yaml.safe_dump({"kind": "Service", **notes}))
    deploy.write(deploy.render(asked(patches=[str(patch)])), tmp_path / "out")
    made = installed(tmp_path / "out" / "chart")
    assert made["service.yaml"]["metadata"]["annotations"]["said"] == said


def test_a_file_keeps_its_name_when_its_object_changes(tmp_path: Path) -> None:
    for number in (50, 60):
        objects = deploy.render(asked(server={"latency_target_ms": number}))
        deploy.write(objects, tmp_path / str(number))
    names = [
        sorted(each.name for each in (tmp_path / which / "objects").iterdir())
        for which in ("50", "60")
    ]
    assert names[0] == names[1]
    assert "configmap-config.yaml" in names[0]


def test_of_what_is_no_longer_rendered_no_file_stays(tmp_path: Path) -> None:
    deploy.write(deploy.render(asked(**TARGETS["plain"])), tmp_path)
    assert (tmp_path / "objects" / "deployment-canary.yaml").exists()
    deploy.write(deploy.render(asked()), tmp_path)
    names = sorted(each.name for each in tmp_path.iterdir())
    assert names == ["chart", "kustomization.yaml", "objects"]
    assert not list(tmp_path.rglob("*canary*"))


def test_a_folder_of_something_else_is_not_touched(tmp_path: Path) -> None:
    (tmp_path / "kustomization.yaml").write_text("resources: []\n")
    with pytest.raises(PathError, match="has not written"):
        deploy.write(deploy.render(asked()), tmp_path)
    assert [each.name for each in tmp_path.iterdir()] == ["kustomization.yaml"]


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(PathError, match="is not a directory"):
        deploy.write(deploy.render(asked()), tmp_path / "file")
    with pytest.raises(StorageError):
        deploy.write(deploy.render(asked()), tmp_path / "file" / "below")


def test_the_plain_rendering_is_the_one_that_was_reviewed(tmp_path: Path, root: Path) -> None:
    """Written anew by removing the file and running the test twice."""
    objects = [each for each in deploy.render(asked()) if "dashboard" not in each.metadata.name]
    files = deploy.write(objects, tmp_path)
    text = "---\n".join(each.read_text() for each in files)
    golden = root / "python" / "tests" / "deploy" / "objects" / GOLDEN
    if not golden.exists():
        golden.write_text(text)
        pytest.fail(f"{golden} was written: review it")
    assert text == golden.read_text()
    assert IMAGE in text
