"""What a registry that means ill, or is broken, says: each has a name, and no secret is told."""

from __future__ import annotations

import socket
from threading import Thread
from typing import TYPE_CHECKING

import pytest

from shoal.errors import RegistryError, RegistryUnavailableError
from shoal.package._registry._push import package_cargo, ship
from shoal.package._registry._repository import connected
from shoal.package._registry._wire import Request
from tests.package.registry.conftest import NAME, left_behind, pulled
from tests.services import faulty

if TYPE_CHECKING:
    from pathlib import Path

    from shoal.package import Package
    from tests.package.registry.conftest import Caller
    from tests.services.faulty import Door

NO_ADDRESSES = [
    "http://[::1/x?secret",
    "http://r.example:secret/x",
    "http://r.example:99999/secret",
]


@pytest.mark.parametrize("place", NO_ADDRESSES)
def test_a_redirect_to_what_is_no_address_is_refused(
    caller: Caller, door: Door, tmp_path: Path, place: str
) -> None:
    door.on("GET", "/blobs/", faulty.says(307, Location=place))
    with pytest.raises(RegistryError, match="leads to what is no address") as refusal:
        pulled(caller, door, tmp_path / "pulled")
    assert "secret" not in refusal.value.render()
    assert left_behind(tmp_path) == []


@pytest.mark.parametrize("place", NO_ADDRESSES)
def test_an_upload_to_what_is_no_address_is_refused(
    caller: Caller, door: Door, shipped: Package, place: str
) -> None:
    door.on("POST", "/uploads/", faulty.says(202, Location=place))
    with (
        pytest.raises(RegistryError, match="leads to what is no address"),
        caller.connected(f"oci://{door.host}/tests/elsewhere:1") as repository,
    ):
        ship(repository, package_cargo(shipped.path, repository), None)


@pytest.mark.parametrize("realm", NO_ADDRESSES)
def test_tokens_from_what_is_no_address_are_not_fetched(
    caller: Caller, door: Door, tmp_path: Path, realm: str
) -> None:
    challenge = f'Bearer realm="{realm}",service="a registry"'
    door.on("HEAD", "manifests", faulty.says(401, WWW_Authenticate=challenge))
    with pytest.raises(RegistryError, match="fetching a token: the registry leads to"):
        pulled(caller, door, tmp_path / "pulled")


def test_a_list_of_referrers_that_leads_to_what_is_no_address_is_refused(
    caller: Caller, door: Door, tmp_path: Path
) -> None:
    page = b'{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json"}'
    link = '<http://[::1/next>; rel="next"'
    kind = "application/vnd.oci.image.index.v1+json"
    door.on("GET", "/referrers/", faulty.says(200, page, Link=link, Content_Type=kind))
    with pytest.raises(RegistryError, match="listing referrers: the registry leads to"):
        pulled(caller, door, tmp_path / "pulled")


def test_what_is_refused_elsewhere_names_the_registry_to_sign_in_with(
    caller: Caller, door: Door, tmp_path: Path
) -> None:
    with faulty.running(door.port) as other:
        other.on("GET", "/blobs/", faulty.says(403))
        place = f"http://user:secret@{other.host}/v2/{NAME}/blobs/x"
        door.on("GET", "/blobs/", faulty.says(307, Location=place))
        with pytest.raises(RegistryError) as refusal:
            pulled(caller, door, tmp_path / "pulled")
    assert f"docker login {door.host}`" in refusal.value.render()
    assert "secret" not in refusal.value.render()


def test_what_is_said_of_a_request_holds_no_secret() -> None:
    request = Request("GET", "/", "asking", {"Authorization": "Basic secret"}, b"secret")
    assert "secret" not in repr(request)


def test_a_connection_that_ends_before_tls_is_spoken_is_tried_again(caller: Caller) -> None:
    """A balancer whose servers start anew, for one: this says nothing about its certificate."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def hang_up() -> None:
            for _ in range(5):
                connection, _ = server.accept()
                connection.recv(1 << 16)
                connection.close()

        thread = Thread(target=hang_up)
        thread.start()
        host = f"127.0.0.1:{server.getsockname()[1]}"
        with (
            pytest.raises(RegistryUnavailableError, match="broke off the connection"),
            connected(
                f"oci://{host}/a:1", plain_http=False, sleep=caller.slept_seconds.append
            ) as repository,
        ):
            repository.resolve()
        thread.join()
    assert len(caller.slept_seconds) == 4


def test_a_host_that_no_name_server_takes_is_refused_at_once(caller: Caller) -> None:
    with (
        pytest.raises(RegistryUnavailableError, match="leads to what is no address"),
        caller.connected(f"oci://{'a' * 64}.example/a:1") as repository,
    ):
        repository.resolve()
    assert caller.slept_seconds == []
