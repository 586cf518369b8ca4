"""A training in the cluster: what it runs, and what it is refused for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from shoal import deploy
from shoal.errors import ConfigurationError
from tests.deploy.objects.made import DIGEST, IMAGE, by_name

if TYPE_CHECKING:
    from pathlib import Path

CONFIGURATION = """
name = "churn_of.customers"
version = "1.0.0"
target = "left"
[[data.input]]
files = "/data/customers.csv"
[search]
trials = 3
"""
GIVEN = {
    "namespace": "models",
    "image": IMAGE,
    "push_to": "oci://registry.example.org/churn:1",
}


@pytest.fixture
def configuration(tmp_path: Path) -> Path:
    (tmp_path / "train.toml").write_text(CONFIGURATION)
    return tmp_path / "train.toml"


def job_of(configuration: Path, **more: Any) -> tuple[str, dict[str, Any]]:
    objects = deploy.render_job(deploy.read_training_job(configuration, {**GIVEN, **more}))
    ((name, job),) = [
        (name, each) for (kind, name), each in by_name(objects).items() if kind == "Job"
    ]
    return name, job["spec"]["template"]["spec"]


def test_it_trains_and_then_pushes_without_a_shell(configuration: Path) -> None:
    _, pod = job_of(configuration)
    (trains,), (pushes,) = pod["initContainers"], pod["containers"]
    output = "/srv/shoal/training/output"
    assert trains["command"] == pushes["command"] == ["shoal"]
    trained = "/etc/shoal/training/train.toml"
    assert trains["args"] == ["train", trained, output, "--unless-ended"]
    assert pushes["args"] == ["package", "push", f"{output}/package", GIVEN["push_to"]]
    assert pod["restartPolicy"] == "OnFailure"


def test_the_longest_name_leaves_room_for_the_label_of_the_job(configuration: Path) -> None:
    name, _ = job_of(configuration, name="c" * 52)
    assert len(name) == 63
    with pytest.raises(ConfigurationError, match="53 characters, expected at most 52"):
        job_of(configuration, name="c" * 53)


def test_users_are_not_mapped_where_a_volume_may_not_know_that(
    configuration: Path, tmp_path: Path
) -> None:
    settings = tmp_path / "settings.toml"
    settings.write_text('data_claim = "records"\n')
    asked = deploy.read_training_job(configuration, GIVEN, settings)
    (job,) = [each for each in deploy.render_job(asked) if each.kind == "Job"]
    assert job.spec.template.spec.hostUsers is None
    assert job_of(configuration)[1]["hostUsers"] is False


def test_the_configuration_goes_along_as_it_is(configuration: Path) -> None:
    objects = by_name(deploy.render_job(deploy.read_training_job(configuration, GIVEN)))
    (data,) = [each["data"] for (kind, _), each in objects.items() if kind == "ConfigMap"]
    assert data == {"train.toml": CONFIGURATION}


def test_another_configuration_is_another_job_and_the_same_is_the_same(configuration: Path) -> None:
    first, again = (job_of(configuration)[0] for _ in range(2))
    assert first == again
    assert first.startswith("churn-of-customers-train-")
    assert len(first) <= 63
    configuration.write_text(CONFIGURATION.replace("1.0.0", "1.0.1"))
    assert job_of(configuration)[0] != first


def test_secrets_are_named_only(configuration: Path) -> None:
    given = {"push_secret": "registry", "environment_secret": "database", "data_claim": "customers"}
    _, pod = job_of(configuration, **given)
    (trains,), (pushes,) = pod["initContainers"], pod["containers"]
    assert trains["envFrom"] == [{"secretRef": {"name": "database"}}]
    assert pushes["env"] == [{"name": "DOCKER_CONFIG", "value": "/etc/shoal/registry"}]
    mounts = {each["name"]: each.get("readOnly") for each in trains["volumeMounts"]}
    assert mounts["data"] is True
    assert "registry" not in mounts


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "no namespace": ({"namespace": ""}, "no namespace is given"),
    "an image by its tag": ({"image": "registry.example.org/shoal:1"}, "names no digest"),
    "no place for the package": ({"push_to": None}, "lack the required field `push_to`"),
    "a place by digest": (
        {"push_to": f"oci://r.example.org/churn@{DIGEST}"},
        "oci://HOST/NAME:TAG",
    ),
    "a place without a tag": ({"push_to": "oci://r.example.org/churn"}, "oci://HOST/NAME:TAG"),
    "a folder for a place": ({"push_to": "packages/churn:1"}, "oci://HOST/NAME:TAG"),
    "cores that are none": ({"cpu": "many"}, "cpu is 'many'"),
    "tries below none": ({"retries": -1}, "retries is -1"),
    "no time": ({"time_limit_seconds": 0}, "time_limit_seconds is 0"),
    "a claim that is none": ({"data_claim": "/data"}, "data_claim is '/data'"),
    "an old cluster": ({"cluster": "1.20"}, "cluster is 1.20"),
    "an unknown setting": ({"gpus": 1}, "unknown field `gpus`"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_trained_is_refused_by_name(case: str, configuration: Path) -> None:
    settings, said = REFUSED[case]
    with pytest.raises(ConfigurationError) as refused:
        job_of(configuration, **settings)
    assert said in str(refused.value)


def test_a_configuration_that_trains_nothing_is_refused_before_it_runs(configuration: Path) -> None:
    configuration.write_text('name = "churn"')
    with pytest.raises(ConfigurationError):
        job_of(configuration)


def test_credentials_in_the_place_are_refused_and_not_repeated(configuration: Path) -> None:
    with pytest.raises(ConfigurationError) as refused:
        job_of(configuration, push_to="oci://user:hunter2@registry.example.org/churn:1")
    assert "hunter2" not in refused.value.render()
