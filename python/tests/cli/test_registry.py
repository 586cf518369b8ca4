"""`shoal package push` and `pull`: what they print, and the codes they end with."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
from threading import Event
from typing import TYPE_CHECKING

import pytest

from shoal import package
from tests.services import faulty, until

if TYPE_CHECKING:
    from pathlib import Path

    from tests.end_to_end.models import Sealed
    from tests.services.docker_registry import DockerRegistry


def shoal(*words: str, home: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "shoal.cli", "package", *words],
        env={**os.environ, "HOME": str(home)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.fixture
def name(docker_registry: DockerRegistry, tmp_path: Path) -> str:
    return f"oci://{docker_registry.host}/cli/{tmp_path.name.strip('_').replace('_', '-')}"


def test_a_package_is_pushed_and_pulled_and_told(name: str, digits: Sealed, tmp_path: Path) -> None:
    pushed = shoal("push", str(digits.path), name, home=tmp_path)
    assert pushed.returncode == 0, pushed.stderr
    sealed = package.open(digits.path)
    lines = pushed.stdout.splitlines()
    assert lines[:2] == [f"{name.removeprefix('oci://')}:{sealed.version}", sealed.digest]
    assert lines[2].endswith("blobs")
    pulled = shoal("pull", f"{name}:{sealed.version}", str(tmp_path / "pulled"), home=tmp_path)
    assert pulled.returncode == 0, pulled.stderr
    assert pulled.stdout.splitlines() == [
        f"{sealed.name} {sealed.version} in {tmp_path / 'pulled'}",
        sealed.digest,
    ]
    assert package.open(tmp_path / "pulled").digest == sealed.digest
    assert pushed.stderr == pulled.stderr == ""


def test_one_json_object_is_printed(name: str, digits: Sealed, tmp_path: Path) -> None:
    sealed = package.open(digits.path)
    shoal("push", str(digits.path), name, home=tmp_path)
    again = json.loads(shoal("push", str(digits.path), name, "--json", home=tmp_path).stdout)
    assert (again["digest"], again["sent_bytes"], again["tag"]) == (sealed.digest, 0, "1")
    target = str(tmp_path / "pulled")
    told = json.loads(shoal("pull", f"{name}:1", target, "--json", home=tmp_path).stdout)
    assert told == {
        "package": target,
        "name": sealed.name,
        "version": "1",
        "digest": sealed.digest,
        "attestations": len(sealed.attestations()),
    }


@pytest.mark.parametrize(
    ("reference", "code", "words"),
    [
        ("oci://{host}/cli/absent:1", 1, "not_in_registry"),
        ("oci://user:secret@{host}/cli/a:1", 2, "invalid_request"),
        ("https://user:secret@{host}/cli/a:1", 2, "invalid_request"),
        ("{host}/cli/a:1", 2, "invalid_request"),
    ],
    ids=["absent", "a password", "a password with another scheme", "no name"],
)
def test_a_failure_has_a_code(
    docker_registry: DockerRegistry, tmp_path: Path, reference: str, code: int, words: str
) -> None:
    name = reference.format(host=docker_registry.host)
    ended = shoal("pull", name, str(tmp_path / "pulled"), "--json", home=tmp_path)
    assert ended.returncode == code
    assert json.loads(ended.stderr)["code"] == words
    assert "secret" not in ended.stderr


def test_a_name_with_another_scheme_is_no_directory(tmp_path: Path) -> None:
    ended = shoal("verify", "https://user:secret@r.example/a:1", home=tmp_path)
    assert ended.returncode == 2
    assert "docker login" in ended.stderr
    assert "secret" not in ended.stderr


def test_tls_is_spoken_where_it_is_asked_for(
    docker_registry: DockerRegistry, tmp_path: Path
) -> None:
    name = f"oci://{docker_registry.host}/cli/a:1"
    ended = shoal("pull", name, str(tmp_path / "pulled"), "--tls", home=tmp_path)
    assert ended.returncode == 1
    assert "no TLS with" in ended.stderr
    assert "--plain-http" in ended.stderr


def test_a_pull_that_is_interrupted_ends_at_once_and_keeps_what_it_has(
    docker_registry: DockerRegistry, name: str, digits: Sealed, tmp_path: Path
) -> None:
    package.push(package.open(digits.path), name)
    end = Event()
    with faulty.running(docker_registry.port) as door:
        door.on("GET", "/blobs/", faulty.stalls(100, end))
        there = f"oci://{door.host}/{name.removeprefix(f'oci://{docker_registry.host}/')}:1"
        command = [sys.executable, "-m", "shoal.cli", "package", "pull", there, "pulled"]
        process = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE)
        parts = tmp_path / ".pulled.pull"
        try:
            until(
                lambda: any(each.stat().st_size >= 100 for each in parts.glob("*.part")),
                "a part came",
            )
            process.send_signal(signal.SIGINT)
            _, told = process.communicate(timeout=10)
        finally:
            process.kill()
            process.wait()
            end.set()
    assert process.returncode == 130
    assert told == b""
    assert parts.is_dir()


def test_a_bar_of_bytes_is_drawn_on_a_terminal(name: str, digits: Sealed, tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    try:
        command = [sys.executable, "-m", "shoal.cli", "package", "push", str(digits.path), name]
        ended = subprocess.run(command, stderr=theirs, stdout=subprocess.PIPE, check=True)
        drawn = os.read(ours, 1 << 16).decode()
    finally:
        os.close(ours)
        os.close(theirs)
    assert "pushing" in drawn
    assert "kB" in drawn
    assert ended.stdout
