"""The example of Kubernetes, as its README says: package, registry, image, objects, cluster."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml  # type: ignore[import-untyped]  # ships no types
from lightkube.resources.apps_v1 import Deployment

from shoal import deploy, package
from tests.services import docker_registry, rootfs
from tests.services.kubernetes._kubelet import READY
from tools.blocks import blocks_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.services.kubernetes._control_plane import ControlPlane

pytest_plugins = ["tests.services.kubernetes.fixtures"]

ROOT = Path(__file__).parents[3]
EXAMPLE = ROOT / "examples" / "kubernetes"


class Place:
    """A directory with the example in it, and the registry that it pushes to."""

    def __init__(self, directory: Path, registry: str) -> None:
        self.directory = directory
        self.registry = registry

    def run(self, word: str, **variables: str) -> str:
        """Runs the commands of the blocks ```` ```console WORD ````; gives what they print."""
        printed = ""
        for block in blocks_of((self.directory / "README.md").read_text("utf-8")):
            if block.words == ("console", word):
                for line in block.text.splitlines():
                    printed += self._command(line.removeprefix("$ "), variables)
        return printed

    def _command(self, line: str, variables: dict[str, str]) -> str:
        environment = {
            **os.environ,
            "PYTHONPATH": str(ROOT / "python"),
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "REGISTRY": self.registry,
            **variables,
        }
        command = ["bash", "-euo", "pipefail", "-c", line]
        done = subprocess.run(
            command,
            cwd=self.directory,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
        return done.stdout


@pytest.fixture(scope="module")
def place(
    program: Callable[[str], str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Place]:
    """The example, after the commands that need no cluster."""
    directory = tmp_path_factory.mktemp("kubernetes-example")
    for file in EXAMPLE.iterdir():
        if file.is_file():
            shutil.copy(file, directory)
    deploy.make_base(rootfs.debian(program), directory / "base", platform="linux/amd64")
    with docker_registry.running(program) as registry:
        place = Place(directory, registry.host)
        place.run("run")
        yield place


def rendered(place: Place) -> dict[str, Any]:
    files = (place.directory / "rendered" / "objects").glob("*.yaml")
    objects = [yaml.safe_load(file.read_text("utf-8")) for file in files]
    return {each["kind"]: each for each in objects}


def test_what_is_rendered_names_what_was_pushed_by_digest(place: Place) -> None:
    spec = rendered(place)["Deployment"]["spec"]
    image = spec["template"]["spec"]["containers"][0]["image"]
    volumes = spec["template"]["spec"]["volumes"]
    mounted = next(each["image"]["reference"] for each in volumes if "image" in each)
    pushed = package.resolve(f"oci://{place.registry}/shoal:1").digest
    assert image == f"{place.registry}/shoal:1@{pushed}".replace(":1@", "@")
    sealed = package.identify(place.directory / "digits").digest
    assert mounted == f"{place.registry}/digits@{sealed}"
    assert spec["replicas"] == 3


def test_what_the_registry_holds_is_what_was_sealed(place: Place, tmp_path: Path) -> None:
    pulled = package.pull(f"oci://{place.registry}/digits:1", tmp_path / "digits")
    assert pulled.digest == package.identify(place.directory / "digits").digest
    assert (pulled.name, pulled.version) == ("digits", "1")


def test_on_a_control_plane_it_comes_up_changes_goes_back_and_goes(
    place: Place, cluster: ControlPlane, namespace: str
) -> None:
    cluster.kubelet.decide(namespace, lambda _pod: READY)
    told = place.run("cluster", NAMESPACE=namespace)
    assert "digits is up: revision 1, 3 of 3 ready" in told
    assert "digits is up: revision 2, 3 of 3 ready" in told
    assert "revision 3" in told  # what was gone back to is the newest one
    assert not list(cluster.client.list(Deployment, namespace=namespace))
