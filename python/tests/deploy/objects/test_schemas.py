"""What is rendered keeps to the schemas of every version, and of the projects it is for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import kubernetes_validate  # type: ignore[import-untyped]  # ships no types
import pytest

from shoal import deploy
from shoal.deploy._objects._settings._versions import SUPPORTED
from tests.deploy.objects.made import IMAGE, TARGETS, asked
from tests.services.definitions import KINDS, Definitions

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture(scope="session")
def definitions(program: Callable[[str], str]) -> Definitions:
    return Definitions(program("go"))


@pytest.fixture(autouse=True, scope="module")
def schemas_are_read_once() -> Iterator[None]:
    """The library reads its definitions anew for each object."""
    read, known = kubernetes_validate.utils.schema_contents, {}

    def remembered(filename: str, desired_version: str) -> Any:
        if filename not in known:
            known[filename] = read(filename, desired_version)
        return known[filename]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kubernetes_validate.utils, "schema_contents", remembered)
        yield


def contents_of(target: str, **more: Any) -> list[dict[str, Any]]:
    return [each.to_dict() for each in deploy.render(asked(**TARGETS[target], **more))]


@pytest.mark.parametrize("cluster", SUPPORTED)
def test_every_version_of_kubernetes_knows_what_is_rendered_for_it(cluster: str) -> None:
    seen = set()
    for target in TARGETS:
        for content in contents_of(target, cluster=cluster):
            if content["kind"] not in KINDS:
                kubernetes_validate.validate(content, cluster, strict=True)
                seen.add(content["kind"])
    assert {"Deployment", "Service", "HorizontalPodAutoscaler", "NetworkPolicy"} <= seen


@pytest.mark.parametrize("cluster", SUPPORTED)
def test_every_version_of_kubernetes_knows_the_job_of_a_training(cluster: str) -> None:
    training = deploy.TrainingJob(
        name="churn-train",
        namespace="models",
        image=IMAGE,
        configuration='name = "churn"',
        push_to="oci://registry.example.org/churn:1",
        push_secret="registry",
        data_claim="customers",
        environment_secret="database",
        cluster=cluster,
    )
    for each in deploy.render_job(training):
        kubernetes_validate.validate(each.to_dict(), cluster, strict=True)


@pytest.mark.parametrize("target", TARGETS)
def test_other_projects_know_what_is_rendered_of_their_kinds(
    target: str, definitions: Definitions
) -> None:
    mine = [each for each in contents_of(target) if each["kind"] in KINDS]
    assert mine
    assert [(each["kind"], definitions.wrong_with(each)) for each in mine] == [
        (each["kind"], []) for each in mine
    ]


def test_together_they_cover_every_kind() -> None:
    kinds = {each["kind"] for target in TARGETS for each in contents_of(target)}
    assert set(KINDS) <= kinds


def test_the_schemas_refuse_what_they_do_not_know(definitions: Definitions) -> None:
    scaled = next(each for each in contents_of("keda") if each["kind"] == "ScaledObject")
    scaled["spec"]["minReplicas"] = 2
    scaled["spec"]["triggers"][0]["metadata"]["threshold"] = 8
    assert sorted(definitions.wrong_with(scaled)) == [
        "$.spec.triggers[0].metadata.threshold: 8 is not of type 'string'",
        "$.spec: Additional properties are not allowed ('minReplicas' was unexpected)",
    ]
