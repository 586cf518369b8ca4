"""`shoal package sign` and `verify --key`, and where the password of a key may come from."""

from __future__ import annotations

import json
import os
import pty
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.cli.test_command_line import refused, run
from tests.end_to_end.driver import DEADLINE_S, SHOAL
from tests.package.keys import PASSWORD, Maker, Pair, maker

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.end_to_end.models import Sealed
    from tests.services.docker_registry import DockerRegistry


@pytest.fixture(scope="session")
def keys(program: Callable[[str], str], tmp_path_factory: pytest.TempPathFactory) -> Maker:
    return maker(program, tmp_path_factory.mktemp("keys"))


@pytest.fixture(scope="session")
def ann(keys: Maker) -> Pair:
    return keys.on("prime256v1", "ann")


@pytest.fixture
def sealed(digits: Sealed, tmp_path: Path) -> Path:
    return shutil.copytree(digits.path, tmp_path / "digits")


def test_a_package_is_signed_and_verified(sealed: Path, ann: Pair) -> None:
    lines = refused("package", "verify", sealed, "--key", ann.public, code=1)
    assert lines == [
        "error: the package digits 1 is not signed",
        "hint: Who has the private key signs a package: shoal package sign DIR --key KEY.pem",
    ]
    done = run("package", "sign", sealed, "--key", ann.private)
    assert (done.returncode, done.stderr) == (0, "")
    said = json.loads(run("package", "sign", sealed, "--key", ann.private, "--json").stdout)
    assert set(said) == {"package", "digest", "key", "attestation"}
    assert all(str(value) in done.stdout for value in said.values())
    verified = run("package", "verify", sealed, "--key", ann.public)
    assert f"signed by     {said['key']}" in verified.stdout.splitlines()
    as_json = json.loads(run("package", "verify", sealed, "--key", ann.public, "--json").stdout)
    assert (as_json["signed_by"], as_json["digest"]) == (said["key"], said["digest"])
    assert "signed by" not in run("package", "verify", sealed).stdout


def test_a_key_that_cannot_be_used_is_wrong_input(sealed: Path, ann: Pair) -> None:
    lines = refused("package", "sign", sealed, "--key", ann.public, code=2)
    assert "expected a private key" in lines[0]
    refused("package", "verify", sealed, "--key", sealed / "nothing", code=2)


def test_a_password_comes_from_the_environment(
    sealed: Path, keys: Maker, ann: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    locked = keys.locked(ann, "pkcs8")
    lines = refused("package", "sign", sealed, "--key", locked, code=2)
    assert "has a password, and none was given" in lines[0]
    monkeypatch.setenv("SHOAL_KEY_PASSWORD", "guessed-at")
    lines = refused("package", "sign", sealed, "--key", locked, code=2)
    assert "does not open the private key" in lines[0]
    assert "guessed-at" not in "".join(lines)
    monkeypatch.setenv("SHOAL_KEY_PASSWORD", PASSWORD)
    assert run("package", "sign", sealed, "--key", locked).returncode == 0


def test_a_password_is_asked_for_on_a_terminal_and_not_shown(
    sealed: Path, keys: Maker, ann: Pair
) -> None:
    locked = keys.locked(ann, "ec")
    ours, theirs = pty.openpty()
    command = [*SHOAL, "package", "sign", str(sealed), "--key", str(locked), "--json"]
    with subprocess.Popen(
        command, stdin=theirs, stdout=subprocess.PIPE, stderr=theirs, start_new_session=True
    ) as process:
        os.close(theirs)
        shown = b""
        while not shown.endswith(b": "):
            shown += os.read(ours, 1024)
        os.write(ours, f"{PASSWORD}\n".encode())
        answer, _ = process.communicate(timeout=DEADLINE_S)
    os.close(ours)
    assert process.returncode == 0
    assert json.loads(answer)["package"] == str(sealed)
    assert b"password of the key" in shown


def test_a_package_in_a_registry_is_signed_and_verified_by_its_name(
    docker_registry: DockerRegistry, digits: Sealed, ann: Pair
) -> None:
    name = f"oci://{docker_registry.host}/digits:1"
    assert run("package", "push", digits.path, name).returncode == 0
    refused("package", "verify", name, "--key", ann.public, code=1)
    signed = run("package", "sign", name, "--key", ann.private, "--json")
    said = json.loads(signed.stdout)
    assert said["package"] == name
    verified = run("package", "verify", name, "--key", ann.public, "--json")
    assert json.loads(verified.stdout)["signed_by"] == said["key"]
