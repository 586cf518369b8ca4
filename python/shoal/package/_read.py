"""Reads packages: what is returned has been verified, byte by byte, and reading is bounded.

- The directory holds what the package lists and nothing else: plain files, no links of any kind.
- Every blob has the digest and the size that its manifest states.
- What can be derived from the content (layout, index, ModelPack documents, headers of tars) is
  derived again and must be equal, so one flipped bit in any file is refused.
- JSON is read into typed structs that refuse unknown fields, and only up to a stated size.
- Layers are streamed: memory does not grow with the model.

Nothing heavy is imported here: a server opens packages.
"""

from __future__ import annotations

import hashlib
import os
import re
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO, Generic, TypeVar, cast

import msgspec

from shoal.errors import CorruptPackageError, PathError, UnsupportedModelError
from shoal.package import _manifest, _names, _tar
from shoal.package._attested import ATTESTATION_LIMIT_BYTES, Attestation, read_attestations
from shoal.package._blobs import (
    DOCUMENT_LIMIT_BYTES,
    Descriptor,
    Manifest,
    Window,
    blob_path,
    check_size,
    decoded,
    document,
    open_blob,
    opened,
    refuse,
    small,
    verify,
)
from shoal.runtime import read_any_description

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from shoal.package._manifest import AttachedFile, Documents, Layer, Subject
    from shoal.runtime import Description, RouterDescription

FILES_LIMIT = 10_000
BLOBS_LIMIT = 2 * FILES_LIMIT

_CHUNK_BYTES = 1024 * 1024
_BLOB = re.compile(r"[0-9a-f]{64}")


D = TypeVar("D", bound="Subject")


@dataclass(frozen=True)
class Layout(Generic[D]):
    """A verified package on disk."""

    description: D
    description_text: bytes
    layers: tuple[Layer, ...]
    documents: Documents
    attestations: tuple[tuple[Attestation, bytes], ...]
    """Each attestation with the text of its manifest."""


class Identity(msgspec.Struct, frozen=True):
    """Which package a directory says that it holds; nothing but these words is verified."""

    name: str
    version: str
    digest: str


class _Index(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    schemaVersion: int  # noqa: N815 - the field's name in OCI
    mediaType: str  # noqa: N815 - the field's name in OCI
    manifests: list[Descriptor]


def read_layout(root: Path) -> Layout[Description | RouterDescription]:
    """Reads and verifies the package of a model or a router in a directory.

    Raises:
        PathError: there is nothing at the path.
        CorruptPackageError: what is there is not, byte for byte, a package of Shoal.
    """
    return read_described(root, read_model)


def read_described(root: Path, read: Callable[[bytes], D]) -> Layout[D]:
    """Reads and verifies the package in a directory.

    Args:
        root: The directory.
        read: Reads the text of `shoal.json`, and refuses what is of another kind.

    Raises:
        PathError: there is nothing at the path.
        CorruptPackageError: what is there is not, byte for byte, a package of Shoal.
    """
    if not root.exists():
        message = f"there is nothing at {root}"
        raise PathError(message)
    try:
        return _read(root, read)
    except OSError as error:
        message = f"{root} cannot be read as a package: {error.strerror or error}"
        raise CorruptPackageError(message) from error
    except UnsupportedModelError as error:  # no package was ever written so
        message = f"{root} describes what no package holds: {error}"
        raise CorruptPackageError(message) from error


def stated_content(root: Path, manifest: Manifest) -> tuple[list[Layer], bytes]:
    """The files that a manifest lists, and the text of `shoal.json`.

    Of the blobs only that of `shoal.json` is verified; of the others the ends are looked at.

    Raises:
        CorruptPackageError: a layer is none of a package, or there is no `shoal.json`.
    """
    if len(manifest.layers) > FILES_LIMIT:
        refuse(f"the package lists {len(manifest.layers)} files, at most {FILES_LIMIT} are read")
    directory = _directory(manifest.annotations)
    layers = [_stated_layer(root, directory, each) for each in manifest.layers]
    if len({layer.path for layer in layers}) < len(layers):
        refuse("the package lists a file twice")
    for layer, descriptor in zip(layers, manifest.layers, strict=True):
        if layer.path == _manifest.DESCRIPTION_FILE:
            data = document(root, descriptor, ATTESTATION_LIMIT_BYTES + _CHUNK_BYTES)
            start = len(_tar.head(f"{directory}/{layer.path}", 0))
            return layers, data[start : start + layer.size_bytes]
    return refuse("the package has no shoal.json")


def read_identity(root: Path) -> Identity:
    """What a directory says it holds, without reading what it holds.

    Raises:
        CorruptPackageError: the directory is not a package of Shoal.
    """
    try:
        index_text = small(root / "index.json", DOCUMENT_LIMIT_BYTES)
        index = decoded(index_text, _Index, "index.json")
        if not index.manifests:
            refuse("index.json lists no manifest")
        image = index.manifests[0]
        manifest = decoded(document(root, image, DOCUMENT_LIMIT_BYTES), Manifest, "the manifest")
    except OSError as error:
        message = f"{root} cannot be read as a package: {error.strerror or error}"
        raise CorruptPackageError(message) from error
    _directory(manifest.annotations)
    name, version = (manifest.annotations[f"io.shoal.{each}"] for each in ("name", "version"))
    return Identity(name, version, image.digest)


def read_file(root: Path, description: Subject, layer: Layer) -> bytes:
    """The content of one file, verified again while it is read."""
    with open_blob(root, layer.digest) as blob:
        data = blob.read()
    start = len(_tar.head(_manifest.path_in_image(description, layer.path), 0))
    if _manifest.digest_of(data) != layer.digest:
        refuse(f"the blob of {layer.path} changed after the package was opened")
    return data[start : start + layer.size_bytes]


def read_attached(root: Path, file: AttachedFile) -> bytes:
    """The content of a file that an attestation brings along, verified again while it is read."""
    with open_blob(root, file.digest) as blob:
        data = blob.read(ATTESTATION_LIMIT_BYTES + 1)
    if _manifest.digest_of(data) != file.digest:
        refuse(f"the blob of {file.name} changed after the package was opened")
    return data


def open_file(root: Path, description: Subject, layer: Layer) -> BinaryIO:
    """The content of one file, to be read from any place in it; verified when it was opened."""
    start = len(_tar.head(_manifest.path_in_image(description, layer.path), 0))
    return cast("BinaryIO", Window(opened(blob_path(root, layer.digest)), start, layer.size_bytes))


def copy_file(root: Path, description: Subject, layer: Layer, target: Path) -> None:
    """Copies the content of one file out of a package, verified while it is read.

    On a mismatch the copy is incomplete or wrong; the caller removes it.
    """
    with target.open("xb") as file:
        for piece in _pieces(root, description, layer):
            file.write(piece)


def content_digest(root: Path, description: Subject, layer: Layer) -> str:
    """The digest of the content of one file, verified while it is read."""
    hasher = hashlib.sha256()
    for piece in _pieces(root, description, layer):
        hasher.update(piece)
    return f"sha256:{hasher.hexdigest()}"


def _pieces(root: Path, description: Subject, layer: Layer) -> Iterator[bytes]:
    """The content of one file; what was given is verified when this ends."""
    head = len(_tar.head(_manifest.path_in_image(description, layer.path), 0))
    left = layer.size_bytes
    hasher = hashlib.sha256()
    with open_blob(root, layer.digest) as blob:
        hasher.update(blob.read(head))
        while left and (piece := blob.read(min(_CHUNK_BYTES, left))):
            hasher.update(piece)
            yield piece
            left -= len(piece)
        hasher.update(blob.read(_tar.BLOCK_BYTES + _tar.END_BYTES))
    if f"sha256:{hasher.hexdigest()}" != layer.digest:
        refuse(f"the blob of {layer.path} changed after the package was opened")


class _Runtime(msgspec.Struct):
    runtime: str


def read_model(text: bytes) -> Description | RouterDescription:
    """The description of a model or of a router, from the text of `shoal.json`.

    Raises:
        CorruptPackageError: the package holds records, or the text is none.
    """
    with suppress(msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        if msgspec.json.decode(text, type=_Runtime).runtime == _names.DATASET:
            message = "the package holds records, expected a model"
            raise CorruptPackageError(message, hint="shoal.train.open_dataset opens it.")
    return read_any_description(text)


def _read(root: Path, read: Callable[[bytes], D]) -> Layout[D]:
    blobs = _list_blobs(root)
    if small(root / "oci-layout", DOCUMENT_LIMIT_BYTES) != _manifest.OCI_LAYOUT:
        refuse("the file oci-layout is not the one of an OCI image layout 1.0.0")
    index_text = small(root / "index.json", DOCUMENT_LIMIT_BYTES)
    index = decoded(index_text, _Index, "index.json")
    if len(index.manifests) < 2:  # noqa: PLR2004 - image and ModelPack
        refuse("index.json does not list both manifests of a package")
    image_text = document(root, index.manifests[0], DOCUMENT_LIMIT_BYTES)
    manifest = decoded(image_text, Manifest, "the image manifest")
    layers, text = stated_content(root, manifest)
    for descriptor in manifest.layers:
        verify(root, descriptor)
    description = read(text)
    documents = _manifest.derive(description, layers)
    attestations = read_attestations(root, index.manifests[2:], image_text)
    layout = Layout(description, text, tuple(layers), documents, attestations)
    _check_derived(root, layout, image_text)
    if _manifest.index(description, documents, [each for _, each in attestations]) != index_text:
        refuse("index.json does not say what the package holds")
    _check_nothing_else(root, layout, blobs)
    return layout


def _list_blobs(root: Path) -> set[str]:
    _check_entries(root, {"oci-layout", "index.json"}, {"blobs"})
    _check_entries(root / "blobs", set(), {"sha256"})
    names: set[str] = set()
    with os.scandir(root / "blobs" / "sha256") as entries:
        for entry in entries:
            if len(names) >= BLOBS_LIMIT or not _BLOB.fullmatch(entry.name):
                refuse(f"the package holds a file that is not part of it: {entry.name!r}")
            _check_plain(entry)
            names.add(f"sha256:{entry.name}")
    return names


def _check_entries(directory: Path, files: set[str], directories: set[str]) -> None:
    found = set()
    with os.scandir(directory) as entries:
        for entry in entries:
            if entry.name in directories and entry.is_dir(follow_symlinks=False):
                pass
            elif entry.name in files:
                _check_plain(entry)
            else:
                refuse(f"the package holds something that is not part of it: {entry.name!r}")
            found.add(entry.name)
    if missing := sorted((files | directories) - found):
        refuse(f"{directory} is not a package: {missing[0]} is missing")


def _check_plain(entry: os.DirEntry[str]) -> None:
    if entry.is_symlink() or not entry.is_file(follow_symlinks=False):
        refuse(f"{entry.name} in the package is not a plain file")
    if entry.stat(follow_symlinks=False).st_nlink != 1:
        refuse(f"{entry.name} in the package is a hard link: another name can change it")


def _directory(annotations: dict[str, str]) -> str:
    """Where the image holds its files; checked later, when the manifest is derived again."""
    name = annotations.get("io.shoal.name", "")
    version = annotations.get("io.shoal.version", "")
    if not _names.is_name(name) or not _names.is_version(version):
        refuse("the image manifest does not name a package of Shoal")
    return _names.directory(name, version, annotations.get("io.shoal.runtime", ""))


def _stated_layer(root: Path, directory: str, descriptor: Descriptor) -> Layer:
    path = descriptor.annotations.get(_manifest.FILE_PATH, "")
    inner = path.removeprefix(f"{directory}/")
    if inner == path or not _names.is_file(inner):
        refuse(f"a layer is a file that a package cannot hold: {path!r}")
    with open_blob(root, descriptor.digest) as blob:
        check_size(blob, descriptor)
        size_bytes = _tar.content_bytes(path, blob.read(len(_tar.head(path, 0))))
        _check_end(blob, path, size_bytes, descriptor)
    return _manifest.Layer(inner, size_bytes, descriptor.digest)


def _check_end(blob: BinaryIO, path: str, size_bytes: int, descriptor: Descriptor) -> None:
    end = _tar.tail(size_bytes)
    start = len(_tar.head(path, 0)) + size_bytes
    if start + len(end) != descriptor.size:
        refuse(f"the tar of {path} states {size_bytes} bytes, the layer has {descriptor.size}")
    blob.seek(start)
    if blob.read() != end:
        refuse(f"the tar of {path} holds more than this file")


def _check_derived(root: Path, layout: Layout[D], image_text: bytes) -> None:
    documents = layout.documents
    if documents.image_manifest != image_text:
        refuse("the image manifest does not say what the package holds")
    for derived in documents.blobs():
        path = blob_path(root, _manifest.digest_of(derived))
        if not path.exists() or small(path, DOCUMENT_LIMIT_BYTES) != derived:
            refuse(f"the package lacks a document it must have: {path.name}")


def _check_nothing_else(root: Path, layout: Layout[D], blobs: set[str]) -> None:
    expected = {_manifest.digest_of(document) for document in layout.documents.blobs()}
    expected |= {layer.digest for layer in layout.layers}
    for attestation, text in layout.attestations:
        manifest = decoded(text, Manifest, "an attestation")
        expected |= {attestation.digest, manifest.config.digest}
        expected |= {layer.digest for layer in manifest.layers}
    _check_unfinished(root, layout.documents.digest, blobs - expected)


def _check_unfinished(root: Path, subject: str, blobs: set[str]) -> None:
    """Unlisted blobs may only be what a killed `attest` leaves: an attestation, or a part of one.

    Its manifest is written first: what is no JSON must be a file that such a manifest names.
    """
    others, named = [], set[str]()
    for digest in sorted(blobs):
        data = small(blob_path(root, digest), ATTESTATION_LIMIT_BYTES)
        if _manifest.digest_of(data) != digest:
            refuse(f"the blob {digest} has the digest {_manifest.digest_of(data)}")
        if _is_json(data):
            named |= _named_files(data, subject)
        else:
            others.append(digest)
    for digest in others:
        if digest not in named:
            refuse(f"the package holds a blob that it does not list: {digest}")


def _named_files(data: bytes, subject: str) -> set[str]:
    """The digests of files that a manifest of an attestation of this package names."""
    try:
        manifest = msgspec.json.decode(data, type=Manifest)
    except msgspec.MsgspecError:
        return set()
    is_own = manifest.subject is not None and manifest.subject.digest == subject
    return {layer.digest for layer in manifest.layers} if is_own else set()


def _is_json(data: bytes) -> bool:
    try:
        msgspec.json.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return False
    return True
