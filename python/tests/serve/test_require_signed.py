"""A server that requires a signature loads nothing that the key has not signed."""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from shoal import package, serve
from shoal.errors import (
    ConfigurationError,
    CorruptPackageError,
    InvalidRequestError,
    PackageError,
    PathError,
    RegistryNotFoundError,
    SignatureError,
    UntrustedPackageError,
)
from tests.end_to_end import models
from tests.end_to_end.driver import SHOAL, ask, serving
from tests.end_to_end.repository_driver import keeping
from tests.package.keys import Pair, maker

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.services.docker_registry import DockerRegistry


ROW = [0.0] * 64


@pytest.fixture(scope="session")
def pairs(
    program: Callable[[str], str], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Pair, Pair]:
    """The key that is asked for, and another."""
    keys = maker(program, tmp_path_factory.mktemp("keys"))
    return keys.on("prime256v1", "asked"), keys.on("prime256v1", "another")


@pytest.fixture(scope="session")
def asked(pairs: tuple[Pair, Pair]) -> Pair:
    return pairs[0]


@pytest.fixture(scope="session")
def another(pairs: tuple[Pair, Pair]) -> Pair:
    return pairs[1]


@pytest.fixture(scope="session")
def unsigned(places: Path) -> Path:
    return models.tree(places, "1")


@pytest.fixture(scope="session")
def signed(places: Path, asked: Pair) -> Path:
    path = places / "signed"
    shutil.copytree(models.tree(places, "2"), path)
    package.sign(path, asked.private)
    return path


@pytest.fixture(scope="session")
def signed_by_another(unsigned: Path, places: Path, another: Pair) -> Path:
    path = places / "signed-by-another"
    shutil.copytree(unsigned, path)
    package.sign(path, another.private)
    return path


def requiring(key: Path) -> serve.Options:
    return serve.Options(require_signed=key)


def test_what_the_key_has_signed_is_served(signed: Path, asked: Pair) -> None:
    with serve.start([package.open(signed)], options=requiring(asked.public)) as server:
        answer = ask(server.http, "POST", "/predict", {"features": ROW})
    assert answer.status == 200, answer.body


def test_what_is_unsigned_or_signed_by_another_key_is_refused(
    signed: Path, unsigned: Path, signed_by_another: Path, asked: Pair
) -> None:
    for path, words in (
        (unsigned, "is not signed\n"),
        (signed_by_another, "is not signed by the key"),
    ):
        for packages in ([path], [signed, path], [package.open(path)]):
            with pytest.raises(SignatureError, match=words):
                serve.start(packages, options=requiring(asked.public))


def test_a_signature_does_not_let_code_run(fragile: Path, tmp_path: Path, asked: Pair) -> None:
    shutil.copytree(fragile, tmp_path / "fragile")
    with pytest.raises(SignatureError, match="is not signed"):
        serve.start(tmp_path / "fragile", allow_code=True, options=requiring(asked.public))
    package.sign(tmp_path / "fragile", asked.private)
    with pytest.raises(UntrustedPackageError, match="code"):
        serve.start(tmp_path / "fragile", options=requiring(asked.public))


def test_a_key_that_cannot_be_used_ends_the_start(
    signed: Path, asked: Pair, tmp_path: Path
) -> None:
    with pytest.raises(ConfigurationError, match="expected a public key"):
        serve.start(signed, options=requiring(asked.private))
    with pytest.raises(PathError, match="there is no key at"):
        serve.start(serve.Repository(tmp_path), options=requiring(tmp_path / "nothing"))


def test_a_repository_serves_what_is_signed_and_says_why_the_rest_is_not(
    signed: Path, unsigned: Path, asked: Pair, tmp_path: Path
) -> None:
    shutil.copytree(unsigned, tmp_path / "one")
    with pytest.raises(PackageError, match="is not signed"):
        serve.start(serve.Repository(tmp_path), options=requiring(asked.public))
    shutil.copytree(signed, tmp_path / "two")
    repository = serve.Repository(tmp_path)
    with serve.start(repository, options=requiring(asked.public)) as server:
        described = ask(server.http, "GET", "/v2/models/digits").json()
        assert described["versions"] == ["2"]
        ((name, version, reason),) = server.not_served
    assert (name, version) == ("digits", "1")
    assert "is not signed" in reason


def test_what_is_loaded_later_is_held_against_the_same_key(
    signed: Path, unsigned: Path, asked: Pair, tmp_path: Path
) -> None:
    key = tmp_path / "key.pem"
    shutil.copy(asked.public, key)
    with keeping(tmp_path, signed, arguments=("--require-signed", str(key))) as kept:
        key.unlink()
        kept.put(unsigned)
        refusal = kept.load("digits", "1")
        assert (refusal.status, refusal.code) == (422, "signature_refused")
        assert kept.answering(ROW) == "2"
        package.sign(kept.directory / unsigned.name, asked.private)
        assert kept.load("digits", "1").json() == {"serving": ["1", "2"]}


def test_the_command_takes_the_key(signed: Path, asked: Pair) -> None:
    arguments = ("--require-signed", str(asked.public))
    with serving(signed, arguments=arguments) as served:
        assert served.ask("POST", "/predict", {"features": ROW}).status == 200


def test_a_package_is_served_straight_from_a_registry_if_the_key_signed_it(
    docker_registry: DockerRegistry, unsigned: Path, asked: Pair, tmp_path: Path
) -> None:
    name = f"oci://{docker_registry.host}/served:1"
    package.push(unsigned, name)
    settings = {"XDG_CACHE_HOME": str(tmp_path)}
    command = [*SHOAL, "serve", name, "--require-signed", str(asked.public)]
    done = subprocess.run(
        command, env=os.environ | settings, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("error: the package digits 1 is not signed\nhint: ")
    package.sign_pushed(name, asked.private)
    arguments = (name, "--require-signed", str(asked.public))
    with serving(arguments=arguments, **settings) as served:
        assert served.ask("POST", "/predict", {"features": ROW}).status == 200
    (kept,) = (tmp_path / "shoal" / "packages").iterdir()
    assert kept.name == package.open(unsigned).digest.replace(":", "-")


def test_what_changes_after_its_signature_was_checked_is_not_loaded(
    signed: Path, asked: Pair, tmp_path: Path
) -> None:
    place = tmp_path / "changing"
    shutil.copytree(signed, place)
    opened = package.open(place)
    package.verify_signature(opened, asked.public)
    model = max((place / "blobs" / "sha256").iterdir(), key=lambda each: each.stat().st_size)
    data = bytearray(model.read_bytes())
    data[len(data) // 2] ^= 1
    model.write_bytes(data)
    with pytest.raises(CorruptPackageError, match="changed after the package was opened"):
        serve.start(opened, options=requiring(asked.public))


def test_a_name_with_another_scheme_is_no_path_and_its_password_is_not_repeated() -> None:
    with pytest.raises(InvalidRequestError) as refusal:
        serve.start("https://user:secret@r.example/digits:1")
    assert "secret" not in refusal.value.render()


def test_a_name_in_a_registry_is_as_good_as_a_path(
    docker_registry: DockerRegistry, signed: Path, asked: Pair
) -> None:
    name = f"oci://{docker_registry.host}/named:2"
    package.push(signed, name)
    with serve.start(name, options=requiring(asked.public)) as server:
        assert ask(server.http, "POST", "/predict", {"features": ROW}).status == 200
    with pytest.raises(RegistryNotFoundError):
        serve.start(f"{name}0")
