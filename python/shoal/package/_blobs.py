"""Opens the blobs of a package: plain files only, and no more of them than is asked for.

A document is read whole, up to a stated size, and has the size and the digest that are stated.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
import stat
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, BinaryIO, NoReturn, TypeVar

import msgspec

from shoal.errors import CorruptPackageError
from shoal.package import _manifest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

T = TypeVar("T")

DOCUMENT_LIMIT_BYTES = 4 * 1024 * 1024
"""OCI registries take manifests of up to 4 MiB."""

_CHUNK_BYTES = 1024 * 1024
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


class Descriptor(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a manifest or an index refers to a blob."""

    mediaType: str  # noqa: N815 - the field's name in OCI
    digest: str
    size: int
    annotations: dict[str, str] = {}
    artifactType: str | None = None  # noqa: N815 - the field's name in OCI


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What lists the blobs of an image or of an artifact."""

    schemaVersion: int  # noqa: N815 - the field's name in OCI
    mediaType: str  # noqa: N815 - the field's name in OCI
    config: Descriptor
    layers: list[Descriptor]
    annotations: dict[str, str]
    artifactType: str | None = None  # noqa: N815 - the field's name in OCI
    subject: Descriptor | None = None


def document(root: Path, descriptor: Descriptor, limit_bytes: int) -> bytes:
    """A whole blob.

    Raises:
        CorruptPackageError: it is larger, or has not the size or the digest that is stated.
    """
    if not 0 <= descriptor.size <= limit_bytes:
        refuse(f"{descriptor.digest} states {descriptor.size} bytes, {limit_bytes} are read")
    with open_blob(root, descriptor.digest) as blob:
        check_size(blob, descriptor)
        data = blob.read(limit_bytes)
    check_digest(_manifest.digest_of(data), descriptor)
    return data


def verify(root: Path, descriptor: Descriptor) -> None:
    """Reads a whole blob, without holding it.

    Raises:
        CorruptPackageError: it has not the size or the digest that is stated.
    """
    hasher = hashlib.sha256()
    with open_blob(root, descriptor.digest) as blob:
        check_size(blob, descriptor)
        while piece := blob.read(_CHUNK_BYTES):
            hasher.update(piece)
    check_digest(f"sha256:{hasher.hexdigest()}", descriptor)


def check_size(blob: BinaryIO, descriptor: Descriptor) -> None:
    """Refuses a blob of another size than is stated."""
    size_bytes = os.fstat(blob.fileno()).st_size
    if size_bytes != descriptor.size:
        refuse(f"{descriptor.digest} has {size_bytes} bytes instead of {descriptor.size}")


def check_digest(found: str, descriptor: Descriptor) -> None:
    """Refuses a blob of another digest than is stated."""
    if found != descriptor.digest:
        refuse(f"the blob {descriptor.digest} has the digest {found}")


def decoded(data: bytes, kind: type[T], what: str) -> T:
    """JSON of a known form.

    Raises:
        CorruptPackageError: it has another one.
    """
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        message = f"{what} cannot be read: {error}"
        raise CorruptPackageError(message) from error


def small(path: Path, limit_bytes: int) -> bytes:
    """A whole file.

    Raises:
        CorruptPackageError: it has more bytes.
    """
    with plain(path) as file:
        data = file.read(limit_bytes + 1)
    if len(data) > limit_bytes:
        refuse(f"{path.name} has more than {limit_bytes} bytes")
    return data


def blob_path(root: Path, digest: str) -> Path:
    """Where a blob lies.

    Raises:
        CorruptPackageError: that is no digest.
    """
    if not _DIGEST.fullmatch(digest):
        refuse(f"{digest!r} is not a sha256 digest")
    return root / "blobs" / "sha256" / digest.removeprefix("sha256:")


@contextmanager
def open_blob(root: Path, digest: str) -> Iterator[BinaryIO]:
    """A blob, opened; closed at the end of the block."""
    with plain(blob_path(root, digest)) as file:
        yield file


@contextmanager
def plain(path: Path) -> Iterator[BinaryIO]:
    """A plain file, opened; closed at the end of the block."""
    with opened(path) as file:
        yield file


def opened(path: Path) -> BinaryIO:
    """Opens a plain file; neither a link nor a pipe that would never end."""
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    file = os.fdopen(handle, "rb")
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        file.close()
        refuse(f"{path.name} in the package is not a plain file")
    return file


class Window(io.RawIOBase):
    """A part of a file as a file."""

    def __init__(self, file: BinaryIO, start: int, size_bytes: int) -> None:
        super().__init__()
        self._file = file
        self._start = start
        self._size_bytes = size_bytes
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        bases = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size_bytes}
        self._at = max(bases[whence] + offset, 0)
        return self._at

    def tell(self) -> int:
        return self._at

    def readinto(self, buffer: Any) -> int:
        count = max(min(len(buffer), self._size_bytes - self._at), 0)
        self._file.seek(self._start + self._at)
        data = self._file.read(count)
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)

    def close(self) -> None:
        self._file.close()
        super().close()


def refuse(message: str) -> NoReturn:
    """Says that the package is not as it was.

    Raises:
        CorruptPackageError: always.
    """
    raise CorruptPackageError(message)
