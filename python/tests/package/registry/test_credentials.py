"""Who one is at a registry: files of docker and podman, programs, and what is never shown."""

from __future__ import annotations

import base64
import json
import os
from typing import TYPE_CHECKING, Any

import pytest

from shoal.errors import ConfigurationError
from shoal.package._registry._credentials import Credentials, find_credentials
from shoal.package._registry._reference import read_reference

if TYPE_CHECKING:
    from pathlib import Path

REFERENCE = read_reference("oci://r.example:5000/team/digits:1")


def auth(user: str, password: str = "secret") -> dict[str, str]:
    return {"auth": base64.b64encode(f"{user}:{password}".encode()).decode()}


def write(path: Path, content: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), "utf-8")


def found(home: Path, **environment: str) -> Credentials | None:
    return find_credentials(REFERENCE, {"XDG_RUNTIME_DIR": str(home / "run"), **environment}, home)


def test_without_files_nobody_is_anybody(tmp_path: Path) -> None:
    assert found(tmp_path) is None


def test_the_first_file_that_knows_the_registry_counts(tmp_path: Path) -> None:
    environment = {
        "REGISTRY_AUTH_FILE": str(tmp_path / "named.json"),
        "DOCKER_CONFIG": str(tmp_path / "docker"),
        "XDG_CONFIG_HOME": str(tmp_path / "config"),
    }
    places = [
        tmp_path / "config" / "containers" / "auth.json",
        tmp_path / "run" / "containers" / "auth.json",
        tmp_path / "docker" / "config.json",
        tmp_path / "named.json",
    ]
    for number, place in enumerate(places):
        write(place, {"auths": {"r.example:5000": auth(f"user{number}")}})
        assert found(tmp_path, **environment) == Credentials(f"user{number}", "secret")
    write(places[-1], {"auths": {"other.example": auth("nobody")}})
    assert found(tmp_path, **environment) == Credentials("user2", "secret")


def test_docker_keeps_it_in_the_home_directory(tmp_path: Path) -> None:
    write(tmp_path / ".docker" / "config.json", {"auths": {"r.example:5000": auth("a")}})
    assert found(tmp_path) == Credentials("a", "secret")


def test_the_most_exact_name_counts(tmp_path: Path) -> None:
    entries = {"r.example:5000": auth("a"), "r.example:5000/team": auth("b")}
    write(tmp_path / ".docker" / "config.json", {"auths": entries})
    assert found(tmp_path) == Credentials("b", "secret")
    entries["r.example:5000/team/digits"] = auth("c", "with:colon")
    write(tmp_path / ".docker" / "config.json", {"auths": entries})
    assert found(tmp_path) == Credentials("c", "with:colon")


def test_addresses_are_names_as_well(tmp_path: Path) -> None:
    entries = {"https://r.example:5000/v1/": auth("a")}
    write(tmp_path / ".docker" / "config.json", {"auths": entries})
    assert found(tmp_path) == Credentials("a", "secret")


def test_an_empty_address_beside_a_host_takes_nothing_from_it(tmp_path: Path) -> None:
    entries = {"r.example:5000": auth("a"), "https://r.example:5000/v1/": {}}
    write(tmp_path / ".docker" / "config.json", {"auths": entries})
    assert found(tmp_path) == Credentials("a", "secret")


def test_docker_hub_has_a_name_of_its_own(tmp_path: Path) -> None:
    entries = {"https://index.docker.io/v1/": auth("a")}
    write(tmp_path / ".docker" / "config.json", {"auths": entries})
    hub = read_reference("oci://docker.io/python:3")
    assert find_credentials(hub, {}, tmp_path) == Credentials("a", "secret")


def test_an_identity_token_stands_for_a_password(tmp_path: Path) -> None:
    entry = {**auth("a", ""), "identitytoken": "token"}
    write(tmp_path / ".docker" / "config.json", {"auths": {"r.example:5000": entry}})
    assert found(tmp_path) == Credentials("a", "", "token")


def install(place: Path, name: str, script: str) -> None:
    path = place / f"docker-credential-{name}"
    path.write_text(f"#!/bin/sh\n{script}\n", "utf-8")
    path.chmod(0o755)


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    place = tmp_path / "bin"
    place.mkdir()
    monkeypatch.setenv("PATH", f"{place}{os.pathsep}{os.environ['PATH']}")
    return place


ANSWERS = """test "$1" = get || exit 2
read -r server
printf '{"ServerURL":"%s","Username":"of %s","Secret":"secret"}' "$server" "$server\""""


@pytest.mark.parametrize(
    "content",
    [
        {"credHelpers": {"r.example:5000": "mine"}, "credsStore": "absent"},
        {"credsStore": "mine", "auths": {"r.example:5000": {}}},
    ],
    ids=["for the host", "for all"],
)
def test_a_program_is_asked_for_the_host(
    programs: Path, tmp_path: Path, content: dict[str, Any]
) -> None:
    install(programs, "mine", ANSWERS)
    write(tmp_path / ".docker" / "config.json", content)
    assert found(tmp_path) == Credentials("of r.example:5000", "secret")


def test_a_program_may_know_a_token(programs: Path, tmp_path: Path) -> None:
    install(programs, "mine", """printf '{"Username":"<token>","Secret":"token"}'""")
    write(tmp_path / ".docker" / "config.json", {"credsStore": "mine"})
    assert found(tmp_path) == Credentials("", "", "token")


def test_a_program_that_knows_nobody_leaves_it_to_the_file(programs: Path, tmp_path: Path) -> None:
    install(programs, "mine", "echo credentials not found in native keychain; exit 1")
    content = {"credsStore": "mine", "auths": {"r.example:5000": auth("a")}}
    write(tmp_path / ".docker" / "config.json", content)
    assert found(tmp_path) == Credentials("a", "secret")


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("echo secret; echo secret >&2; exit 3", "exit code 3"),
        ("echo secret", "no user and password"),
    ],
    ids=["fails", "babbles"],
)
def test_a_program_that_fails_is_named_and_its_words_are_not(
    programs: Path, tmp_path: Path, script: str, reason: str
) -> None:
    install(programs, "mine", script)
    write(tmp_path / ".docker" / "config.json", {"credsStore": "mine"})
    with pytest.raises(ConfigurationError, match=reason) as refusal:
        found(tmp_path)
    assert "docker-credential-mine" in str(refusal.value)
    assert "secret" not in refusal.value.render()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ({"credsStore": "absent-here"}, "not installed"),
        ({"credsStore": "../../bin/sh"}, "no name"),
        ({"auths": {"r.example:5000": {"auth": "!!secret!!"}}}, "base64"),
        ({"auths": {"r.example:5000": {"auth": base64.b64encode(b"secret").decode()}}}, "base64"),
        ({"auths": "secret"}, "not a file of credentials"),
    ],
    ids=["absent", "a path", "no base64", "no pair", "another form"],
)
def test_a_wrong_file_is_named_and_nothing_of_it_is_shown(
    tmp_path: Path, content: Any, reason: str
) -> None:
    path = tmp_path / ".docker" / "config.json"
    write(path, content)
    with pytest.raises(ConfigurationError, match=reason) as refusal:
        found(tmp_path)
    assert str(path) in str(refusal.value)
    assert "secret" not in refusal.value.render()


def test_secrets_are_not_shown() -> None:
    shown = repr(Credentials("user", "secret", "token of secret"))
    assert "user" in shown
    assert "secret" not in shown
