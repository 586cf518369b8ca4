"""Writes packages: all of it or nothing.

- A package is staged in a temporary directory beside its place, flushed to disk, then renamed.
- Whatever fails, the staging directory is removed and the place is as it was before.
- A place that holds something is refused, unless it holds this very package.
- What is added to a package is added under a lock of its directory, blobs first, and is taken away
  in the opposite order: whoever is killed in between leaves a package that opens.

Source: OCI image layout specification 1.1.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import tempfile
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from shoal.errors import PackageError, PathError, StorageError
from shoal.package import _manifest, _names, _tar
from shoal.package._read import read_described
from shoal.runtime import canonical_json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from shoal.package._manifest import Subject

    Files = Mapping[str, bytes | Path]

_CHUNK_BYTES = 1024 * 1024


def write_layout(
    target: Path, description: Subject, files: Files, *, read: Callable[[bytes], Subject]
) -> None:
    """Writes a package of these files, and `shoal.json`, to a directory that is not there yet.

    Args:
        target: The directory.
        description: What stands in `shoal.json`.
        files: The other files.
        read: Reads the `shoal.json` of a package of this kind.

    Raises:
        StorageError: the target holds something else, or cannot be written (disk full, no right).
        UnsupportedModelError: a file has a name or a size that a package cannot hold.
    """
    _names.check_files(list(files))
    everything = {**files, _manifest.DESCRIPTION_FILE: canonical_json(description)}
    with _staging(target) as staging:
        digest = _write_content(staging, description, everything)
        _move(staging, target, digest, read)


def add_attestation(root: Path, documents: tuple[bytes, ...], index: bytes) -> None:
    """Adds blobs and then the index that lists them; a failure takes the new blobs away again.

    The caller holds the package `locked`, and has read what it holds since.

    Args:
        root: The package.
        documents: The blobs: the manifest, then what it names.
        index: The text of the new index.

    Raises:
        StorageError: the package cannot be written.
    """
    with _staging(root) as staging:
        added: list[Path] = []
        try:
            for document in documents:
                added += _add_blob(root, staging, document)
                # Also where the power fails, a manifest is there before what it names.
                flush(root / "blobs" / "sha256")
            flushed_file(staging / "index.json", index)
            (staging / "index.json").rename(root / "index.json")
        except BaseException:
            _take_away(root, added, index)
            raise
        _flush_directories(root)


def _take_away(root: Path, added: list[Path], index: bytes) -> None:
    """Removes blobs, unless the index that lists them is there already.

    The last first: whenever this ends, a manifest still names what is left beside it.
    """
    if (root / "index.json").read_bytes() != index:
        for blob in reversed(added):
            blob.unlink(missing_ok=True)


@contextmanager
def locked(root: Path) -> Iterator[None]:
    """Nobody else adds to the package during the block; who wants to waits.

    Raises:
        PathError: there is nothing at the path.
        StorageError: the directory cannot be locked.
    """
    with ExitStack() as held:
        try:
            handle = os.open(root, os.O_RDONLY)
            held.callback(os.close, handle)
            fcntl.flock(handle, fcntl.LOCK_EX)
        except FileNotFoundError as error:
            message = f"there is nothing at {root}"
            raise PathError(message) from error
        except OSError as error:
            message = f"{root} cannot be locked against others: {error.strerror or error}"
            raise StorageError(message) from error
        yield


@contextmanager
def _staging(target: Path) -> Iterator[Path]:
    """An empty directory beside the target; gone at the end, whatever happens."""
    directory: str | None = None
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        directory = tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent)
        yield Path(directory)
    except OSError as error:
        message = f"the package cannot be written to {target}: {error.strerror or error}"
        hint = "Nothing half-written stays. Free some space or choose another place."
        raise StorageError(message, hint=hint) from error
    finally:
        if directory is not None:
            shutil.rmtree(directory, ignore_errors=True)


def _write_content(staging: Path, description: Subject, files: Files) -> str:
    staging.chmod(0o755)
    blobs = staging / "blobs" / "sha256"
    blobs.mkdir(parents=True)
    layers = [_write_layer(blobs, description, path, files[path]) for path in sorted(files)]
    documents = _manifest.derive(description, layers)
    for document in documents.blobs():
        flushed_file(blobs / _manifest.digest_of(document).removeprefix("sha256:"), document)
    flushed_file(staging / "oci-layout", _manifest.OCI_LAYOUT)
    flushed_file(staging / "index.json", _manifest.index(description, documents, []))
    _flush_directories(staging)
    return documents.digest


def _write_layer(
    blobs: Path, description: Subject, path: str, content: bytes | Path
) -> _manifest.Layer:
    size_bytes = len(content) if isinstance(content, bytes) else content.stat().st_size
    in_image = _manifest.path_in_image(description, path)
    hasher = hashlib.sha256()
    incoming = blobs / "incoming"
    with incoming.open("xb") as blob:
        for piece in _tar_pieces(in_image, size_bytes, content):
            hasher.update(piece)
            blob.write(piece)
        blob.flush()
        os.fsync(blob.fileno())
    incoming.rename(blobs / hasher.hexdigest())
    return _manifest.Layer(path, size_bytes, f"sha256:{hasher.hexdigest()}")


def _tar_pieces(path: str, size_bytes: int, content: bytes | Path) -> Iterator[bytes]:
    yield _tar.head(path, size_bytes)
    read_bytes = 0
    for piece in _content_pieces(content):
        read_bytes += len(piece)
        yield piece
    if read_bytes != size_bytes:
        message = f"the file of {path} changed while it was read"
        raise OSError(message)
    yield _tar.tail(size_bytes)


def _content_pieces(content: bytes | Path) -> Iterator[bytes]:
    if isinstance(content, bytes):
        yield content
        return
    with content.open("rb") as file:
        while piece := file.read(_CHUNK_BYTES):
            yield piece


def _move(staging: Path, target: Path, digest: str, read: Callable[[bytes], Subject]) -> None:
    """Gives the staged package its name; an empty directory there is replaced."""
    try:
        staging.rename(target)
    except OSError as error:
        if not target.exists():
            raise
        _check_same(target, digest, read, error)
    else:
        flush(target.parent)


def _check_same(
    target: Path, digest: str, read: Callable[[bytes], Subject], error: OSError
) -> None:
    try:
        found = read_described(target, read).documents.digest
    except PackageError:
        found = "something else"
    if found != digest:
        message = f"{target} exists and holds {found}, not {digest}"
        hint = "Choose another place, or remove what lies there."
        raise StorageError(message, hint=hint) from error


def _add_blob(root: Path, staging: Path, document: bytes) -> list[Path]:
    name = _manifest.digest_of(document).removeprefix("sha256:")
    blob = root / "blobs" / "sha256" / name
    if blob.exists():
        return []
    flushed_file(staging / name, document)
    (staging / name).rename(blob)
    return [blob]


def flushed_file(path: Path, data: bytes) -> None:
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _flush_directories(root: Path) -> None:
    for directory in (root / "blobs" / "sha256", root / "blobs", root):
        flush(directory)


def flush(directory: Path) -> None:
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
