"""Sends packages to a registry.

- Both manifests are stored over the same blobs: the image under TAG, the ModelPack artifact under
  TAG-modelpack; every attestation is stored as what refers to the image.
- Blobs that are there are not sent. Tags come last: who finds one finds all that it names.
- Only a package that opens is sent.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from shoal.errors import InvalidRequestError
from shoal.package._blobs import blob_path, opened
from shoal.package._names import MODELPACK_SUFFIX
from shoal.package._package import Package
from shoal.package._read import read_layout
from shoal.package._registry._crew import Meter, together
from shoal.package._registry._documents import MANIFEST, Descriptor, Manifest, read_manifest
from shoal.package._registry._referrers import attach_manifest
from shoal.package._registry._repository import connected
from shoal.package._registry._upload import upload

if TYPE_CHECKING:
    from collections.abc import Sequence
    from os import PathLike

    from shoal.package._registry._crew import Progress
    from shoal.package._registry._repository import Repository

_TAG_LIMIT = 128


class Pushed(msgspec.Struct, frozen=True):
    """What a push did.

    Attributes:
        registry: The host, and the port where one is given.
        repository: The name below it.
        tag: The tag that names the manifest now.
        digest: The manifest's digest.
        sent_bytes: The bytes of blobs that were not there.
        sent_blobs: How many blobs that were.
        referrers: How many manifests came along that refer to another one.
    """

    registry: str
    repository: str
    tag: str
    digest: str
    sent_bytes: int
    sent_blobs: int
    referrers: int


@dataclass(frozen=True)
class Cargo:
    """What is to be sent.

    Attributes:
        root: The layout that holds the blobs.
        blobs: Those, each once.
        manifests: What lists them, and what refers to one of them; what another one lists comes
            before it.
        tags: Which digest each tag is to name, in this order; the last is the main one.
    """

    root: Path
    blobs: Sequence[Descriptor]
    manifests: Sequence[Manifest]
    tags: Sequence[tuple[str, Manifest]]


def push(
    package: str | PathLike[str] | Package,
    reference: str,
    *,
    progress: Progress | None = None,
    plain_http: bool | None = None,
) -> Pushed:
    """Sends a package to a registry; blobs that are there are not sent again.

    Args:
        package: The package, or its directory.
        reference: `oci://HOST[:PORT]/NAME[:TAG]`; without a tag it is the package's version.
        progress: Is given the bytes that are done and those there are, by one thread at a time.
        plain_http: Whether HTTP is spoken without TLS; by default with this machine only.

    Returns:
        What was sent, and under which digest.

    Raises:
        InvalidRequestError: the reference names no tag that a package can have.
        PathError: there is nothing at the path.
        CorruptPackageError: it is not, byte for byte, a package of a model.
        RegistryError: the registry refuses, or cannot be reached.
    """
    with connected(reference, actions="pull,push", plain_http=plain_http) as repository:
        root = package.path if isinstance(package, Package) else Path(package)
        return ship(repository, package_cargo(root, repository), progress)


def package_cargo(root: Path, repository: Repository) -> Cargo:
    """What a package in a directory is sent as."""
    layout = read_layout(root)
    tag = tag_of(repository, layout.description.version)
    if tag.endswith(MODELPACK_SUFFIX) or len(tag) + len(MODELPACK_SUFFIX) > _TAG_LIMIT:
        limit = _TAG_LIMIT - len(MODELPACK_SUFFIX)
        hint = f"Use at most {limit} letters, not ending in {MODELPACK_SUFFIX}."
        raise InvalidRequestError(f"{tag!r} cannot be the tag of a package", hint=hint)
    texts = (layout.documents.image_manifest, layout.documents.modelpack_manifest)
    image, modelpack = (read_manifest(text, MANIFEST, "a manifest") for text in texts)
    referrers = [read_manifest(text, MANIFEST, "one") for _, text in layout.attestations]
    return Cargo(
        root=root,
        blobs=blobs_of([image, modelpack, *referrers]),
        manifests=[modelpack, image, *referrers],
        tags=[(tag + MODELPACK_SUFFIX, modelpack), (tag, image)],
    )


def tag_of(repository: Repository, otherwise: str) -> str:
    """The tag that something is pushed under.

    Raises:
        InvalidRequestError: the reference has a digest.
    """
    reference = repository.reference
    if reference.digest is not None:
        message = f"{reference} names a digest; what is pushed has one of its own"
        raise InvalidRequestError(message, hint="Leave out @sha256:...")
    return reference.tag or otherwise


def blobs_of(manifests: Sequence[Manifest]) -> list[Descriptor]:
    """The blobs that manifests list, each once."""
    found = [blob for each in manifests for blob in each.document.blobs()]
    return list({each.digest: each for each in found}.values())


def ship(repository: Repository, cargo: Cargo, progress: Progress | None) -> Pushed:
    """Sends blobs, then what lists them and what refers to it, then the tags."""
    meter = Meter(sum(each.size for each in cargo.blobs), progress)
    jobs = [partial(_send, repository, cargo.root, each, meter) for each in cargo.blobs]
    sent_bytes = [each for each in together(repository.wire, jobs) if each is not None]
    for manifest in cargo.manifests:
        if manifest.document.subject is None:
            _name(repository, manifest.digest, manifest)
        else:
            attach_manifest(repository, manifest)
    for tag, manifest in cargo.tags:
        _name(repository, tag, manifest)
    reference, (tag, main) = repository.reference, cargo.tags[-1]
    return Pushed(
        registry=reference.registry,
        repository=reference.repository,
        tag=tag,
        digest=main.digest,
        sent_bytes=sum(sent_bytes),
        sent_blobs=len(sent_bytes),
        referrers=sum(each.document.subject is not None for each in cargo.manifests),
    )


def _send(repository: Repository, root: Path, blob: Descriptor, meter: Meter) -> int | None:
    """Gives the bytes that were sent; None for a blob that was there."""
    repository.wire.check()
    if repository.has_blob(blob.digest):
        meter.add(blob.size)
        return None
    path = blob_path(root, blob.digest)
    upload(repository, blob.digest, lambda: opened(path), meter.add)
    return blob.size


def _name(repository: Repository, name: str, manifest: Manifest) -> None:
    if repository.digest_of_tag(name) != manifest.digest:
        repository.put_manifest(name, manifest)
