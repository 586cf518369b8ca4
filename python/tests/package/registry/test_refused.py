"""Bytes that are not those stated, and layers that lead outside: refused, and nothing is left."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from shoal.errors import (
    CorruptPackageError,
    RegistryError,
)
from shoal.package._manifest import digest_of
from tests.package.registry.conftest import MANIFEST, left_behind, model_blob, pulled
from tests.services import faulty

if TYPE_CHECKING:
    from pathlib import Path

    from shoal.package import Package
    from tests.package.registry.conftest import Caller
    from tests.services.docker_registry import DockerRegistry
    from tests.services.faulty import Door


def turned(data: bytes) -> bytes:
    return data[:-1] + bytes([data[-1] ^ 1])


@pytest.mark.parametrize(
    ("what", "change"),
    [
        ("blobs", turned),
        ("blobs", lambda data: data[:-1]),
        ("blobs", lambda data: data + b"?"),
        ("manifests/sha256", turned),
        ("manifests/sha256", lambda data: data[:-1]),
        ("manifests/sha256", lambda _: b"[" * 100_000),
    ],
    ids=["wrong blob", "short blob", "long blob", "wrong manifest", "short manifest", "nested"],
)
def test_other_bytes_than_stated_are_refused(
    caller: Caller, door: Door, tmp_path: Path, what: str, change: Any
) -> None:
    door.on("GET", what, faulty.changed(change))
    with pytest.raises(CorruptPackageError):
        pulled(caller, door, tmp_path / "pulled")
    assert caller.slept_seconds == []
    assert left_behind(tmp_path) == []


def test_a_blob_that_is_truncated_in_the_registry_is_refused(
    caller: Caller, docker_registry: DockerRegistry, door: Door, shipped: Package, tmp_path: Path
) -> None:
    digest, size_bytes = model_blob(shipped.path)
    kept = docker_registry.blob(digest)
    whole = kept.read_bytes()
    try:
        kept.write_bytes(whole[:1000])
        with pytest.raises(CorruptPackageError, match=f"1000 bytes there instead of {size_bytes}"):
            pulled(caller, door, tmp_path / "pulled")
    finally:
        kept.write_bytes(whole)
    assert left_behind(tmp_path) == []


def test_a_manifest_larger_than_any_is_not_read(caller: Caller, door: Door, tmp_path: Path) -> None:
    door.on("GET", "manifests/sha256", faulty.says(200, b" " * (5 * 1024 * 1024)))
    with pytest.raises(RegistryError, match="more than 4194304 bytes"):
        pulled(caller, door, tmp_path / "pulled")


def rewritten(shipped: Package, change: Any) -> dict[str, bytes]:
    """The manifest of a package with one thing changed, and the blobs by digest."""
    blobs = {
        f"sha256:{path.name}": path.read_bytes()
        for path in (shipped.path / "blobs" / "sha256").iterdir()
    }
    manifest = json.loads(blobs[shipped.digest])
    change(manifest, blobs)
    blobs["main"] = json.dumps(manifest).encode()
    return blobs


def climbs(manifest: dict[str, Any], _blobs: dict[str, bytes]) -> None:
    """A layer whose file lies outside."""
    manifest["layers"][0]["annotations"]["org.cncf.model.filepath"] = "models/double/1/../../../x"


def climbs_within(manifest: dict[str, Any], blobs: dict[str, bytes]) -> None:
    """A layer whose tar has a file outside."""
    layer = manifest["layers"][0]
    tar = blobs[layer["digest"]].replace(b"models/double/1/", b"../../../../../x")
    layer["digest"] = digest_of(tar)
    blobs[layer["digest"]] = tar


def climbs_by_digest(manifest: dict[str, Any], _blobs: dict[str, bytes]) -> None:
    """A layer whose blob has another name than a digest."""
    manifest["layers"][0]["digest"] = "sha256:../../../x"


@pytest.mark.parametrize("change", [climbs, climbs_within, climbs_by_digest])
def test_a_layer_that_leads_outside_is_refused(
    caller: Caller, door: Door, shipped: Package, tmp_path: Path, change: Any
) -> None:
    blobs = rewritten(shipped, change)

    def served(way: faulty.Way, answer: faulty.Answer) -> None:
        data = blobs.get(way.path.rpartition("/")[2], answer.body)
        way.send(faulty.Answer(200, {"Content-Type": MANIFEST}, data))

    digest = digest_of(blobs["main"])
    blobs[digest] = blobs["main"]
    door.on("GET", "manifests/sha256:|blobs/sha256:", served)
    (tmp_path / "in").mkdir()
    with pytest.raises(CorruptPackageError):
        pulled(caller, door, tmp_path / "in" / "pulled", f"@{digest}")
    assert left_behind(tmp_path) == ["in"]
    assert left_behind(tmp_path / "in") == []


def test_an_attestation_that_is_not_what_it_says_is_refused(
    caller: Caller, door: Door, shipped: Package, tmp_path: Path
) -> None:
    stated = shipped.attestations()[0].digest
    door.on("GET", f"manifests/{stated}", faulty.changed(turned))
    with pytest.raises(CorruptPackageError):
        pulled(caller, door, tmp_path / "pulled")
    assert left_behind(tmp_path) == []
