"""Registries that want to know who asks: by password, by token, and nobody else learns it."""

from __future__ import annotations

import base64
import json
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import pytest
import trustme

from shoal import package
from shoal.errors import RegistryAccessError, RegistryUnavailableError
from shoal.package._registry._pull import pull_from
from shoal.package._registry._push import package_cargo, ship
from shoal.package._registry._repository import connected
from shoal.package._registry._wire import Request
from tests.package.registry.conftest import layers
from tests.services import docker_registry as registries
from tests.services import faulty, tokens
from tests.services.docker_registry import PASSWORD, USER
from tests.services.tokens import IDENTITY_TOKEN

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from shoal.package import Package
    from tests.package.registry.conftest import Caller
    from tests.services.docker_registry import DockerRegistry
    from tests.services.tokens import Tokens

NAME = "tests/private"


@contextmanager
def place() -> Iterator[Path]:
    with TemporaryDirectory(prefix="shoal-registry-") as directory:
        yield Path(directory)


@pytest.fixture(scope="module")
def by_password(program: Callable[[str], str]) -> Iterator[DockerRegistry]:
    """A registry that lets in one user."""
    with place() as directory:
        settings = registries.basic(directory)
        with registries.running(program, auth=settings) as server:
            yield server


@pytest.fixture(scope="module")
def giver() -> Iterator[Tokens]:
    """A server of tokens."""
    with tokens.running() as running:
        yield running


@pytest.fixture(scope="module")
def by_token(program: Callable[[str], str], giver: Tokens) -> Iterator[DockerRegistry]:
    """A registry that lets in who has a token."""
    with place() as directory:
        settings = giver.settings(directory)
        with registries.running(program, auth=settings) as server:
            yield server


def sign_in(home: Path, host: str, user: str = USER, password: str = PASSWORD) -> None:
    pair = base64.b64encode(f"{user}:{password}".encode()).decode()
    write(home, {"auths": {host: {"auth": pair}}})


def write(home: Path, content: dict[str, Any]) -> None:
    path = home / ".docker" / "config.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(content), "utf-8")


@pytest.fixture(params=["by_password", "by_token"])
def private(request: pytest.FixtureRequest) -> DockerRegistry:
    found: DockerRegistry = request.getfixturevalue(request.param)
    return found


def test_who_is_known_pushes_and_pulls(
    private: DockerRegistry, shipped: Package, no_credentials: Path, tmp_path: Path
) -> None:
    sign_in(no_credentials, private.host)
    name = f"oci://{private.host}/{NAME}"
    assert package.push(shipped, name).digest == shipped.digest
    assert package.pull(f"{name}:1", tmp_path / "pulled").digest == shipped.digest


@pytest.mark.parametrize("password", [None, "wrong horse"], ids=["nobody", "wrong password"])
def test_who_is_not_known_is_told_so_without_a_secret(
    private: DockerRegistry,
    shipped: Package,
    no_credentials: Path,
    password: str | None,
) -> None:
    if password is not None:
        sign_in(no_credentials, private.host, USER, password)
    with pytest.raises(RegistryAccessError, match="credentials do not do") as refusal:
        package.push(shipped, f"oci://{private.host}/{NAME}")
    text = refusal.value.render()
    assert "docker login" in text
    pair = base64.b64encode(f"{USER}:{password}".encode()).decode()
    assert "wrong horse" not in text
    assert pair not in text


def test_a_token_is_for_one_repository_and_what_is_done(
    by_token: DockerRegistry,
    giver: Tokens,
    shipped: Package,
    no_credentials: Path,
    tmp_path: Path,
) -> None:
    sign_in(no_credentials, by_token.host)
    name = f"oci://{by_token.host}/tests/scoped"
    giver.asked.clear()
    package.push(shipped, name)
    package.pull(f"{name}:1", tmp_path / "pulled")
    assert giver.asked == ["repository:tests/scoped:pull,push", "repository:tests/scoped:pull"]


def test_an_identity_token_stands_for_a_password(
    by_token: DockerRegistry, shipped: Package, no_credentials: Path
) -> None:
    entry = {"auth": base64.b64encode(b"shoal:").decode(), "identitytoken": IDENTITY_TOKEN}
    write(no_credentials, {"auths": {by_token.host: entry}})
    assert package.push(shipped, f"oci://{by_token.host}/{NAME}").digest == shipped.digest


def test_a_token_that_has_expired_is_fetched_anew(  # noqa: PLR0917 - by name
    caller: Caller,
    by_token: DockerRegistry,
    giver: Tokens,
    shipped: Package,
    no_credentials: Path,
    tmp_path: Path,
) -> None:
    package_name = f"{by_token.host}/{NAME}"
    sign_in(no_credentials, by_token.host)
    package.push(shipped, f"oci://{package_name}")
    giver.asked.clear()
    with faulty.running(by_token.port) as door:
        sign_in(no_credentials, door.host)
        challenge = f'Bearer realm="http://127.0.0.1:{giver.port}/token",service="a registry"'
        for blob in layers(shipped)[:2]:
            door.on("GET", blob, faulty.says(401, WWW_Authenticate=challenge), times=1)
        with caller.connected(f"oci://{door.host}/{NAME}:1", "pull") as repository:
            assert pull_from(repository, tmp_path / "pulled").digest == shipped.digest
    assert 2 <= len(giver.asked) <= 3


def test_nothing_is_said_before_it_is_asked_for(
    caller: Caller,
    by_password: DockerRegistry,
    shipped: Package,
    no_credentials: Path,
) -> None:
    with faulty.running(by_password.port) as door:
        sign_in(no_credentials, door.host)
        with caller.connected(f"oci://{door.host}/{NAME}:1") as repository:
            ship(repository, package_cargo(shipped.path, repository), None)
        said = ["authorization" in each.headers for each in door.asked]
    assert said[0] is False
    assert said[-1] is True


def test_another_host_does_not_learn_who_asks(  # noqa: PLR0917 - by name
    caller: Caller,
    by_password: DockerRegistry,
    docker_registry: DockerRegistry,
    shipped: Package,
    no_credentials: Path,
    tmp_path: Path,
) -> None:
    """Blobs are elsewhere; to their place nothing is said, to the registry it is."""
    for server in (by_password, docker_registry):
        sign_in(no_credentials, server.host)
        package.push(shipped, f"oci://{server.host}/{NAME}")

    with faulty.running(by_password.port) as door, faulty.running(docker_registry.port) as other:

        def leads(way: faulty.Way, _answer: faulty.Answer) -> None:
            location = f"http://{other.host}{way.path}?signature=secret"
            way.send(faulty.Answer(307, {"Location": location}, b""))

        door.on("GET", "/blobs/", leads)
        sign_in(no_credentials, door.host)
        with caller.connected(f"oci://{door.host}/{NAME}:1", "pull") as repository:
            assert pull_from(repository, tmp_path / "pulled").digest == shipped.digest
        other.on("GET", "/blobs/", faulty.says(403))
        with (
            pytest.raises(RegistryAccessError) as refusal,
            caller.connected(f"oci://{door.host}/{NAME}:1", "pull") as repository,
        ):
            pull_from(repository, tmp_path / "again")
    assert other.asked
    assert not any("authorization" in each.headers for each in other.asked)
    assert any("authorization" in each.headers for each in door.of("GET", "/blobs/"))
    assert "signature" not in refusal.value.render()


def test_another_host_that_wants_to_know_is_not_told(
    caller: Caller,
    by_password: DockerRegistry,
    shipped: Package,
    no_credentials: Path,
    tmp_path: Path,
) -> None:
    with faulty.running(by_password.port) as door, faulty.running(by_password.port) as other:
        sign_in(no_credentials, door.host)
        with caller.connected(f"oci://{door.host}/{NAME}:1") as repository:
            ship(repository, package_cargo(shipped.path, repository), None)
        door.on("GET", "/blobs/", faulty.says(307, Location=f"http://{other.host}/v2/"))
        with (
            pytest.raises(RegistryAccessError),
            caller.connected(f"oci://{door.host}/{NAME}:1", "pull") as repository,
        ):
            pull_from(repository, tmp_path / "pulled")
    assert not any("authorization" in each.headers for each in other.asked)


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def by_tls(program: Callable[[str], str], authority: trustme.CA) -> Iterator[DockerRegistry]:
    """A registry that speaks TLS."""
    with place() as directory:
        leaf = authority.issue_cert("127.0.0.1")
        leaf.private_key_and_cert_chain_pem.write_to_path(directory / "server.pem")
        pem = str(directory / "server.pem")
        http = {"tls": {"certificate": pem, "key": pem}}
        with registries.running(program, http=http) as server:
            yield server


def test_a_registry_that_speaks_tls_is_trusted_by_the_systems_certificates(
    by_tls: DockerRegistry,
    authority: trustme.CA,
    shipped: Package,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    name = f"oci://{by_tls.host}/{NAME}"
    with pytest.raises(RegistryUnavailableError, match="CERTIFICATE_VERIFY_FAILED") as failure:
        package.push(shipped, name, plain_http=False)
    assert "SSL_CERT_FILE" in failure.value.render()
    authority.cert_pem.write_to_path(tmp_path / "authority.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "authority.pem"))
    assert package.push(shipped, name, plain_http=False).digest == shipped.digest


def test_a_redirect_to_tls_is_followed_to_whom_the_system_trusts_only(
    caller: Caller,
    docker_registry: DockerRegistry,
    by_tls: DockerRegistry,
    shipped: Package,
    tmp_path: Path,
) -> None:
    package.push(shipped, f"oci://{docker_registry.host}/{NAME}")
    with faulty.running(docker_registry.port) as door:
        door.on("GET", "/blobs/", faulty.says(307, Location=f"https://{by_tls.host}/v2/"))
        with (
            pytest.raises(RegistryUnavailableError, match="CERTIFICATE_VERIFY_FAILED"),
            caller.connected(f"oci://{door.host}/{NAME}:1", "pull") as repository,
        ):
            pull_from(repository, tmp_path / "pulled")


def test_a_registry_without_tls_is_named(by_password: DockerRegistry, tmp_path: Path) -> None:
    with pytest.raises(RegistryUnavailableError, match="no TLS with") as failure:
        package.pull(f"oci://{by_password.host}/{NAME}:1", tmp_path / "pulled", plain_http=False)
    assert "plain_http=True" in failure.value.render()


def test_a_registry_that_leads_from_tls_to_plain_http_is_refused(
    by_tls: DockerRegistry,
    authority: trustme.CA,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    authority.cert_pem.write_to_path(tmp_path / "authority.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "authority.pem"))
    with (
        connected(f"oci://{by_tls.host}/{NAME}:1", plain_http=False) as repository,
        pytest.raises(RegistryUnavailableError, match="not reached by TLS"),
    ):
        repository.wire.ask(Request("GET", f"http://{by_tls.host}/v2/", "looking"))
