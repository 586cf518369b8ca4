"""An image runs: the server in it answers as the package does."""

from __future__ import annotations

import json
import os
import signal
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest

from shoal import deploy, package
from tests.deploy.image.making import twice
from tests.services import docker_registry as registries
from tests.services.buildah import container, files_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from shoal.deploy import Image
    from shoal.package import Package
    from tests.services.buildah import Container

# The image's own ports are taken where tests run beside each other: the last word wins.
LOCAL = ["--http", "127.0.0.1:0", "--grpc", "127.0.0.1:0"]
WRITABLE = ("tmp/", "proc/", "sys/", "dev/", "etc/hosts", "etc/resolv.conf", "run/")


@pytest.fixture(scope="module")
def running(
    image: tuple[Path, Image],
    program: Callable[[str], str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Container]:
    root, _ = image
    with container(program, root, tmp_path_factory.mktemp("containers")) as made:
        yield made


def ask(address: str, path: str, document: Any = None) -> Any:
    data = None if document is None else json.dumps(document).encode()
    request = urllib.request.Request(f"http://{address}{path}", data)
    with urllib.request.urlopen(request, timeout=20) as answer:
        return json.load(answer)


def test_the_server_in_the_image_answers_as_the_package_does(
    running: Container, double: Package
) -> None:
    configuration = running.configuration()
    words = [*configuration["Entrypoint"], *configuration["Cmd"]]
    before = files_of(running.root())
    with running.serving([*words, *LOCAL]) as ready:
        rows = [[1.0, 2.0, 3.0, 4.0], [0.5, -1.0, 0.0, 9.0]]
        answer = ask(ready["http"], "/v1/models/double:predict", {"inputs": {"X": rows}})
        column = pa.FixedSizeListArray.from_arrays(pa.array([*rows[0], *rows[1]], pa.float32()), 4)
        expected = double.model().predict(pa.record_batch({"X": column}))
        assert answer["outputs"] == expected.column(0).to_pylist()
        assert ask(ready["http"], "/v2/models/double")["versions"] == ["2"]
    changed = {
        path for path, about in files_of(running.root()).items() if before.get(path) != about
    }
    assert not [path for path in changed if not path.startswith(WRITABLE)]


def test_it_writes_to_tmp_only_and_ends_by_a_signal_as_the_first_process(
    running: Container,
) -> None:
    configuration = running.configuration()
    words = [*configuration["Entrypoint"], *configuration["Cmd"], *LOCAL]
    with running.alone(words) as (ready, server):
        status = Path(f"/proc/{server}/status").read_text()
        assert ask(ready["http"], "/v2/models/double")["versions"] == ["2"]
        os.kill(server, signal.SIGTERM)
    (first,) = (line.split()[-1] for line in status.splitlines() if line.startswith("NSpid:"))
    assert first == "1"


def test_it_runs_as_nobody_and_owns_nothing(running: Container) -> None:
    program = "import os; print(os.getuid(), os.getgid(), os.access('/opt/shoal/lib', os.W_OK))"
    assert running.run("/usr/bin/python3", "-c", program).strip() == "65532 65532 False"


def test_the_command_line_is_whole(running: Container) -> None:
    assert running.run("/opt/shoal/bin/shoal", "--version").startswith("shoal ")
    assert "PACKAGE" in running.run("/opt/shoal/bin/shoal", "serve", "--help")


def test_it_pulls_packages_too(
    running: Container, double: Package, program: Callable[[str], str]
) -> None:
    with registries.running(program) as registry:
        name = f"oci://{registry.host}/double:2"
        package.push(double.path, name)
        running.run("/opt/shoal/bin/shoal", "package", "pull", name, "/tmp/pulled")
    assert package.open(running.root() / "tmp" / "pulled").digest == double.digest


def test_a_command_that_is_not_for_serving_says_what_it_lacks(running: Container) -> None:
    command = ["/opt/shoal/bin/shoal", "package", "inspect", "/models/double/2"]
    answer = running.answered(*command)
    assert answer.returncode == 1
    assert "error: this command needs numpy, which is not installed here" in answer.stderr


def test_a_python_package_runs_in_its_image(
    debian: Path, program: Callable[[str], str], tmp_path: Path
) -> None:
    built = twice(tmp_path)
    settings = deploy.ImageSettings(allow_code=True)
    deploy.build_image(built.path, base=debian, output=tmp_path / "image", settings=settings)
    with container(program, tmp_path / "image", tmp_path / "containers") as made:
        configuration = made.configuration()
        assert configuration["Cmd"] == ["/models/twice/1", "--allow-code"]
        words = [*configuration["Entrypoint"], *configuration["Cmd"], *LOCAL]
        with made.serving(words) as ready:
            answer = ask(ready["http"], "/v1/models/twice:predict", {"inputs": {"value": [1.5, 2]}})
    assert answer["outputs"] == [3.0, 4.0]
