"""A base comes from a registry, an image goes there."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING

import pytest

from shoal import deploy, package
from shoal.errors import RegistryNotFoundError
from tests.deploy.image.making import Layout, file_system, tar_of
from tests.services import docker_registry as registries

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from shoal.package import Package
    from tests.services.docker_registry import DockerRegistry


@pytest.fixture(scope="module")
def registry(program: Callable[[str], str]) -> Iterator[DockerRegistry]:
    with registries.running(program) as server:
        yield server


def test_from_a_registry_to_a_registry(
    registry: DockerRegistry, double: Package, program: Callable[[str], str], tmp_path: Path
) -> None:
    Layout(tmp_path / "base").image([tar_of(file_system())])
    name = f"{registry.host}/bases/debian"
    digest = package.push_layout(tmp_path / "base", f"oci://{name}:12").digest
    output = f"oci://{registry.host}/double:2"
    told: list[str] = []
    settings = deploy.ImageSettings(platforms=("linux/amd64",))
    base = f"oci://{name}@{digest}"
    made = deploy.build_image(
        double.path, base=base, output=output, settings=settings, progress=told.append
    )
    command = [program("skopeo"), "inspect", "--tls-verify=false"]
    answer = subprocess.run(
        [*command, f"docker://{registry.host}/double:2"], capture_output=True, check=True
    )
    found = json.loads(answer.stdout)
    assert found["Digest"] == made.digest
    assert found["Labels"]["org.opencontainers.image.base.digest"] == digest
    assert found["Labels"]["org.opencontainers.image.base.name"] == name
    assert told[-1] == f"sending the image to {output}"
    # The base lies in the cache: another image needs it from nowhere.
    registry.stop()
    try:
        other = deploy.build_image(base=base, output=tmp_path / "image", settings=settings)
    finally:
        registry.start()
    assert other.output == str(tmp_path / "image")


def test_a_base_that_the_registry_lacks_is_named(registry: DockerRegistry, tmp_path: Path) -> None:
    base = f"oci://{registry.host}/bases/none@sha256:{'0' * 64}"
    with pytest.raises(RegistryNotFoundError):
        deploy.build_image(base=base, output=tmp_path / "image")
    assert not (tmp_path / "image").exists()
