"""`shoal deploy`: what it writes and tells, and the codes it ends with."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import yaml  # type: ignore[import-untyped]  # ships no types

from shoal import package
from tests.services import free_port

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tests.end_to_end.models import Sealed
    from tests.services.docker_registry import DockerRegistry


IMAGE = f"registry.example.org/shoal@sha256:{'c3' * 32}"
REGISTRY = "oci://registry.example.org/digits"
PACKAGE = f"{REGISTRY}@sha256:{'a1' * 32}"
GIVEN = ("--image", IMAGE, "--namespace", "models", "--output", "out")
TRAINING = """
name = "churn"
version = "1"
target = "left"
[[data.input]]
files = "/data/*.csv"
[search]
trials = 3
"""
NOT_NEEDED = frozenset({"numpy", "pyarrow", "onnx", "onnxruntime", "duckdb", "shoal.runtime"})


def deploy(place: Path, *words: str, tell: Sequence[str] = ()) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *tell, "-m", "shoal.cli", "deploy", *words]
    return subprocess.run(
        command, cwd=place, capture_output=True, text=True, check=False, timeout=60
    )


def test_a_package_in_a_directory_becomes_manifests(digits: Sealed, tmp_path: Path) -> None:
    words = (str(digits.path), "--registry", REGISTRY, "--replicas", "3", *GIVEN)
    answer = deploy(tmp_path, *words)
    assert answer.returncode == 0, answer.stderr
    assert "Deployment digits" in answer.stdout
    text = (tmp_path / "out" / "objects" / "deployment.yaml").read_text()
    assert yaml.safe_load(text)["spec"]["replicas"] == 3


def test_a_machine_is_told_of_objects_and_files(tmp_path: Path) -> None:
    answer = deploy(tmp_path, PACKAGE, *GIVEN, "--json")
    told = json.loads(answer.stdout)
    assert (told["name"], told["namespace"]) == ("digits", "models")
    assert {"kind": "Deployment", "name": "digits", "file": "out/objects/deployment.yaml"} in told[
        "objects"
    ]


def test_what_cannot_be_deployed_is_one_object_on_stderr(tmp_path: Path) -> None:
    answer = deploy(tmp_path, PACKAGE, *GIVEN, "--target", "knative", "--json")
    told = json.loads(answer.stderr)
    assert (answer.returncode, told["code"]) == (2, "invalid_configuration")
    assert "knative" in told["error"]
    assert not (tmp_path / "out").exists()


def test_options_may_come_before_the_package(tmp_path: Path) -> None:
    assert deploy(tmp_path, *GIVEN, "--replicas", "2", PACKAGE).returncode == 0


def test_all_may_stand_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "digits.toml").write_text(f"""
        name = "digits"
        namespace = "models"
        package = "{PACKAGE}"
        image = "{IMAGE}"
    """)
    answer = deploy(tmp_path, "--settings", "digits.toml", "--output", "out")
    assert answer.returncode == 0, answer.stderr


def test_a_word_that_is_a_command_is_one(tmp_path: Path) -> None:
    (tmp_path / "train.toml").write_text(TRAINING)
    to = "oci://registry.example.org/churn:1"
    answer = deploy(tmp_path, "job", "train.toml", "--push-to", to, *GIVEN)
    assert answer.returncode == 0, answer.stderr
    assert (tmp_path / "out" / "objects" / "job.yaml").exists()


def test_a_package_that_is_called_as_a_command_is_named_by_its_folder(tmp_path: Path) -> None:
    answer = deploy(tmp_path, "./job", *GIVEN)
    assert answer.returncode == 2
    assert "there is nothing at ./job" in answer.stderr


def test_a_command_that_is_misspelt_is_told_from_a_package(tmp_path: Path) -> None:
    answer = deploy(tmp_path, "statsu", "digits")
    assert answer.returncode == 2
    assert "no package 'statsu'. Did you mean 'status'?" in " ".join(answer.stderr.split())
    answer = deploy(tmp_path, "digits", *GIVEN)
    assert "there is nothing at digits" in answer.stderr


def test_fewer_replicas_than_none_are_refused_by_what_they_mean(tmp_path: Path) -> None:
    answer = deploy(tmp_path, "scale", "digits", "-1")
    assert (answer.returncode, answer.stderr) == (
        2,
        "error: replicas is -1, expected 0 or more\n",
    )


def test_what_is_missing_is_told_with_its_option(tmp_path: Path) -> None:
    answer = deploy(tmp_path, PACKAGE, "-n", "models", "--output", "out")
    assert "lack the required field `image`" in answer.stderr
    assert "--image" in answer.stderr
    (tmp_path / "s.toml").write_text("replica = 3\n")
    answer = deploy(tmp_path, PACKAGE, *GIVEN, "--settings", "s.toml")
    assert "hint: Is replicas meant?" in answer.stderr


def test_tags_are_looked_up_where_that_is_asked_for(
    docker_registry: DockerRegistry, digits: Sealed, tmp_path: Path
) -> None:
    place = f"{docker_registry.host}/digits:1"
    package.push(digits.path, f"oci://{place}")
    (tmp_path / "s.toml").write_text(f'image = "{place}"\nnamespace = "models"\n')
    words = ("--settings", "s.toml", "--output", "out")
    refused = deploy(tmp_path, f"oci://{place}", *words)
    assert (refused.returncode, "--resolve" in refused.stderr) == (2, True)
    done = deploy(tmp_path, f"oci://{place}", *words, "--resolve")
    assert done.returncode == 0, done.stderr
    content = yaml.safe_load((tmp_path / "out" / "objects" / "deployment.yaml").read_text())
    pod = content["spec"]["template"]["spec"]
    named = f"{docker_registry.host}/digits@{package.open(digits.path).digest}"
    assert [each["image"] for each in pod["containers"]] == [named]
    assert named in str(pod["volumes"])

    absent = deploy(tmp_path, f"oci://{docker_registry.host}/digits:2", *words, "--resolve")
    assert absent.returncode == 1
    assert "reading the tag 2: the registry has nothing like it" in absent.stderr
    nobody = deploy(tmp_path, f"oci://127.0.0.1:{free_port()}/digits:1", *words, "--resolve")
    assert nobody.returncode == 1
    assert "cannot be reached" in nobody.stderr


def test_help_tells_of_the_package_and_of_the_commands(tmp_path: Path) -> None:
    answer = deploy(tmp_path, "--help")
    assert answer.returncode == 0
    assert "PACKAGE" in answer.stdout
    assert "--replicas" in answer.stdout
    assert " job " in answer.stdout


def test_manifests_are_written_without_what_models_need(tmp_path: Path) -> None:
    """How long it takes is measured by `just bench deploy`; this is what keeps it short."""
    answer = deploy(tmp_path, PACKAGE, *GIVEN, tell=("-X", "importtime"))
    assert answer.returncode == 0, answer.stderr
    loaded = {line.rpartition("|")[2].strip() for line in answer.stderr.splitlines()}
    assert "shoal.deploy" in loaded
    assert not loaded & NOT_NEEDED
