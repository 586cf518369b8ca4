"""Reads packages whose files lie open in a folder, as a mounted image of the package shows them.

- The folder holds `shoal.json` and the package's other files, and nothing else; no links. It may be
  named by the root of the image, if that holds one package.
- The digest is computed from the files, and is the one that the package was sealed with. What it
  ought to be stands nowhere in the folder: whoever needs a certain package compares `digest`.
- Reading is bounded, and what is read later must still be what it was when it was opened.
- There are no attestations: these stand beside the content.
"""

from __future__ import annotations

import hashlib
import os
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, NoReturn

from shoal.errors import CorruptPackageError, InvalidRequestError, UnsupportedModelError
from shoal.package import _manifest, _names, _tar
from shoal.package._attested import ATTESTATION_LIMIT_BYTES
from shoal.package._blobs import plain, refuse, small
from shoal.package._read import FILES_LIMIT, Identity, Layout, read_model

if TYPE_CHECKING:
    from collections.abc import Iterator

    from shoal.package._manifest import Layer, Subject
    from shoal.runtime import Description, RouterDescription

_CHUNK_BYTES = 1024 * 1024


def unpacked_folder(root: Path) -> Path | None:
    """Where the files of a package lie open: the folder itself, or the one below an image's root.

    None where the folder holds a package, or anything else.
    """
    if (root / "oci-layout").exists():
        return None
    if (root / _manifest.DESCRIPTION_FILE).exists():
        return root
    found = list(islice(root.glob(f"models/*/*/{_manifest.DESCRIPTION_FILE}"), 2))
    return found[0].parent if len(found) == 1 else None


def read_unpacked(root: Path) -> Layout[Description | RouterDescription]:
    """Reads the files of a package.

    Raises:
        CorruptPackageError: they are not what a package holds.
    """
    try:
        return _read(root)
    except OSError as error:
        message = f"{root} cannot be read as a package: {error.strerror or error}"
        raise CorruptPackageError(message) from error
    except UnsupportedModelError as error:  # no package was ever written so
        message = f"{root} holds what no package holds: {error}"
        raise CorruptPackageError(message) from error


def identify_unpacked(root: Path) -> Identity:
    """Which package these are the files of; its digest is known only once all have been read."""
    layout = read_unpacked(root)
    return Identity(layout.description.name, layout.description.version, layout.documents.digest)


def read_unpacked_file(root: Path, description: Subject, layer: Layer) -> bytes:
    """The content of one file, which is still what it was."""
    return b"".join(_pieces(root, description, layer))


def copy_unpacked_file(root: Path, description: Subject, layer: Layer, target: Path) -> None:
    """Copies one file, which is still what it was.

    On a mismatch the copy is incomplete or wrong; the caller removes it.
    """
    with target.open("xb") as file:
        for piece in _pieces(root, description, layer):
            file.write(piece)


def unpacked_content_digest(root: Path, description: Subject, layer: Layer) -> str:
    """The digest of the content of one file, which is still what it was."""
    hasher = hashlib.sha256()
    for piece in _pieces(root, description, layer):
        hasher.update(piece)
    return f"sha256:{hasher.hexdigest()}"


def refuse_to_attest(root: Path) -> NoReturn:
    """Says that nothing can be stated beside open files.

    Raises:
        InvalidRequestError: always.
    """
    message = f"{root} holds the files of a package, which nothing can be stated beside"
    raise InvalidRequestError(
        message, hint="Attest the package itself: the folder with oci-layout."
    )


def _read(root: Path) -> Layout[Description | RouterDescription]:
    text = small(root / _manifest.DESCRIPTION_FILE, ATTESTATION_LIMIT_BYTES + _CHUNK_BYTES)
    description = read_model(text)
    layers = tuple(_layer(root, description, path) for path in _paths(root))
    return Layout(description, text, layers, _manifest.derive(description, layers), ())


def _paths(root: Path) -> list[str]:
    found: list[str] = []
    for folder, folders, files in os.walk(root, onerror=_raise):
        for name in [*folders, *files]:
            if Path(folder, name).is_symlink():
                refuse(f"{name} in the package is a link")
        found += [Path(folder, name).relative_to(root).as_posix() for name in files]
        if len(found) > FILES_LIMIT:
            refuse(f"{root} holds more than {FILES_LIMIT} files, the most that are read")
    for path in found:
        if not _names.is_file(path):
            refuse(f"{root} holds a file that a package cannot hold: {path!r}")
    return sorted(found)


def _raise(error: OSError) -> None:
    raise error


def _layer(root: Path, description: Subject, path: str) -> Layer:
    hasher = hashlib.sha256()
    with plain(root / path) as file:
        size_bytes = os.fstat(file.fileno()).st_size
        hasher.update(_tar.head(_manifest.path_in_image(description, path), size_bytes))
        for piece in _first(file, size_bytes):
            hasher.update(piece)
    hasher.update(_tar.tail(size_bytes))
    return _manifest.Layer(path, size_bytes, f"sha256:{hasher.hexdigest()}")


def _pieces(root: Path, description: Subject, layer: Layer) -> Iterator[bytes]:
    path = _manifest.path_in_image(description, layer.path)
    hasher = hashlib.sha256(_tar.head(path, layer.size_bytes))
    with plain(root / layer.path) as file:
        for piece in _first(file, layer.size_bytes):
            hasher.update(piece)
            yield piece
        is_longer = bool(file.read(1))
    hasher.update(_tar.tail(layer.size_bytes))
    if is_longer or f"sha256:{hasher.hexdigest()}" != layer.digest:
        refuse(f"the file {layer.path} changed after the package was opened")


def _first(file: BinaryIO, size_bytes: int) -> Iterator[bytes]:
    left = size_bytes
    while left and (piece := file.read(min(_CHUNK_BYTES, left))):
        left -= len(piece)
        yield piece
