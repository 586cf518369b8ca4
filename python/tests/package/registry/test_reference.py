"""Names in registries: what is one, and what is refused."""

from __future__ import annotations

import pytest

from shoal.errors import InvalidRequestError
from shoal.package._registry._reference import Reference, is_loopback, read_reference

DIGEST = "sha256:" + "ab" * 32


@pytest.mark.parametrize(
    ("text", "reference"),
    [
        ("oci://r.example/digits:1.0", Reference("r.example", "digits", "1.0")),
        ("oci://r.example:5000/a/b_c/d--e:v-1", Reference("r.example:5000", "a/b_c/d--e", "v-1")),
        ("oci://[::1]:5000/digits", Reference("[::1]:5000", "digits")),
        (f"oci://r.example/digits@{DIGEST}", Reference("r.example", "digits", None, DIGEST)),
        (f"oci://r.example/digits:1@{DIGEST}", Reference("r.example", "digits", "1", DIGEST)),
        ("oci://docker.io/python:3.13", Reference("docker.io", "library/python", "3.13")),
        ("oci://docker.io/user/app:1", Reference("docker.io", "user/app", "1")),
    ],
)
def test_a_name_is_read(text: str, reference: Reference) -> None:
    assert read_reference(text) == reference


@pytest.mark.parametrize(
    "text",
    [
        "r.example/digits:1",
        "docker://r.example/digits:1",
        "oci://digits:1",
        "oci://r.example/Digits:1",
        "oci://r.example/digits:",
        "oci://r.example/digits:1/2",
        "oci://r.example/a//b:1",
        "oci://r.example/../digits:1",
        "oci://r.example/digits:" + "1" * 129,
        "oci://r.example/" + "a" * 250 + ":1",
        "oci://r.example/digits@sha512:" + "ab" * 64,
        "oci://r.example/digits@sha256:ABC",
        "oci://r.example:123456/digits:1",
        "oci://r.example:0/digits:1",
        "oci://r.example:65536/digits:1",
        "oci://[:::]:5000/digits:1",
        "oci://[10.0.0.1]:5000/digits:1",
        "oci://r..example/digits:1",
        "oci://-r.example/digits:1",
        "oci://r example/digits:1",
        "oci://r.example/digits:1\n",
    ],
)
def test_what_is_no_name_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequestError) as refusal:
        read_reference(text)
    assert refusal.value.hint is None or "oci://HOST" in refusal.value.hint


@pytest.mark.parametrize(
    "text",
    [
        "oci://user:secret@r.example/digits:1",
        "https://user:secret@r.example/digits:1",
        "docker://user:secret@r.example/digits:1",
        "oci:/user:secret@r.example/digits:1",
        "user:secret@r.example/digits:1",
    ],
)
def test_a_password_in_a_name_is_refused_and_not_repeated(text: str) -> None:
    with pytest.raises(InvalidRequestError) as refusal:
        read_reference(text)
    assert "secret" not in refusal.value.render()
    assert "docker login" in refusal.value.render()


def test_what_may_be_a_part_of_a_password_is_not_repeated() -> None:
    with pytest.raises(InvalidRequestError) as refusal:
        read_reference("oci://user:se/cret@r.example/digits:1")
    assert "cret" not in refusal.value.render()


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("r.example/digits:1", "oci://r.example/digits:1"),
        ("docker://r.example/digits:1", "oci://r.example/digits:1"),
        ("https://r.example:5000/digits:1", "oci://r.example:5000/digits:1"),
        ("oci://r.example/Models/Digits:1", "oci://r.example/models/digits:1"),
    ],
)
def test_what_was_probably_meant_is_told(text: str, meant: str) -> None:
    with pytest.raises(InvalidRequestError) as refusal:
        read_reference(text)
    assert f"Is {meant} meant?" in (refusal.value.hint or "")


def test_the_name_of_a_package_alone_is_no_host() -> None:
    with pytest.raises(InvalidRequestError) as refusal:
        read_reference("oci://digits:1")
    assert "meant" not in (refusal.value.hint or "")


def test_docker_hub_answers_at_another_host() -> None:
    assert read_reference("oci://docker.io/python:3").host == "registry-1.docker.io"
    assert read_reference("oci://r.example/python:3").host == "r.example"


@pytest.mark.parametrize(
    ("host", "is_own"),
    [
        ("localhost:5000", True),
        ("127.0.0.1:5000", True),
        ("127.8.9.1", True),
        ("[::1]:5000", True),
        ("registry.localhost", True),
        ("localhost.example", False),
        ("10.0.0.1:5000", False),
        ("r.example", False),
    ],
)
def test_only_loopback_hosts_are_this_machine(host: str, *, is_own: bool) -> None:
    assert is_loopback(host) is is_own
