"""Plain files of a package, opened without following links, and read within bounds."""

from __future__ import annotations

import io
import os
import re
import stat
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, BinaryIO, NoReturn

from shoal.errors import CorruptPackageError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


def small(path: Path, limit_bytes: int) -> bytes:
    """All of a small file; a larger one than the limit is refused."""
    with plain(path) as file:
        data = file.read(limit_bytes + 1)
    if len(data) > limit_bytes:
        refuse(f"{path.name} has more than {limit_bytes} bytes")
    return data


def blob_path(root: Path, digest: str) -> Path:
    """Where the blob of a digest lies."""
    if not _DIGEST.fullmatch(digest):
        refuse(f"{digest!r} is not a sha256 digest")
    return root / "blobs" / "sha256" / digest.removeprefix("sha256:")


@contextmanager
def open_blob(root: Path, digest: str) -> Iterator[BinaryIO]:
    """The blob of a digest, open for reading."""
    with plain(blob_path(root, digest)) as file:
        yield file


@contextmanager
def plain(path: Path) -> Iterator[BinaryIO]:
    """A plain file, open for reading."""
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
    """Raises CorruptPackageError."""
    raise CorruptPackageError(message)
