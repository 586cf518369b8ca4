"""Whatever goes wrong while a package is pushed: it arrives, or the failure has a name."""

from __future__ import annotations

import io
import json
import random
from typing import TYPE_CHECKING, Any

import pytest

from shoal.errors import (
    CorruptPackageError,
    RegistryAccessError,
    RegistryError,
    RegistryUnavailableError,
)
from shoal.package._manifest import digest_of
from shoal.package._registry._documents import read_manifest
from shoal.package._registry._push import package_cargo, ship
from shoal.package._registry._referrers import list_referrers, referrers_tag
from shoal.package._registry._upload import upload
from tests.package.registry.conftest import INDEX, MANIFEST, NAME
from tests.services import faulty

if TYPE_CHECKING:
    from shoal.package import Package
    from tests.package.registry.conftest import Caller
    from tests.services.docker_registry import DockerRegistry
    from tests.services.faulty import Door
    from tests.services.go_registry import GoRegistry


def push(caller: Caller, door: Door, sealed: Package, tag: str) -> Any:
    with caller.connected(f"oci://{door.host}/tests/{tag}:1") as repository:
        return ship(repository, package_cargo(sealed.path, repository), None)


DATA = random.Random(0).randbytes(300_000)


@pytest.mark.parametrize("tenths", range(1, 10))
def test_an_upload_that_is_cut_goes_on_where_the_registry_says(
    caller: Caller, go_registry: GoRegistry, tenths: int
) -> None:
    kept_bytes = len(DATA) * tenths // 10
    data, told = bytes([tenths]) + DATA[1:], list[int]()
    with faulty.running(go_registry.port) as door:
        door.cut_upload(kept_bytes, is_kept=True)
        door.on("GET", "uploads", faulty.says(204, Range=f"0-{kept_bytes - 1}"))
        with caller.connected(f"oci://{door.host}/tests/uploads") as repository:
            upload(repository, digest_of(data), lambda: io.BytesIO(data), told.append)
            assert repository.has_blob(digest_of(data))
        first, second = (each.headers for each in door.of("PATCH"))
    assert "content-range" not in first
    assert second["content-range"] == f"{kept_bytes}-{len(data) - 1}"
    assert sum(told) == len(data)


def test_an_upload_is_sent_again_where_the_registry_cannot_say_how_far_it_came(
    caller: Caller, door: Door
) -> None:
    told: list[int] = []
    door.cut_upload(200_000)
    with caller.connected(f"oci://{door.host}/tests/uploads") as repository:
        upload(repository, digest_of(DATA), lambda: io.BytesIO(DATA), told.append)
        assert repository.has_blob(digest_of(DATA))
    assert [each.headers["content-length"] for each in door.of("PATCH")] == ["300000", "300000"]
    assert sum(told) == len(DATA)


def test_an_upload_that_is_always_cut_is_given_up(caller: Caller, door: Door) -> None:
    for _ in range(5):
        door.cut_upload(1000)
    data = DATA[::-1]
    with (
        pytest.raises(RegistryUnavailableError, match="broke off the connection"),
        caller.connected(f"oci://{door.host}/tests/uploads") as repository,
    ):
        upload(repository, digest_of(data), lambda: io.BytesIO(data))
    assert caller.slept_seconds == [0.5, 1.0, 2.0, 4.0]


def test_a_push_that_finds_the_registry_busy_goes_on(
    caller: Caller, door: Door, shipped: Package
) -> None:
    door.on("POST", "uploads", faulty.says(429, Retry_After="3"), times=1)
    door.on("PUT", "manifests", faulty.says(502), times=1)
    assert push(caller, door, shipped, "busy").digest == shipped.digest
    assert sorted(caller.slept_seconds) == [0.5, 3.0]


@pytest.mark.parametrize("status", [401, 403])
def test_a_push_that_is_not_allowed_is_named(
    caller: Caller, door: Door, shipped: Package, status: int
) -> None:
    door.on("POST", "uploads", faulty.says(status))
    with pytest.raises(RegistryAccessError, match="sending sha256:"):
        push(caller, door, shipped, f"refused-{status}")
    assert door.of("PUT", "manifests") == []


def test_a_blob_that_the_registry_finds_to_be_another_is_named(
    caller: Caller, door: Door, shipped: Package
) -> None:
    said = json.dumps({"errors": [{"code": "DIGEST_INVALID", "message": "no"}]}).encode()
    door.on("PUT", "uploads", faulty.says(400, said))
    with pytest.raises(CorruptPackageError, match="another digest"):
        push(caller, door, shipped, "digest")


def test_an_entry_that_another_one_overwrites_is_written_again(
    caller: Caller, door: Door, shipped: Package, docker_registry: DockerRegistry
) -> None:
    """The list under a tag is read and written: of two who do so at once one loses."""
    tag = referrers_tag(shipped.digest)
    empty = json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": []}).encode()

    def overwritten(way: faulty.Way, answer: faulty.Answer) -> None:
        with caller.connected(f"oci://{docker_registry.host}/tests/race") as other:
            other.put_manifest(tag, read_manifest(empty, INDEX, "an empty list"))
        way.send(answer)

    door.on("PUT", f"manifests/{tag}", overwritten, times=1)
    assert push(caller, door, shipped, "race").referrers == 2
    with caller.connected(f"oci://{docker_registry.host}/tests/race") as repository:
        assert len(list_referrers(repository, shipped.digest)) == 2


def test_a_list_that_is_always_overwritten_is_given_up(
    caller: Caller, door: Door, shipped: Package
) -> None:
    empty = json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": []}).encode()
    door.on("GET", "manifests/sha256-", faulty.says(200, empty, Content_Type=INDEX))
    with pytest.raises(RegistryError, match="others overwrite the list"):
        push(caller, door, shipped, "races")


@pytest.mark.parametrize(
    "answer",
    [
        faulty.says(400),
        faulty.says(405),
        faulty.says(406),
        faulty.says(501),
        faulty.says(200, b"<html>sign in</html>", Content_Type="text/html"),
    ],
    ids=["bad request", "no such method", "not acceptable", "not implemented", "a page"],
)
def test_a_registry_that_knows_nothing_of_referrers_may_say_so_in_any_way(
    caller: Caller, door: Door, shipped: Package, answer: faulty.Fault
) -> None:
    door.on("GET", "/referrers/", answer)
    with caller.connected(f"oci://{door.host}/{NAME}:1") as repository:
        assert len(list_referrers(repository, shipped.digest)) == 2
    assert caller.slept_seconds == []


def test_a_list_of_referrers_in_pages_is_followed(
    caller: Caller, door: Door, shipped: Package
) -> None:
    def page(number: int) -> bytes:
        entry = {"mediaType": MANIFEST, "digest": f"sha256:{number:064}", "size": 1}
        text = {"schemaVersion": 2, "mediaType": INDEX, "manifests": [entry]}
        return json.dumps(text).encode()

    following = '<?page=2>; rel="next"'
    door.on("GET", "/referrers/.*page=2", faulty.says(200, page(2), Content_Type=INDEX))
    door.on("GET", "/referrers/", faulty.says(200, page(1), Content_Type=INDEX, Link=following))
    with caller.connected(f"oci://{door.host}/{NAME}:1") as repository:
        assert len(list_referrers(repository, shipped.digest)) == 2


def test_something_else_under_the_tag_of_the_list_is_named(
    caller: Caller, door: Door, shipped: Package
) -> None:
    manifest = next(
        text
        for path in (shipped.path / "blobs" / "sha256").iterdir()
        if b'"schemaVersion"' in (text := path.read_bytes())
    )
    door.on("GET", "manifests/sha256-", faulty.says(200, manifest, Content_Type=MANIFEST))
    with pytest.raises(CorruptPackageError, match="no index of referrers"):
        push(caller, door, shipped, "taken")
