"""The admin address: shut by default, open to whoever has the token, and to names only."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest
import tritonclient.http

from tests.end_to_end import models
from tests.end_to_end.driver import DEADLINE_S, SHOAL, ask, serving
from tests.end_to_end.repository_driver import TOKEN, keeping

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.end_to_end.repository_driver import Kept

ROW = [0.0] * 64


@pytest.fixture(scope="module")
def kept(places: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kept]:
    versions = [models.tree(places, version) for version in ("91", "92")]
    with keeping(tmp_path_factory.mktemp("admin"), *versions) as kept:
        yield kept


def started(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [*SHOAL, "serve", "--http", "127.0.0.1:0", "--grpc", "127.0.0.1:0", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE_S, check=False)


@pytest.mark.parametrize("token", ["", TOKEN[:-1], TOKEN + "x", "another token altogether"])
def test_nobody_is_heard_without_the_token(kept: Kept, token: str) -> None:
    for path in ("index", "models/digits/unload", "models/digits/load", "models/digits/canary"):
        refused = kept.call(path, token=token)
        assert (refused.status, refused.code) == (401, "unauthorized")
        assert refused.headers["www-authenticate"] == "Bearer"
    assert kept.answering(ROW) == "92"


def test_public_addresses_change_nothing(kept: Kept) -> None:
    headers = {"Authorization": f"Bearer {TOKEN}"}
    for path in ("load", "unload", "canary"):
        place = f"/v2/repository/models/digits/{path}"
        assert kept.served.ask("POST", place, {}, headers=headers).code == "unknown_route"


@pytest.mark.parametrize(
    "name",
    ["..", ".", "%2e%2e", "%2Fetc%2Fpasswd", "..%2Fdigits", "digits-91", "digits%00", "x" * 5000],
)
def test_models_are_named_and_never_located(kept: Kept, name: str) -> None:
    for what in ("load", "unload"):
        assert kept.call(f"models/{name}/{what}").code == "unknown_model"


@pytest.mark.parametrize("name", ["../digits", "/etc/passwd", "a/../digits", "//"])
def test_names_have_no_slashes(kept: Kept, name: str) -> None:
    assert kept.call(f"models/{name}/load").code == "unknown_route"


def test_version_is_a_name_as_well(kept: Kept) -> None:
    for version in ("..", "../91", "/", "91/", ""):
        assert kept.load("digits", version or " ").code == "unknown_version"
        assert kept.unload("digits", version or " ").code == "unknown_version"


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"{", "malformed_json"),
        (b"[]", "invalid_request"),
        (b'{"parameters":{"config":"{}"}}', "invalid_request"),
        (b'{"version":"91"}', "invalid_request"),
        (b'{"parameters":' * 2_000, "invalid_request"),
        (b" " * 70_000, "body_too_large"),
    ],
)
def test_body_that_is_no_call_is_refused_by_name(kept: Kept, body: bytes, code: str) -> None:
    assert kept.call("models/digits/load", body).code == code


def test_other_methods_and_paths_are_refused(kept: Kept) -> None:
    assert kept.served.admin is not None
    headers = {"Authorization": f"Bearer {TOKEN}"}
    got = ask(kept.served.admin, "GET", "/v2/repository/index", headers=headers)
    assert (got.status, got.code) == (405, "method_not_allowed")
    for path in ("/predict", "/v2/models/digits/infer", "/metrics", "/"):
        assert ask(kept.served.admin, "POST", path, headers=headers).code == "unknown_route"


def test_client_of_triton_loads_and_unloads(kept: Kept) -> None:
    headers = {"Authorization": f"Bearer {TOKEN}"}
    assert kept.served.admin is not None
    with tritonclient.http.InferenceServerClient(kept.served.admin) as client:
        client.load_model("digits", headers=headers)
        index = client.get_model_repository_index(headers=headers)
    assert [line["state"] for line in index] == ["READY", "READY"]


def test_admin_address_and_token_come_together(places: Path, tmp_path: Path) -> None:
    package = str(models.tree(places, "93"))
    alone = started(package, "--admin", "127.0.0.1:0")
    assert (alone.returncode, "token" in alone.stderr) == (2, True)
    token = tmp_path / "token"
    assert started(package, "--admin-token-file", str(token)).returncode == 2
    for text in (None, "", "short", "with a space in it, and long enough", "é" * 20):
        if text is not None:
            token.write_text(text, "utf-8")
        words = ("--admin", "127.0.0.1:0", "--admin-token-file", str(token))
        refused = started(package, *words)
        assert (refused.returncode, "openssl" in refused.stderr) == (2, True)
        assert not text or text not in refused.stderr


def test_there_is_no_admin_address_unless_it_is_asked_for(kept: Kept, places: Path) -> None:
    with serving(models.tree(places, "94")) as served:
        assert served.admin is None
