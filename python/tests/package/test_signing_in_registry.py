"""Signatures go to a registry and come back, and what comes from there is kept by its digest."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from shoal import package
from shoal.errors import CorruptPackageError, RegistryNotFoundError, SignatureError
from tests.end_to_end.driver import ask

if TYPE_CHECKING:
    from pathlib import Path

    from shoal.package import Package
    from tests.package.keys import Pair
    from tests.services.docker_registry import DockerRegistry
    from tests.services.go_registry import GoRegistry


MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
BUNDLE = "application/vnd.dev.sigstore.bundle.v0.3+json"


@pytest.fixture(params=["docker_registry", "go_registry"])
def registry(request: pytest.FixtureRequest) -> DockerRegistry | GoRegistry:
    """One that lists no referrers, and one that does."""
    found: DockerRegistry | GoRegistry = request.getfixturevalue(request.param)
    return found


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The packages of this test alone are kept there."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "shoal" / "packages"


def test_a_package_is_signed_in_a_registry_and_only_the_signature_is_sent(
    registry: DockerRegistry | GoRegistry, sealed: Package, ann: Pair, ben: Pair, tmp_path: Path
) -> None:
    name = f"oci://{registry.host}/signed:1"
    package.push(sealed, name)
    signed = package.sign_pushed(name, ann.private)
    assert signed.package == package.resolve(name).digest == sealed.digest
    assert package.sign_pushed(name, ann.private) == signed
    pulled = package.pull(name, tmp_path / "pulled")
    assert package.verify_signature(pulled, ann.public) == signed
    with pytest.raises(SignatureError, match="is not signed by the key"):
        package.verify_signature(pulled, ben.public)
    path = f"/v2/signed/manifests/{signed.attestation}"
    manifest = ask(registry.host, "GET", path, headers={"Accept": MANIFEST}).json()
    assert (manifest["artifactType"], manifest["subject"]["digest"]) == (BUNDLE, sealed.digest)


def test_a_signature_is_listed_by_tag_as_cosign_looks_for_it(
    docker_registry: DockerRegistry, sealed: Package, ann: Pair
) -> None:
    signed = package.sign(sealed, ann.private)
    package.push(sealed, f"oci://{docker_registry.host}/listed:1")
    path = f"/v2/listed/manifests/{sealed.digest.replace(':', '-')}"
    index = ask(docker_registry.host, "GET", path, headers={"Accept": INDEX}).json()
    (listed,) = (each for each in index["manifests"] if each["digest"] == signed.attestation)
    assert listed["artifactType"] == BUNDLE
    assert listed["annotations"]["dev.sigstore.bundle.content"] == "dsse-envelope"


def test_what_is_fetched_is_kept_by_its_digest_and_opened_without_a_registry(
    docker_registry: DockerRegistry, sealed: Package, cache: Path
) -> None:
    name = f"oci://{docker_registry.host}/kept"
    package.push(sealed, f"{name}:1")
    fetched = package.fetch(f"{name}:1")
    assert fetched.path == cache / sealed.digest.replace(":", "-")
    docker_registry.stop()
    try:
        assert package.fetch(f"{name}@{sealed.digest}").digest == sealed.digest
    finally:
        docker_registry.start()


def test_a_signature_made_since_is_looked_for_before_a_package_is_refused(
    docker_registry: DockerRegistry, sealed: Package, ann: Pair
) -> None:
    name = f"oci://{docker_registry.host}/later:1"
    package.push(sealed, name)
    key = package.read_public_key(ann.public)
    with pytest.raises(SignatureError, match="is not signed"):
        package.fetch(name, key=key)
    package.sign(sealed, ann.private)
    package.push(sealed, name)
    assert package.verify_signature(package.fetch(name, key=key), key).key == key.fingerprint


def test_what_is_damaged_where_it_is_kept_is_refused_with_the_remedy(
    docker_registry: DockerRegistry, sealed: Package, other: Package
) -> None:
    name = f"oci://{docker_registry.host}/damaged:1"
    package.push(sealed, name)
    place = package.fetch(name).path
    index = place / "index.json"
    index.write_bytes(index.read_bytes()[:-1])
    with pytest.raises(CorruptPackageError, match=r"was kept at .* is damaged") as caught:
        package.fetch(name)
    assert "Remove it" in str(caught.value.hint)
    shutil.rmtree(place)
    shutil.copytree(other.path, place)
    with pytest.raises(CorruptPackageError, match=f"holds the package {other.digest}"):
        package.fetch(name)
    shutil.rmtree(place)
    assert package.fetch(name).digest == sealed.digest


def test_a_tag_that_moves_is_another_package(
    docker_registry: DockerRegistry, sealed: Package, other: Package, ann: Pair
) -> None:
    name = f"oci://{docker_registry.host}/moving:latest"
    package.push(sealed, name)
    package.sign_pushed(name, ann.private)
    package.push(other, name)
    assert package.fetch(name).digest == other.digest
    with pytest.raises(SignatureError, match="the package double 2 is not signed"):
        package.fetch(name, key=package.read_public_key(ann.public))


def test_a_signature_of_another_package_in_the_registry_is_none_of_this_one(
    docker_registry: DockerRegistry, sealed: Package, other: Package, ann: Pair
) -> None:
    package.sign(other, ann.private)
    (signature,) = package.open(other.path).attestations()
    sealed.attest("signature", signature.document)
    name = f"oci://{docker_registry.host}/swapped:1"
    package.push(package.open(sealed.path), name)
    with pytest.raises(SignatureError, match=f"it signs the package {other.digest}"):
        package.fetch(name, key=package.read_public_key(ann.public))


def test_what_a_registry_lacks_is_not_signed(docker_registry: DockerRegistry, ann: Pair) -> None:
    with pytest.raises(RegistryNotFoundError):
        package.sign_pushed(f"oci://{docker_registry.host}/nothing:1", ann.private)
