"""What the tests of registries share: a package, and a caller who does not wait."""

from __future__ import annotations

import json
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from shoal import package
from shoal.package._registry._patience import Patience
from shoal.package._registry._pull import pull_from
from shoal.package._registry._repository import connected
from tests.services import faulty

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from shoal.package import Package
    from shoal.package._registry._repository import Repository
    from tests.services.docker_registry import DockerRegistry
    from tests.services.faulty import Door

WEIGHTS = 60_000
NAME = "tests/faults"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"


def heavy(seed: int) -> bytes:
    """An ONNX file that doubles four numbers, and has weights that nobody uses."""
    weights = np.random.default_rng(seed).random(WEIGHTS, np.float32)
    graph = helper.make_graph(
        [helper.make_node("Mul", ["X", "two"], ["Y"])],
        "test",
        [helper.make_tensor_value_info("X", TensorProto.FLOAT, ["N", 4])],
        [helper.make_tensor_value_info("Y", TensorProto.FLOAT, ["N", 4])],
        [
            numpy_helper.from_array(np.array([2.0], np.float32), "two"),
            numpy_helper.from_array(weights, "weights"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    data: bytes = model.SerializeToString(deterministic=True)
    return data


def build(place: Path, version: str) -> Package:
    """A package of about 240 kB with two attestations, one of which brings a file along."""
    built = package.build(
        heavy(int(version)),
        name="double",
        version=version,
        output=place,
        example=np.arange(12, dtype=np.float32).reshape(3, 4),
    )
    built = built.attest("metrics", {"accuracy": 0.5})
    return built.attest("report", {"pages": 1}, files={"report.html": b"<p>good</p>"})


@pytest.fixture(scope="session")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> Package:
    """A package; nobody changes it."""
    return build(tmp_path_factory.mktemp("shipped") / "double", "1")


@pytest.fixture(scope="session")
def following(tmp_path_factory: pytest.TempPathFactory) -> Package:
    """Its next version; nobody changes it."""
    return build(tmp_path_factory.mktemp("following") / "double", "2")


def model_blob(path: Path) -> tuple[str, int]:
    """The digest and the size of the one large blob of a package."""
    blob = max((path / "blobs" / "sha256").iterdir(), key=lambda each: each.stat().st_size)
    return f"sha256:{blob.name}", blob.stat().st_size


def layers(sealed: Package) -> list[str]:
    """The digests of the blobs that are fetched of a package."""
    path = sealed.path / "blobs" / "sha256" / sealed.digest.removeprefix("sha256:")
    return [each["digest"] for each in json.loads(path.read_bytes())["layers"]]


class Caller:
    """Calls registries; its waits are written down and not waited.

    Attributes:
        slept_seconds: The waits.
        now_seconds: Its time, since 1970.
    """

    def __init__(self) -> None:
        self.slept_seconds: list[float] = []
        self.now_seconds = 1_700_000_000.0
        self.read_seconds = 10.0

    @contextmanager
    def connected(self, reference: str, actions: str = "pull,push") -> Iterator[Repository]:
        """A repository, for a block."""
        patience = Patience(
            read_seconds=self.read_seconds, now=lambda: self.now_seconds, jitter=lambda: 1.0
        )
        with connected(
            reference, actions=actions, patience=patience, sleep=self.slept_seconds.append
        ) as repository:
            yield repository


@pytest.fixture
def caller() -> Caller:
    return Caller()


@pytest.fixture(autouse=True)
def no_credentials(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A home without files of credentials."""
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        for name in ("REGISTRY_AUTH_FILE", "DOCKER_CONFIG", "XDG_CONFIG_HOME"):
            patch.delenv(name, raising=False)
        patch.setenv("HOME", str(home))
        patch.setenv("XDG_RUNTIME_DIR", str(home))
        yield home


@pytest.fixture(scope="session")
def stocked(docker_registry: DockerRegistry, shipped: Package) -> DockerRegistry:
    """A registry that has the package under `NAME`."""
    package.push(shipped, f"oci://{docker_registry.host}/{NAME}")
    return docker_registry


@pytest.fixture
def door(stocked: DockerRegistry) -> Iterator[Door]:
    """A way to it."""
    with faulty.running(stocked.port) as running:
        yield running


def pulled(caller: Caller, door: Door, target: Path, end: str = ":1") -> Package:
    """The package, by a way to the registry."""
    with caller.connected(f"oci://{door.host}/{NAME}{end}") as repository:
        return pull_from(repository, target)


def left_behind(directory: Path) -> list[str]:
    """What lies in a directory."""
    return sorted(path.name for path in directory.iterdir())
