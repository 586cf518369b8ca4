"""Reads and writes OCI image layouts of any maker, a blob at a time.

- What is read has the size and the digest that was stated; documents only up to 4 MiB.
- Of a layout, the one image for a platform is found; where there are several, the caller has to
  name one by its digest.
- A layout is written beside its place and moved there when it is whole; whatever fails, nothing of
  it stays.

Source: OCI image layout specification 1.1.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from shoal.deploy._image._documents import (
    IMAGE_CONFIG,
    INDEX,
    MANIFEST,
    OCI_LAYOUT,
    Blob,
    Json,
    digest_of,
)
from shoal.errors import ConfigurationError, CorruptPackageError, PathError, StorageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from shoal.deploy._image._platforms import Platform

T = TypeVar("T")

DOCUMENT_LIMIT_BYTES = 4 * 1024 * 1024

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_CHUNK_BYTES = 1024 * 1024
_INDEXES = {INDEX, "application/vnd.docker.distribution.manifest.list.v2+json"}
_MANIFESTS = {MANIFEST, "application/vnd.docker.distribution.manifest.v2+json"}
_CONFIGS = {IMAGE_CONFIG, "application/vnd.docker.container.image.v1+json"}
_DEPTH_LIMIT = 4
_INDEX_LIMIT = 1000


class _Descriptor(msgspec.Struct, frozen=True):
    mediaType: str  # noqa: N815 - the field's name in OCI
    digest: str
    size: int

    def blob(self) -> Blob:
        return Blob(self.mediaType, self.digest, self.size)


class _Manifest(msgspec.Struct, frozen=True):
    config: _Descriptor
    layers: list[_Descriptor]


class _Index(msgspec.Struct, frozen=True):
    manifests: list[_Descriptor]


class _Rootfs(msgspec.Struct, frozen=True):
    diff_ids: list[str]


class _Config(msgspec.Struct, frozen=True):
    architecture: str
    os: str
    rootfs: _Rootfs


@dataclass(frozen=True)
class FoundImage:
    """An image in a layout.

    Attributes:
        root: The layout.
        digest: The digest of its manifest.
        config: Its configuration.
        layers: Its layers, as its manifest describes them.
    """

    root: Path
    digest: str
    config: Json
    layers: tuple[Blob, ...]

    @property
    def platform(self) -> str:
        """What it is for."""
        return f"{self.config['os']}/{self.config['architecture']}"

    @property
    def diff_ids(self) -> list[str]:
        """The digests of its layers, unpacked."""
        found: list[str] = self.config["rootfs"]["diff_ids"]
        return found


def find_image(root: Path, platform: Platform, digest: str | None) -> FoundImage:
    """The one image of a layout for a platform, or the one below a digest.

    Raises:
        PathError: there is no layout.
        ConfigurationError: it holds no such image, or several.
        CorruptPackageError: a document is not what was stated.
    """
    if not (root / "index.json").is_file():
        message = f"{root} is no OCI image layout: it has no index.json"
        raise PathError(message, hint="`shoal image base` makes one of a root file system.")
    images = {each.digest: each for each in _images(root, digest)}
    fitting = [each for each in images.values() if each.platform == platform.name]
    if not fitting:
        there = ", ".join(sorted({each.platform for each in images.values()})) or "no image"
        below = f" below {digest}" if digest else ""
        message = f"{root} holds {there}{below}, expected an image for {platform.name}"
        raise ConfigurationError(message)
    if len(fitting) > 1:
        message = f"{root} holds {len(fitting)} images for {platform.name}, expected one"
        hint = f"Name one by its digest: {root}@{fitting[0].digest}"
        raise ConfigurationError(message, hint=hint)
    return fitting[0]


def blob_path(root: Path, digest: str) -> Path:
    """Where a blob lies.

    Raises:
        CorruptPackageError: that is no digest.
    """
    if not _DIGEST.fullmatch(digest):
        message = f"{digest!r} is not a sha256 digest"
        raise CorruptPackageError(message)
    return root / "blobs" / "sha256" / digest.removeprefix("sha256:")


def digest_of_file(path: Path) -> str:
    """The digest of a file."""
    hasher = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(_CHUNK_BYTES):
            hasher.update(piece)
    return f"sha256:{hasher.hexdigest()}"


class Writer:
    """A layout that is being written."""

    def __init__(self, root: Path) -> None:
        """Makes the folders of a layout in an empty folder."""
        self.root = root
        (root / "blobs" / "sha256").mkdir(parents=True)
        (root / "oci-layout").write_bytes(OCI_LAYOUT)

    def add(self, data: bytes) -> None:
        """Adds a blob of these bytes."""
        blob_path(self.root, digest_of(data)).write_bytes(data)

    def copy(self, source: Path, blob: Blob) -> None:
        """Adds a blob from a file, which has to be what was stated.

        Raises:
            CorruptPackageError: it is not, or there is no such file.
            OSError: the file cannot be read, or the blob not written.
        """
        target = blob_path(self.root, blob.digest)
        if not target.exists():
            if not source.is_file():
                message = f"{source.parents[2]} lacks the blob {blob.digest}"
                raise CorruptPackageError(message)
            found = _copied(source, target)
            if found != (blob.digest, blob.size_bytes):
                target.unlink()
                stated = f"{blob.digest} of {blob.size_bytes} bytes in {source.parents[2]}"
                message = f"the blob {stated} is {found[0]} of {found[1]} bytes"
                raise CorruptPackageError(message)

    def finish(self, index: bytes) -> None:
        """Writes the index, and flushes everything to disk."""
        (self.root / "index.json").write_bytes(index)
        for path in [*self.root.rglob("*"), self.root]:
            _flush(path)


@contextmanager
def written_to(target: Path) -> Iterator[Writer]:
    """A layout beside its place, which it takes at the end of the block.

    Raises:
        StorageError: the place holds something, or cannot be written to.
    """
    staging: Path | None = None
    try:
        if _is_occupied(target):
            message = f"{target} holds something already, expected an empty or a new folder"
            raise StorageError(message, hint="Choose another place, or remove what lies there.")
        target.parent.mkdir(parents=True, exist_ok=True)
        staging = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
        staging.chmod(0o755)
        yield Writer(staging)
        staging.rename(target)
        _flush(target.parent)
    except OSError as error:
        message = f"the image cannot be written to {target}: {error.strerror or error}"
        hint = "Nothing half-written stays. Free some space or choose another place."
        raise StorageError(message, hint=hint) from error
    finally:
        if staging is not None:
            shutil.rmtree(staging, ignore_errors=True)


def _is_occupied(target: Path) -> bool:
    return target.is_symlink() or (
        target.exists() and (not target.is_dir() or any(target.iterdir()))
    )


def _copied(source: Path, target: Path) -> tuple[str, int]:
    hasher, size_bytes = hashlib.sha256(), 0
    with source.open("rb") as readable, target.open("xb") as writable:
        while piece := readable.read(_CHUNK_BYTES):
            hasher.update(piece)
            size_bytes += len(piece)
            writable.write(piece)
    return f"sha256:{hasher.hexdigest()}", size_bytes


def _flush(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _images(root: Path, digest: str | None) -> Iterator[FoundImage]:
    """All images of a layout; with a digest, those below the document of that digest."""
    try:
        index = (root / "index.json").read_bytes()
        entries = _decoded(index, _Index, "index.json").manifests
        if digest is not None:
            entries = [_Descriptor(_media_type(root, digest), digest, -1)]
        yield from _below(root, entries, _DEPTH_LIMIT)
    except OSError as error:
        message = f"{root} cannot be read: {error.strerror or error}"
        raise CorruptPackageError(message) from error


def _below(root: Path, entries: list[_Descriptor], depth: int) -> Iterator[FoundImage]:
    if depth == 0 or len(entries) > _INDEX_LIMIT:
        message = f"{root} nests or lists more indexes than are read"
        raise CorruptPackageError(message)
    for entry in entries:
        if entry.mediaType in _INDEXES:
            nested = _decoded(_document(root, entry), _Index, entry.digest).manifests
            yield from _below(root, nested, depth - 1)
        elif entry.mediaType in _MANIFESTS and blob_path(root, entry.digest).exists():
            manifest = _decoded(_document(root, entry), _Manifest, entry.digest)
            if manifest.config.mediaType in _CONFIGS:
                yield _image(root, entry.digest, manifest)


def _image(root: Path, digest: str, manifest: _Manifest) -> FoundImage:
    text = _document(root, manifest.config)
    _decoded(text, _Config, manifest.config.digest)
    config: Any = _decoded(text, object, manifest.config.digest)
    if len(config["rootfs"]["diff_ids"]) != len(manifest.layers):
        message = f"the image {digest} states other layers in its configuration"
        raise CorruptPackageError(message)
    return FoundImage(root, digest, config, tuple(each.blob() for each in manifest.layers))


class _Typed(msgspec.Struct):
    mediaType: str | None = None  # noqa: N815 - the field's name in OCI
    manifests: list[Any] | None = None


def _media_type(root: Path, digest: str) -> str:
    """What the document of a digest is; a layout lists only those at its top."""
    path = blob_path(root, digest)
    if not path.exists():
        message = f"{root} holds no {digest}"
        raise ConfigurationError(message)
    typed = _decoded(_document(root, _Descriptor("", digest, -1)), _Typed, digest)
    return typed.mediaType or (MANIFEST if typed.manifests is None else INDEX)


def _document(root: Path, entry: _Descriptor) -> bytes:
    """A document of the digest, and of the size where one is stated."""
    with blob_path(root, entry.digest).open("rb") as file:
        data = file.read(DOCUMENT_LIMIT_BYTES + 1)
    if digest_of(data) != entry.digest or entry.size not in {-1, len(data)}:
        message = f"the blob {entry.digest} of {root} is {digest_of(data)} of {len(data)} bytes"
        raise CorruptPackageError(message)
    return data


def _decoded(data: bytes, kind: type[T], what: str) -> T:
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        message = f"{what} of the image cannot be read: {error}"
        raise CorruptPackageError(message) from error
