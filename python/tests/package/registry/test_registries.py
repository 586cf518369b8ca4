"""Packages to real registries and back: one that lists referrers, and one that does not."""

from __future__ import annotations

import hashlib
import json
import subprocess
import tracemalloc
from typing import TYPE_CHECKING, Any

import pytest

from shoal import package
from shoal.errors import (
    CorruptPackageError,
    InvalidRequestError,
    PathError,
    RegistryNotFoundError,
    StorageError,
)
from shoal.package._registry._documents import Descriptor
from shoal.package._registry._download import Places, download
from shoal.package._registry._referrers import attach, list_referrers, referrers_tag
from shoal.package._registry._upload import upload
from tests.package.registry.conftest import build

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from shoal.package import Package
    from tests.package.registry.conftest import Caller
    from tests.services.docker_registry import DockerRegistry


@pytest.fixture(params=["docker", "go"])
def host(request: pytest.FixtureRequest) -> str:
    """A registry without, and one with a list of referrers."""
    found: str = request.getfixturevalue(f"{request.param}_registry").host
    return found


@pytest.fixture
def name(host: str, tmp_path: Path) -> str:
    """A repository of this test."""
    return f"oci://{host}/tests/{tmp_path.name.strip('_').replace('_', '-')}"


def content(root: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()
    }


def test_a_package_comes_back_byte_by_byte(name: str, shipped: Package, tmp_path: Path) -> None:
    pushed = package.push(shipped, name)
    assert (pushed.tag, pushed.digest, pushed.referrers) == ("1", shipped.digest, 2)
    pulled = package.pull(f"{name}:1", tmp_path / "pulled")
    assert content(pulled.path) == content(shipped.path)
    assert pulled == package.open(tmp_path / "pulled")
    assert pulled.attached("report.html") == b"<p>good</p>"
    assert [path.name for path in tmp_path.iterdir()] == ["pulled"]


def test_the_second_push_sends_no_blob(name: str, shipped: Package) -> None:
    first, second = package.push(shipped.path, name), package.push(shipped.path, name)
    assert (second.sent_bytes, second.sent_blobs) == (0, 0)
    assert second.digest == first.digest == shipped.digest


def test_a_version_sends_only_what_is_new(
    docker_registry: Any, shipped: Package, following: Package, tmp_path: Path
) -> None:
    name = f"oci://{docker_registry.host}/tests/versions"
    first, second = package.push(shipped, name), package.push(following, name)
    assert first.sent_blobs == len(_blobs(shipped))
    assert second.sent_blobs == len(_blobs(following) - _blobs(shipped)) < first.sent_blobs
    assert package.pull(f"{name}:1", tmp_path / "one").digest == shipped.digest
    assert package.pull(f"{name}:2", tmp_path / "two").digest == following.digest


def _blobs(sealed: Package) -> set[str]:
    """What is no manifest."""
    files = (sealed.path / "blobs" / "sha256").iterdir()
    return {path.name for path in files if b'"schemaVersion"' not in path.read_bytes()}


def test_a_tag_may_be_chosen_and_a_digest_named(
    name: str, shipped: Package, tmp_path: Path
) -> None:
    package.push(shipped, f"{name}:stable")
    resolved = package.resolve(f"{name}:stable")
    assert (resolved.tag, resolved.digest) == ("stable", shipped.digest)
    by_digest = f"{name}@{shipped.digest}"
    assert package.resolve(by_digest).digest == shipped.digest
    assert package.pull(by_digest, tmp_path / "pulled").digest == shipped.digest
    with pytest.raises(RegistryNotFoundError, match="the tag 1"):
        package.resolve(f"{name}:1")


def test_both_manifests_are_there(name: str, shipped: Package, caller: Caller) -> None:
    package.push(shipped, name)
    with caller.connected(name) as repository:
        image, modelpack = repository.manifest("1"), repository.manifest("1-modelpack")
    assert image.digest == shipped.digest
    assert modelpack.document.artifactType == "application/vnd.cncf.model.manifest.v1+json"
    layers = [[layer.digest for layer in each.document.layers] for each in (image, modelpack)]
    assert layers[0] == layers[1]


def test_attestations_refer_to_the_image(name: str, shipped: Package, caller: Caller) -> None:
    package.push(shipped, name)
    with caller.connected(name) as repository:
        found = list_referrers(repository, shipped.digest)
        assert list_referrers(repository, "sha256:" + "0" * 64) == ()
    assert {each.digest for each in found} == {each.digest for each in shipped.attestations()}
    kinds = [(each.annotations or {})["io.shoal.attestation.kind"] for each in found]
    assert sorted(kinds) == ["metrics", "report"]


def test_what_is_stated_later_is_brought_to_either_side(name: str, tmp_path: Path) -> None:
    built = build(tmp_path / "built", "3")
    package.push(built, name)
    pulled = package.pull(f"{name}:3", tmp_path / "pulled")
    built.attest("metrics", {"accuracy": 0.6})
    again = package.push(tmp_path / "built", name)
    assert (again.sent_blobs, again.referrers) == (1, 3)
    joined = package.pull(f"{name}:3", tmp_path / "pulled")
    assert joined.path == pulled.path
    assert len(joined.attestations()) == 3
    assert content(joined.path) == content(tmp_path / "built")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["built", "pulled"]


def test_what_others_attach_is_listed_and_left_alone(
    name: str, shipped: Package, caller: Caller, tmp_path: Path
) -> None:
    package.push(shipped, name)
    signature = b'{"signed":true}'
    with caller.connected(name) as repository:
        image = repository.manifest("1").described()
        foreign = _foreign(image.digest, image.size, signature)
        digest = attach(repository, foreign, [b"{}", signature])
        assert attach(repository, foreign, [b"{}", signature]) == digest
        found = list_referrers(repository, shipped.digest)
        assert [each.digest for each in found].count(digest) == 1
        assert len(found) == 3
        stored = repository.manifest(digest)
        assert stored.data == foreign
        assert repository.blob(stored.document.layers[0], 1000) == signature
    pulled = package.pull(f"{name}:1", tmp_path / "pulled")
    assert content(pulled.path) == content(shipped.path)


def _foreign(digest: str, size_bytes: int, signature: bytes) -> bytes:
    """An artifact of another program that refers to a manifest."""
    import hashlib

    def described(kind: str, data: bytes) -> dict[str, Any]:
        stated = f"sha256:{hashlib.sha256(data).hexdigest()}"
        return {"mediaType": kind, "digest": stated, "size": len(data)}

    manifest = "application/vnd.oci.image.manifest.v1+json"
    return json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": manifest,
            "artifactType": "application/vnd.example.signature",
            "config": described("application/vnd.oci.empty.v1+json", b"{}"),
            "layers": [described("application/vnd.example.signature", signature)],
            "subject": {"mediaType": manifest, "digest": digest, "size": size_bytes},
            "annotations": {"org.example.key": "one"},
        },
        indent=2,
    ).encode()


def test_a_registry_without_a_list_keeps_it_under_a_tag(
    docker_registry: Any, shipped: Package, caller: Caller
) -> None:
    name = f"oci://{docker_registry.host}/tests/listed"
    package.push(shipped, name)
    with caller.connected(name) as repository:
        index = repository.manifest(referrers_tag(shipped.digest))
    entries = json.loads(index.data)["manifests"]
    assert index.media_type == "application/vnd.oci.image.index.v1+json"
    assert {entry["digest"] for entry in entries} == {
        each.digest for each in shipped.attestations()
    }
    kinds = {
        entry["artifactType"]: entry["annotations"]["io.shoal.attestation.kind"]
        for entry in entries
    }
    assert kinds == {
        "application/vnd.shoal.metrics.v1+json": "metrics",
        "application/vnd.shoal.report.v1+json": "report",
    }


def test_a_registry_with_a_list_gets_no_tag_for_it(
    go_registry: Any, shipped: Package, caller: Caller
) -> None:
    name = f"oci://{go_registry.host}/tests/listed"
    package.push(shipped, name)
    with caller.connected(name) as repository:
        assert repository.digest_of_tag(referrers_tag(shipped.digest)) is None


def test_skopeo_reads_what_was_pushed(
    name: str, shipped: Package, program: Callable[[str], str], tmp_path: Path
) -> None:
    package.push(shipped, name)
    there = f"docker://{name.removeprefix('oci://')}:1"
    skopeo = program("skopeo")
    command = [skopeo, "inspect", "--tls-verify=false", there]
    told = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    assert told["Digest"] == shipped.digest
    copied = tmp_path / "copied"
    command = [skopeo, "copy", "--src-tls-verify=false", "--preserve-digests", "-q"]
    subprocess.run([*command, there, f"dir:{copied}"], check=True)
    for path in copied.iterdir():
        if path.name not in {"manifest.json", "version"}:
            assert path.read_bytes() == (shipped.path / "blobs" / "sha256" / path.name).read_bytes()


def test_what_skopeo_copies_can_be_pulled(
    name: str, shipped: Package, program: Callable[[str], str], tmp_path: Path
) -> None:
    """One of two manifests, and no attestation: the rest follows from the files."""
    there = f"docker://{name.removeprefix('oci://')}:1"
    command = [program("skopeo"), "copy", "--dest-tls-verify=false", "--preserve-digests", "-q"]
    subprocess.run([*command, f"oci:{shipped.path}:1", there], check=True)
    pulled = package.pull(f"{name}:1", tmp_path / "pulled")
    assert pulled.digest == shipped.digest
    assert pulled.attestations() == ()


def test_a_target_that_holds_something_else_is_refused_before_anything_is_fetched(
    name: str, shipped: Package, following: Package, tmp_path: Path
) -> None:
    package.push(shipped, name)
    package.push(following, name)
    target = tmp_path / "pulled"
    package.pull(f"{name}:1", target)
    before = content(target)
    with pytest.raises(StorageError, match=following.digest):
        package.pull(f"{name}:2", target)
    assert content(target) == before
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "file").write_text("mine", "utf-8")
    with pytest.raises(StorageError, match="something else"):
        package.pull(f"{name}:1", tmp_path / "other")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["other", "pulled"]
    (tmp_path / "empty").mkdir()
    assert package.pull(f"{name}:1", tmp_path / "empty").digest == shipped.digest


def test_a_tag_moves_on(name: str, shipped: Package, following: Package, tmp_path: Path) -> None:
    package.push(shipped, f"{name}:latest")
    package.push(following, f"{name}:latest")
    assert package.pull(f"{name}:latest", tmp_path / "pulled").digest == following.digest


def test_what_is_no_package_is_named(name: str, shipped: Package, tmp_path: Path) -> None:
    package.push(shipped, name)
    with pytest.raises(CorruptPackageError, match="ModelPack") as refusal:
        package.pull(f"{name}:1-modelpack", tmp_path / "pulled")
    assert "without -modelpack" in refusal.value.render()
    with pytest.raises(InvalidRequestError, match="neither a tag nor a digest"):
        package.pull(name, tmp_path / "pulled")
    with pytest.raises(RegistryNotFoundError, match="the tag 9"):
        package.pull(f"{name}:9", tmp_path / "pulled")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("tag", ["1-modelpack", "x" * 119])
def test_a_tag_that_no_package_can_have_is_refused(
    docker_registry: Any, shipped: Package, tag: str
) -> None:
    with pytest.raises(InvalidRequestError, match="cannot be the tag of a package"):
        package.push(shipped, f"oci://{docker_registry.host}/tests/tags:{tag}")


def test_only_a_package_that_opens_is_pushed(docker_registry: Any, tmp_path: Path) -> None:
    name = f"oci://{docker_registry.host}/tests/damaged"
    with pytest.raises(PathError):
        package.push(tmp_path / "absent", name)
    with pytest.raises(InvalidRequestError, match="names a digest"):
        package.push(build(tmp_path / "whole", "4"), f"{name}@sha256:{'0' * 64}")
    built = build(tmp_path / "built", "4")
    blob = max((built.path / "blobs" / "sha256").iterdir(), key=lambda each: each.stat().st_size)
    blob.write_bytes(blob.read_bytes()[:-1] + b"?")
    with pytest.raises(CorruptPackageError):
        package.push(built, name)
    with pytest.raises(RegistryNotFoundError):
        package.resolve(f"{name}:4")


def test_a_blob_is_never_held_whole(
    docker_registry: DockerRegistry, caller: Caller, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    size_bytes = 48 * 1024 * 1024
    with data.open("wb") as file:
        for number in range(48):
            file.write(bytes([number]) * (1024 * 1024))
    with data.open("rb") as file:
        digest = f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"
    tracemalloc.start()
    try:
        with caller.connected(f"oci://{docker_registry.host}/tests/large") as repository:
            upload(repository, digest, lambda: data.open("rb"))
            places = Places(tmp_path / "whole", tmp_path / "part")
            download(repository, Descriptor("", digest, size_bytes), places)
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert places.whole.stat().st_size == size_bytes
    assert peak_bytes < size_bytes // 3


def test_progress_is_told_by_bytes(docker_registry: Any, shipped: Package, tmp_path: Path) -> None:
    name = f"oci://{docker_registry.host}/tests/progress"
    for move in (
        lambda told: package.push(shipped, name, progress=told),
        lambda told: package.push(shipped, name, progress=told),
        lambda told: package.pull(f"{name}:1", tmp_path / "pulled", progress=told),
    ):
        told: list[tuple[int, int]] = []
        move(lambda done, total, told=told: told.append((done, total)))
        assert {total for _, total in told} == {told[-1][0]}
        assert told == sorted(told)
