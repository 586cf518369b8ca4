"""A base comes from a registry, an image goes there."""

from __future__ import annotations

import json
import shutil
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from shoal import deploy, package
from shoal.deploy._image._cache import cache_folder
from shoal.errors import RegistryNotFoundError
from tests.deploy.image.making import OCI, Layout, documents, file_system, tar_of
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


def test_a_kept_base_is_verified_from_the_digest_that_it_was_named_by(
    registry: DockerRegistry, tmp_path: Path
) -> None:
    layout = Layout(tmp_path / "base")
    for architecture in ("amd64", "arm64"):
        layout.image([tar_of(file_system("3.12"))], architecture=architecture)
    index = {"schemaVersion": 2, "manifests": platforms_of(layout)}
    layout.entries = [layout.add_json(index, f"{OCI}.index.v1+json")]
    layout._save()
    name = f"oci://{registry.host}/bases/many"
    base = f"{name}@{package.push_layout(layout.root, f'{name}:1').digest}"

    def built(place: str) -> tuple[str, bool]:
        told: list[str] = []
        settings = deploy.ImageSettings(platforms=("linux/amd64",))
        made = deploy.build_image(
            base=base, output=tmp_path / place, settings=settings, progress=told.append
        )
        return made.digest, "linux/amd64: fetching the base" in told

    digest, _ = built("first")
    assert built("second") == (digest, False)
    (kept,) = (cache_folder() / "bases").glob(f"{base[-64:]}-amd64")
    other = Layout(tmp_path / "other")
    other.image([tar_of(file_system("3.13"))])
    shutil.copytree(other.root, kept, dirs_exist_ok=True)  # another image, and whole
    assert built("third") == (digest, False)
    manifest = documents(tmp_path / "first")[1]["linux/amd64"]
    layer = kept / "blobs" / "sha256" / manifest["layers"][0]["digest"].removeprefix("sha256:")
    layer.write_bytes(b"half")
    assert built("damaged") == (digest, True)
    layer.unlink()
    assert built("missing") == (digest, True)
    (kept / "index.json").write_bytes(b"")
    assert built("emptied") == (digest, True)


def platforms_of(layout: Layout) -> list[dict[str, Any]]:
    return [
        {**entry, "platform": {"architecture": architecture, "os": "linux"}}
        for entry, architecture in zip(layout.entries, ("amd64", "arm64"), strict=True)
    ]
