"""What cannot be deployed is refused by name, with a remedy."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from shoal import deploy, package
from shoal.errors import ConfigurationError, PathError
from tests.deploy.objects.made import CANARY, DIGEST, IMAGE, PACKAGE, PROMETHEUS, asked

if TYPE_CHECKING:
    from pathlib import Path

    from tests.end_to_end.models import Sealed

REFUSED: dict[str, tuple[dict[str, Any], str, str]] = {
    "a name too long": ({"name": "d" * 54}, "54 characters, expected at most 53", "-predictor"),
    "a name too long for KServe": (
        {"name": "d" * 49, "target": "kserve"},
        "49 characters, expected at most 48",
        "isvc.NAME-predictor",
    ),
    "a name of another kind": ({"name": "Digits_1"}, "name is 'Digits_1'", "digits-mlp"),
    "a name that begins with a digit": ({"name": "1digits"}, "a letter first", "digits-mlp"),
    "a name of what belongs to another": ({"name": "digits-canary"}, "ends in -canary", "Choose"),
    "no namespace": ({"namespace": ""}, "no namespace is given", "--namespace"),
    "a namespace too long": ({"namespace": "n" * 64}, "DNS label of at most 63", "team-a"),
    "a namespace that is no label": ({"namespace": "team.a"}, "namespace is 'team.a'", "team-a"),
    "no replicas": ({"replicas": 0}, "replicas is 0, expected 1 to 10000", "wake_query"),
    "replicas below none": ({"replicas": -1}, "replicas is -1, expected 1 to 10000", ""),
    "too many replicas": ({"replicas": 10_001}, "replicas is 10001", ""),
    "an unknown target": (
        {"target": "knative"},
        "target is 'knative', expected plain, keda, kserve or istio",
        "plain needs nothing",
    ),
    "an image by its tag": ({"image": "r.example.org/shoal:1"}, "names no digest", "--resolve"),
    "an image of no registry": ({"image": f"shoal@{DIGEST}"}, "image is 'shoal'", "registry"),
    "a digest too short": ({"image": "r.example.org/shoal@sha256:ab"}, "no digest follows", ""),
    "a port too high": ({"image": f"r.org:99999/x@{DIGEST}"}, "image is 'r.org:99999/x'", ""),
    "a package by its tag": ({"package": "oci://r.example.org/d:1"}, "names no digest", "oci://"),
    "cores that are no quantity": ({"cpu": "two"}, "cpu is 'two', expected a quantity", "500m"),
    "no cores": ({"cpu": "0"}, "cpu is '0'", "500m"),
    "memory that is no quantity": ({"memory": "2GB"}, "memory is '2GB'", "2Gi"),
    "too little memory": ({"memory": "64Mi"}, "memory is '64Mi', expected at least 128Mi", ""),
    "an old cluster": ({"cluster": "1.30"}, "cluster is 1.30, expected 1.31 to 1.37", "Upgrade"),
    "a cluster to come": ({"cluster": "1.38"}, "cluster is 1.38", "rendered for 1.37"),
    "a cluster of no version": ({"cluster": "latest"}, "cluster is 'latest'", ""),
    "KEDA without a limit": ({"target": "keda"}, "nothing says how it scales", "--max-replicas"),
    "KEDA without Prometheus": (
        {"target": "keda", "autoscaling.max_replicas": 4},
        "not where it is",
        "prometheus_address",
    ),
    "fewer at most than at least": (
        {"replicas": 3, "autoscaling.max_replicas": 2},
        "autoscaling.max_replicas is 2, expected 3 to 10000",
        "",
    ),
    "waking without KEDA": (
        {"autoscaling.max_replicas": 2, "autoscaling.wake_query": "up"},
        "needs target keda, target is plain",
        "",
    ),
    "no wait at all": (
        {"autoscaling.max_replicas": 4, "autoscaling.queue_wait_rows": 0},
        "autoscaling.queue_wait_rows is 0",
        "",
    ),
    "a canary without a route": ({"canary": CANARY}, "no route", "route.gateway"),
    "a canary of more than all": (
        {"canary": {**CANARY, "weight_percent": 101}, "route.gateway": "public"},
        "canary.weight_percent is 101",
        "",
    ),
    "a canary of none": (
        {"canary": {**CANARY, "replicas": 0}, "route.gateway": "public"},
        "canary.replicas is 0",
        "",
    ),
    "a route with KServe": (
        {"target": "kserve", "route.gateway": "public"},
        "does not go with target kserve",
        "another target",
    ),
    "a route of Istio without a host": (
        {"target": "istio", "route.gateway": "public"},
        "route.hostname is missing",
        "--hostname",
    ),
    "a host that is none": (
        {"route.gateway": "public", "route.hostname": "digits/example"},
        "route.hostname is 'digits/example'",
        "",
    ),
    "an unknown setting": ({"replica": 2}, "unknown field `replica`", ""),
    "an unknown setting of a table": ({"route.gate": "x"}, "unknown field `gate` - at `route`", ""),
    "a setting of another type": ({"replicas": "two"}, "Expected `int`, got `str`", ""),
    "a table that is none": ({"route": 1, "route.gateway": "x"}, "route is int", ""),
    "an unknown option of the server": (
        {"server": {"speed": 2}},
        "server.speed is no option",
        "serve",
    ),
    "an option of another type": (
        {"server": {"log_level": "loud"}},
        "server.log_level is 'loud'",
        "",
    ),
    "an option that follows": ({"server": {"threads": 2}}, "server.threads", "from `cpu`"),
    "a key that no container has": (
        {"server": {"require_signed": "k"}},
        "server.require_signed",
        "a patch",
    ),
    "an option that names a file": ({"server": {"api_keys": "k"}}, "server.api_keys", "a patch"),
    "Prometheus elsewhere": ({"monitoring.prometheus_address": "prometheus"}, "http://", ""),
    "a drain without end": ({"drain_seconds": 86_401}, "drain_seconds is 86401", ""),
    "a share of errors above all": ({"monitoring.error_share": 1.0}, "error_share is 1.0", ""),
    "answers later than is measured": ({"monitoring.p99_ms": 9000}, "p99_ms is 9000", ""),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_setting_that_cannot_be_used_is_refused_by_name(case: str) -> None:
    settings, said, hint = REFUSED[case]
    with pytest.raises(ConfigurationError) as refused:
        deploy.render(asked(**settings))
    assert said in str(refused.value)
    assert hint in (refused.value.hint or "")


@pytest.mark.parametrize("field", ["package", "image"])
def test_credentials_in_a_reference_are_refused_and_not_repeated(field: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        asked(**{field: f"oci://user:hunter2@registry.example.org/digits@{DIGEST}"})
    assert "hunter2" not in refused.value.render()
    assert "pull_secret" in refused.value.render()


def test_credentials_in_the_address_of_prometheus_are_refused_and_not_repeated() -> None:
    with pytest.raises(ConfigurationError) as refused:
        asked(**{"monitoring.prometheus_address": "http://user:hunter2@prometheus:9090"})
    assert "hunter2" not in refused.value.render()


def test_the_longest_name_and_the_version_of_a_cluster_are_taken() -> None:
    assert deploy.render(asked(name="d" * 53, cluster="v1.36.3-gke.100"))


def test_no_replicas_make_sense_where_something_else_brings_the_first_one() -> None:
    wakes = {"autoscaling.max_replicas": 4, "autoscaling.wake_query": "sum(rate(requests[1m]))"}
    address = {"monitoring.prometheus_address": PROMETHEUS}
    assert asked(target="keda", replicas=0, **wakes, **address).replicas == 0


def test_settings_come_from_a_file_and_an_option_wins(tmp_path: Path) -> None:
    file = tmp_path / "digits.toml"
    file.write_text(f"""
        name = "digits"
        namespace = "models"
        package = "{PACKAGE}"
        image = "{IMAGE}"
        replicas = 2
        [autoscaling]
        max_replicas = 5
        queue_wait_rows = 0.35
    """)
    read = deploy.read_deployment(file, {"replicas": 3, "autoscaling.max_replicas": None})
    assert (read.replicas, read.autoscaling) == (
        3,
        deploy.Autoscaling(max_replicas=5, queue_wait_rows=0.35),
    )


def test_a_file_that_is_not_there_or_not_toml_is_named(tmp_path: Path) -> None:
    with pytest.raises(PathError, match=r"missing\.toml"):
        deploy.read_deployment(tmp_path / "missing.toml")
    (tmp_path / "wrong.toml").write_text("name = [")
    with pytest.raises(ConfigurationError, match=r"wrong\.toml is not TOML"):
        deploy.read_deployment(tmp_path / "wrong.toml")


def test_a_package_in_a_directory_is_found_where_it_was_pushed(digits: Sealed) -> None:
    name, reference = deploy.find_package(str(digits.path), "oci://registry.example.org/digits")
    assert name == "digits"
    digest = package.identify(digits.path).digest
    assert reference == f"oci://registry.example.org/digits@{digest}"


def test_a_package_in_a_directory_that_was_pushed_nowhere_is_refused(digits: Sealed) -> None:
    with pytest.raises(ConfigurationError, match="no cluster finds it") as refused:
        deploy.find_package(str(digits.path))
    assert "--registry" in (refused.value.hint or "")


def test_a_package_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(PathError, match="nothing"):
        deploy.find_package(str(tmp_path / "nothing"))


def test_a_deployment_is_called_as_its_package_unless_told() -> None:
    given = {"namespace": "models", "image": IMAGE}
    assert deploy.read_deployment(None, given, package=PACKAGE).name == "digits"
    named = deploy.read_deployment(None, {**given, "name": "mine"}, package=PACKAGE)
    assert named.name == "mine"


def test_without_the_extra_what_to_install_is_told() -> None:
    program = (
        "import sys; sys.modules['lightkube'] = None\n"
        "from shoal import deploy\n"
        "from shoal.errors import RequirementError\n"
        "try: deploy.render\n"
        "except RequirementError as error: print(error.hint)"
    )
    answer = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    assert answer.stdout == "pip install 'shoal[deploy]'\n"
