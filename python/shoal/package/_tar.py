"""One file of a package as one tar: the same bytes on every machine and at every time.

- A tar holds the directories above the file, then the file, then the end marker; nothing else.
- Owner 0, time 0, mode 0644 (directories 0755), uncompressed: a layer's digest is its diffID.
- The header is written by hand, since Python's tarfile may write it differently in another version.
- Reading never interprets a tar: it writes the header that the path must have and compares. A name
  with `..`, a link, a second member or a size that lies is therefore just a wrong byte.

Source: POSIX.1-1988 ustar, https://pubs.opengroup.org/onlinepubs/9799919799/utilities/pax.html
"""

from __future__ import annotations

import re
from pathlib import PurePosixPath

from shoal.errors import CorruptPackageError, UnsupportedModelError

BLOCK_BYTES = 512
END_BYTES = 2 * BLOCK_BYTES
FILE_MODE = 0o644
FILE_LIMIT_BYTES = 8**11 - 1
"""The size field of ustar has eleven octal digits."""

_DIRECTORY_MODE = 0o755
_NAME_BYTES = 100
_PREFIX_BYTES = 155
_SIZE_FIELD = slice(124, 135)
_OCTAL = re.compile(rb"[0-7]{11}")


def head(path: str, size_bytes: int) -> bytes:
    """All bytes of the tar before the file's content.

    Raises:
        UnsupportedModelError: the path or the size does not fit the ustar format.
    """
    if size_bytes > FILE_LIMIT_BYTES:
        message = f"the file {path} has {size_bytes} bytes, a package holds {FILE_LIMIT_BYTES}"
        raise UnsupportedModelError(message)
    parents = [f"{parent}/" for parent in reversed(PurePosixPath(path).parents) if parent.name]
    headers = [_header(parent, 0, directory=True) for parent in parents]
    return b"".join([*headers, _header(path, size_bytes, directory=False)])


def tail(size_bytes: int) -> bytes:
    """All bytes of the tar after the file's content: padding and the end marker."""
    return bytes(-size_bytes % BLOCK_BYTES + END_BYTES)


def content_bytes(path: str, tar_start: bytes) -> int:
    """The size of the file in a tar, from the tar's first bytes (at least the head).

    Raises:
        CorruptPackageError: the tar does not start as the one of this path must.
    """
    length = len(head(path, 0))
    start = tar_start[:length]
    digits = start[length - BLOCK_BYTES :][_SIZE_FIELD]
    size_bytes = int(digits, 8) if _OCTAL.fullmatch(digits) else -1
    if size_bytes < 0 or start != head(path, size_bytes):
        message = f"the layer of {path} is not the tar of this one file"
        raise CorruptPackageError(message)
    return size_bytes


def _header(path: str, size_bytes: int, *, directory: bool) -> bytes:
    prefix, name = _split(path)
    mode = _DIRECTORY_MODE if directory else FILE_MODE
    fields = (
        name.ljust(_NAME_BYTES, b"\0"),
        b"%07o\0" % mode,
        b"%07o\0" % 0,
        b"%07o\0" % 0,
        b"%011o\0" % size_bytes,
        b"%011o\0" % 0,
        b" " * 8,
        b"5" if directory else b"0",
        bytes(100),
        b"ustar\x0000",
        bytes(32 + 32 + 8 + 8),
        prefix.ljust(_PREFIX_BYTES, b"\0"),
        bytes(12),
    )
    unsigned = b"".join(fields)
    return unsigned[:148] + b"%06o\0 " % sum(unsigned) + unsigned[156:]


def _split(path: str) -> tuple[bytes, bytes]:
    """Cuts a long path at a `/`, as ustar wants it: prefix and name."""
    data = path.encode()
    if len(data) <= _NAME_BYTES:
        return b"", data
    for at in range(len(data) - _NAME_BYTES - 1, min(len(data) - 1, _PREFIX_BYTES + 1)):
        if data[at : at + 1] == b"/":
            return data[:at], data[at + 1 :]
    message = f"the path {path} is too long for a package"
    raise UnsupportedModelError(message, hint="Use shorter names of files and directories.")
