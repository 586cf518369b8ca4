"""One layer as one tar: the same bytes for the same files, on every machine and at every time.

- Names in order, the folders above each file first; time 0, owner 0, folders 0755, files 0644,
  programs 0755; no links, nothing else.
- Uncompressed, so that a layer's digest is its diffID: compressors write other bytes with every
  version. Registries and networks compress what they like.

Source: POSIX.1-1988 ustar; OCI image specification 1.1, layer.md.
"""

from __future__ import annotations

import hashlib
import io
import tarfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, BinaryIO

from shoal.errors import DeployError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_FOLDER_MODE = 0o755
_OPEN_FOLDER_MODE = 0o1777
_FILE_MODE = 0o644
_PROGRAM_MODE = 0o755


@dataclass(frozen=True)
class Entry:
    """A file of a layer: its bytes, or where they lie."""

    content: bytes | Path
    is_program: bool = False


@dataclass(frozen=True)
class Written:
    """A layer that was written.

    Attributes:
        digest: Its digest.
        size_bytes: The size of its tar.
        unpacked_bytes: The size of its files.
    """

    digest: str
    size_bytes: int
    unpacked_bytes: int


def write_layer(
    target: Path, files: Mapping[str, Entry], *, open_folders: Iterable[str] = ()
) -> Written:
    """Writes a layer to a path that is not there yet.

    Args:
        target: The path.
        files: Its files, by their paths in the image, relative to its root.
        open_folders: Folders that everybody may write to.

    Raises:
        DeployError: a path is too long for a layer.
        OSError: the layer cannot be written, or a file cannot be read.
    """
    unpacked_bytes = 0
    with target.open("xb") as file:
        hashed = _Hashed(file)
        # A stream fileobj: tarfile only ever writes to it.
        # The encoding is named, since that of the locale would give other bytes.
        form: Any = {"format": tarfile.USTAR_FORMAT, "encoding": "utf-8"}
        with tarfile.open(fileobj=hashed, mode="w|", **form) as tar:
            for path in _in_order(files, open_folders):
                entry = files.get(path)
                unpacked_bytes += _add(tar, path, entry, is_open=path in set(open_folders))
    return Written(f"sha256:{hashed.hasher.hexdigest()}", hashed.size_bytes, unpacked_bytes)


class _Hashed(io.RawIOBase):
    """A file that knows the digest of what was written to it."""

    def __init__(self, file: BinaryIO) -> None:
        super().__init__()
        self._file = file
        self.hasher = hashlib.sha256()
        self.size_bytes = 0

    def write(self, data: bytes) -> int:  # type: ignore[override]  # tarfile gives bytes only
        self.hasher.update(data)
        self.size_bytes += len(data)
        return self._file.write(data)


def _in_order(files: Mapping[str, Entry], folders: Iterable[str]) -> list[str]:
    named = {*files, *folders}
    paths = set(named)
    for path in named:
        paths.update(str(each) for each in PurePosixPath(path).parents if each.name)
    return sorted(paths, key=lambda path: PurePosixPath(path).parts)


def _add(tar: tarfile.TarFile, path: str, entry: Entry | None, *, is_open: bool) -> int:
    """Adds a file, or a folder where there is none of that path; the bytes of its content."""
    member = tarfile.TarInfo(path)
    try:
        if entry is None:
            member.type = tarfile.DIRTYPE
            member.mode = _OPEN_FOLDER_MODE if is_open else _FOLDER_MODE
            tar.addfile(member)
        else:
            member.mode = _PROGRAM_MODE if entry.is_program else _FILE_MODE
            _add_file(tar, member, entry.content)
    except ValueError as error:  # what ustar cannot hold
        message = f"an image cannot hold the path {path}: {error}"
        raise DeployError(message) from error
    return member.size


def _add_file(tar: tarfile.TarFile, member: tarfile.TarInfo, content: bytes | Path) -> None:
    if isinstance(content, bytes):
        member.size = len(content)
        tar.addfile(member, io.BytesIO(content))
        return
    with content.open("rb") as file:
        member.size = content.stat().st_size
        tar.addfile(member, file)
