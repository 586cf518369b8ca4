"""Moves any image between a registry and an OCI image layout on disk.

- An index takes along all manifests and blobs that it lists; or, of a platform, one image.
- What refers to a manifest that is pushed, and stands in the same layout, is pushed as well, and
  what refers to that; whether an index lists it or not, it is listed among the referrers.
- Every blob is verified, also one that the layout held before: a layout is a cache that can be
  trusted by its digests. `index.json` is written last, in one step.
- A blob that other programs keep under an address of their own is not fetched from there.

Source: OCI image layout specification 1.1.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from shoal.errors import CorruptPackageError, InvalidRequestError, PathError, RegistryNotFoundError
from shoal.package import _blobs, _manifest
from shoal.package._registry._crew import Meter, together
from shoal.package._registry._documents import (
    INDEX,
    INDEXES,
    MANIFESTS,
    Descriptor,
    Manifest,
    Platform,
    read_manifest,
)
from shoal.package._registry._download import Places, download
from shoal.package._registry._push import Cargo, Pushed, blobs_of, ship, tag_of
from shoal.package._registry._repository import connected
from shoal.package._registry._staging import check_space, staged
from shoal.package._write import flush, flushed_file
from shoal.runtime import canonical_json

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Sequence
    from os import PathLike

    from shoal.package._registry._crew import Progress
    from shoal.package._registry._reference import Resolved
    from shoal.package._registry._repository import Repository

MANIFESTS_LIMIT = 1000
"""So many manifests may one image have in all."""
_DEPTH_LIMIT = 3
_CONFIG_LIMIT_BYTES = _blobs.DOCUMENT_LIMIT_BYTES


def push_layout(
    layout: str | PathLike[str],
    reference: str,
    *,
    progress: Progress | None = None,
    plain_http: bool | None = None,
) -> Pushed:
    """Sends an image, or an index of images, to a registry.

    Of a layout that lists several, the one is sent that has the tag as its
    `org.opencontainers.image.ref.name`; one whose entries all name platforms is an index itself.

    Args:
        layout: A directory that is an OCI image layout.
        reference: `oci://HOST[:PORT]/NAME:TAG`.
        progress: Is given the bytes that are done and those there are, by one thread at a time.
        plain_http: Whether HTTP is spoken without TLS; by default with this machine only.

    Raises:
        InvalidRequestError: it is not clear what is to be sent, or under which tag.
        PathError: there is no layout.
        CorruptPackageError: a blob has not the digest or size that is stated.
        RegistryError: the registry refuses, or cannot be reached.
    """
    with connected(reference, actions="pull,push", plain_http=plain_http) as repository:
        return ship(repository, layout_cargo(Path(layout), repository), progress)


def layout_cargo(root: Path, repository: Repository) -> Cargo:
    """What a layout is sent as."""
    index = _read_index(root)
    tag = tag_of(repository, "")
    if not tag:
        message = f"{repository.reference} names no tag to push to"
        raise InvalidRequestError(message, hint=f"For example {repository.reference}:1.")
    main = _chosen(root, index, tag)
    manifests = _with_referrers(root, index, _tree(main, partial(_held_manifest, root)))
    blobs = blobs_of(manifests)
    for blob in blobs:
        _check_held(root, blob)
    return Cargo(root, blobs, manifests, [(tag, main)])


def pull_layout(
    reference: str,
    layout: str | PathLike[str],
    *,
    platform: str | None = None,
    progress: Progress | None = None,
    plain_http: bool | None = None,
) -> Resolved:
    """Fetches an image, or an index of images, into an OCI image layout.

    Args:
        reference: `oci://HOST[:PORT]/NAME:TAG`, or `...@sha256:...`.
        layout: The directory; what it holds already is not fetched again, and other images stay.
        platform: Of an index, only the image for this: `linux/amd64`, `linux/arm64/v8`; the index
            itself is kept as a blob, which the layout does not list.
        progress: Is given the bytes that are done and those there are, by one thread at a time.
        plain_http: Whether HTTP is spoken without TLS; by default with this machine only.

    Returns:
        What the reference named; its digest is that of the manifest that the layout lists.

    Raises:
        InvalidRequestError: the reference is none.
        RegistryNotFoundError: there is no such image, or none for the platform.
        RegistryError: the registry refuses, or cannot be reached.
        CorruptPackageError: what came has not the digest or the size that is stated.
        StorageError: the layout cannot be written.
    """
    with connected(reference, plain_http=plain_http) as repository:
        return pull_layout_from(repository, Path(layout), platform, progress)


def pull_layout_from(
    repository: Repository,
    root: Path,
    platform: str | None = None,
    progress: Progress | None = None,
) -> Resolved:
    """Fetches what the repository's reference names; see `pull_layout`."""
    resolved = repository.resolve()
    named = main = repository.manifest(resolved.digest)
    if platform is not None:
        main = _for_platform(repository, named, platform)
    manifests = _tree(main, lambda entry: repository.manifest(entry.digest))
    with staged(root) as staging:
        blobs = root / "blobs" / "sha256"
        blobs.mkdir(parents=True, exist_ok=True)
        _fetch(repository, blobs_of(manifests), (blobs, staging), progress)
        # What was named is kept beside what was chosen of it: from its digest all else is verified.
        for manifest in {each.digest: each for each in [*manifests, named]}.values():
            _written(staging, _blobs.blob_path(root, manifest.digest), manifest.data)
        flush(blobs)
        _written(staging, root / "oci-layout", _manifest.OCI_LAYOUT)
        _written(staging, root / "index.json", _index_with(root, main, repository))
        flush(root)
    return msgspec.structs.replace(resolved, digest=main.digest)


def _fetch(
    repository: Repository,
    blobs: Sequence[Descriptor],
    places: tuple[Path, Path],
    progress: Progress | None,
) -> None:
    held, staging = places
    names = [each.digest.removeprefix("sha256:") for each in blobs]
    missing = [
        blob.size
        for blob, name in zip(blobs, names, strict=True)
        if not (held / name).exists() and not (staging / name).exists()
    ]
    check_space(held, sum(missing))
    meter = Meter(sum(each.size for each in blobs), progress)
    jobs = [
        partial(download, repository, blob, Places(held / name, staging / name), meter.add)
        for blob, name in zip(blobs, names, strict=True)
    ]
    together(repository.wire, jobs)


def _for_platform(repository: Repository, main: Manifest, wanted: str) -> Manifest:
    """The one image of an index for a platform; an image must be for it."""
    asked = _read_platform(wanted)
    if not main.is_index:
        config = main.document.config
        offered = [] if config is None else [_platform_of(repository, config)]
        if any(_suits(each, asked) for each in offered):
            return main
    else:
        entries = [each for each in main.document.manifests if each.platform]
        for entry in entries:
            if entry.platform and _suits(entry.platform, asked):
                return repository.manifest(entry.digest)
        offered = [each.platform for each in entries if each.platform]
    names = ", ".join(sorted(map(str, offered))) or "no platform"
    message = f"{repository.reference} has no image for {wanted}"
    raise RegistryNotFoundError(message, hint=f"It has {names}.")


def _read_platform(text: str) -> Platform:
    parts = text.split("/")
    if not 2 <= len(parts) <= 3 or not all(parts):  # noqa: PLR2004 - system, architecture, variant
        message = f"{text!r} is no platform"
        raise InvalidRequestError(message, hint="It is SYSTEM/ARCHITECTURE[/VARIANT]: linux/amd64.")
    return Platform(*parts)


def _suits(offered: Platform, asked: Platform) -> bool:
    is_variant = not asked.variant or offered.variant == asked.variant
    return (offered.os, offered.architecture) == (asked.os, asked.architecture) and is_variant


def _platform_of(repository: Repository, config: Descriptor) -> Platform:
    text = repository.blob(config, _CONFIG_LIMIT_BYTES)
    return _blobs.decoded(text, Platform, "the configuration of the image")


def _tree(main: Manifest, read: Callable[[Descriptor], Manifest]) -> list[Manifest]:
    """A manifest and all that it lists, what is listed before what lists it.

    Raises:
        CorruptPackageError: there are too many.
    """
    found: dict[str, Manifest] = {}

    def visit(manifest: Manifest, depth: int) -> None:
        if depth > _DEPTH_LIMIT:
            raise CorruptPackageError(f"{main.digest} lists indexes of indexes of indexes")
        for entry in manifest.document.manifests:
            if _is_manifest(entry) and entry.digest not in found:
                visit(read(entry), depth + 1)
        found[manifest.digest] = manifest
        if len(found) > MANIFESTS_LIMIT:
            message = f"{main.digest} lists more than {MANIFESTS_LIMIT} manifests"
            raise CorruptPackageError(message)

    visit(main, 0)
    return list(found.values())


def _is_manifest(entry: Descriptor) -> bool:
    if entry.mediaType not in MANIFESTS | INDEXES:
        message = f"an index lists {entry.digest} of the media type {entry.mediaType!r}"
        raise CorruptPackageError(f"{message}, expected manifests")
    return True


def _read_index(root: Path) -> Manifest:
    try:
        text = _blobs.small(root / "index.json", _blobs.DOCUMENT_LIMIT_BYTES)
    except OSError as error:
        message = f"{root} is no OCI image layout: index.json cannot be read"
        raise PathError(message) from error
    return read_manifest(text, INDEX, "index.json")


def _chosen(root: Path, index: Manifest, tag: str) -> Manifest:
    """What a layout is to be sent as, under a tag."""
    entries = index.document.manifests
    named = [
        each for each in entries if (each.annotations or {}).get(_manifest.REFERENCE) == tag
    ] or [each for each in entries if _is_main(root, each)]
    if len(named) == 1:
        return _held_manifest(root, named[0])
    if named and all(each.platform for each in named):
        return index
    message = f"{root} lists {len(named)} images that could be {tag!r}, expected one"
    hint = f"Give one of them the annotation {_manifest.REFERENCE}."
    raise InvalidRequestError(message, hint=hint)


def _is_main(root: Path, entry: Descriptor) -> bool:
    """Whether an entry stands for itself: it does not refer to another one."""
    return _held_manifest(root, entry).document.subject is None


def _with_referrers(root: Path, index: Manifest, manifests: list[Manifest]) -> list[Manifest]:
    """Manifests, what a layout lists that refers to one of them, and what refers to that."""
    found = {each.digest: each for each in manifests}
    held = [_held_manifest(root, each) for each in index.document.manifests]
    while joining := [each for each in held if each.digest not in found and _is_of(each, found)]:
        for referrer in joining:
            found |= {each.digest: each for each in _tree(referrer, partial(_held_manifest, root))}
    return list(found.values())


def _is_of(manifest: Manifest, found: Container[str]) -> bool:
    subject = manifest.document.subject
    return subject is not None and subject.digest in found


def _held_manifest(root: Path, entry: Descriptor) -> Manifest:
    _is_manifest(entry)
    stated = _blobs.Descriptor(entry.mediaType, entry.digest, entry.size)
    try:
        text = _blobs.document(root, stated, _blobs.DOCUMENT_LIMIT_BYTES)
    except OSError as error:
        message = f"the layout {root} lacks the manifest {entry.digest}"
        raise CorruptPackageError(message) from error
    return read_manifest(text, entry.mediaType, f"the manifest {entry.digest}")


def _check_held(root: Path, blob: Descriptor) -> None:
    """Refuses a blob that is not the one stated."""
    try:
        _blobs.verify(root, _blobs.Descriptor(blob.mediaType, blob.digest, blob.size))
    except OSError as error:
        message = f"the layout {root} lacks the blob {blob.digest}"
        raise CorruptPackageError(message) from error


def _written(staging: Path, path: Path, data: bytes) -> None:
    """Writes a file in one step."""
    flushed_file(staging / "file", data)
    (staging / "file").rename(path)


def _index_with(root: Path, main: Manifest, repository: Repository) -> bytes:
    """The text of an index that lists what it listed, and this under the reference's tag."""
    path = root / "index.json"
    before: list[Any] = []
    if path.exists():
        before = msgspec.json.decode(_read_index(root).data).get("manifests") or []
    tag = repository.reference.tag
    entry: dict[str, Any] = {
        "mediaType": main.media_type,
        "digest": main.digest,
        "size": len(main.data),
    }
    if tag is not None:
        entry["annotations"] = {_manifest.REFERENCE: tag}
    kept = [each for each in before if not _is_replaced(each, entry)]
    return canonical_json({"schemaVersion": 2, "mediaType": INDEX, "manifests": [*kept, entry]})


def _is_replaced(entry: dict[str, Any], by: dict[str, Any]) -> bool:
    """Whether an entry has the tag of another one, or is the same one."""
    tag = (entry.get("annotations") or {}).get(_manifest.REFERENCE)
    return tag == (by.get("annotations") or {}).get(_manifest.REFERENCE) and (
        tag is not None or entry["digest"] == by["digest"]
    )
