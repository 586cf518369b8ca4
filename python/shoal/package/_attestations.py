"""What is said about a package, and the files that it brings along, before they are stored.

- A document is JSON that has one text; a statement of in-toto lists the package's digest.
- A file has a plain name, and a media type by the end of its name.
- Nothing is stored that opening would refuse: counts and sizes have limits.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import msgspec

from shoal.errors import InvalidRequestError, PathError
from shoal.package import _manifest, _names
from shoal.package._attested import (
    ATTACHED_LIMIT,
    ATTESTATION_LIMIT_BYTES,
    ATTESTATIONS_LIMIT,
    TOTAL_LIMIT_BYTES,
    total_bytes,
)
from shoal.package._blobs import DOCUMENT_LIMIT_BYTES
from shoal.package._manifest import AttachedFile
from shoal.package._read import BLOBS_LIMIT
from shoal.runtime import canonical_json

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from shoal.package._manifest import Said

_MEDIA_TYPES = {
    ".csv": "text/csv",
    ".html": "text/html",
    ".json": "application/json",
    ".md": "text/markdown",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".toml": "application/toml",
    ".txt": "text/plain",
}
_OTHER = "application/octet-stream"


@dataclass(frozen=True)
class Made:
    """An attestation that can be stored."""

    kind: str
    document: bytes
    said: Said
    files: tuple[tuple[AttachedFile, bytes], ...]

    def manifest(self, image_manifest: bytes) -> bytes:
        """The text of its manifest."""
        files = [file for file, _ in self.files]
        subject = _manifest.subject_of(image_manifest)
        return _manifest.attestation_manifest(self.kind, self.said, subject, files)

    def blobs(self) -> tuple[bytes, ...]:
        """All that its manifest names."""
        return (_manifest.EMPTY, self.document, *(data for _, data in self.files))


def made(
    kind: str, document: object, files: Mapping[str, bytes | Path], package_digest: str
) -> Made:
    """An attestation of these.

    Raises:
        InvalidRequestError: the kind, the document or a file cannot be stored.
        PathError: a file cannot be read.
    """
    if not _names.is_kind(kind):
        message = f"{kind!r} cannot be a kind of attestation"
        raise InvalidRequestError(message, hint="Use small letters, digits and -.")
    if len(files) > ATTACHED_LIMIT:
        message = f"an attestation is to bring {len(files)} files, at most {ATTACHED_LIMIT} go"
        raise InvalidRequestError(message)
    text = _document(document)
    said = _said(text)
    if not said.is_about(package_digest):
        message = f"the statement is not about {package_digest}, the package that it is added to"
        raise InvalidRequestError(message)
    return Made(kind, text, said, tuple(_file(name, files[name]) for name in sorted(files)))


def check_room(
    root: Path, manifests: Sequence[bytes], blobs: Sequence[bytes], index: bytes
) -> None:
    """Refuses an attestation with which the package would no longer be opened.

    Args:
        root: The package.
        manifests: Those of all attestations, as they are to be.
        blobs: What is to be added.
        index: The index that is to list it.

    Raises:
        InvalidRequestError: there would be too many attestations, blobs or bytes.
    """
    names = {entry.name for entry in (root / "blobs" / "sha256").iterdir()}
    names |= {_manifest.digest_of(blob).removeprefix("sha256:") for blob in blobs}
    for what, count, limit in (
        ("attestations", len(manifests), ATTESTATIONS_LIMIT),
        ("bytes of attestations", total_bytes(manifests), TOTAL_LIMIT_BYTES),
        ("bytes in a manifest", max(map(len, manifests)), DOCUMENT_LIMIT_BYTES),
        ("bytes in its index", len(index), DOCUMENT_LIMIT_BYTES),
        ("blobs", len(names), BLOBS_LIMIT),
    ):
        if count > limit:
            message = f"the package would have {count} {what}, at most {limit} are read"
            raise InvalidRequestError(message)


def media_type(name: str) -> str:
    """What a file of that name holds."""
    return _MEDIA_TYPES.get(PurePosixPath(name).suffix, _OTHER)


def _document(document: object) -> bytes:
    try:
        text = canonical_json(document)
    except (TypeError, ValueError, RecursionError) as error:
        message = f"the document cannot be stored as JSON: {error}"
        raise InvalidRequestError(message) from error
    _check_size("the document", text)
    return text


def _said(document: bytes) -> Said:
    try:
        msgspec.json.decode(document)  # what is nested too deeply is written, and never read
        return _manifest.said(document)
    except (ValueError, msgspec.MsgspecError, RecursionError) as error:
        message = f"the document cannot be read again: {error}"
        raise InvalidRequestError(message) from error


def _file(name: str, content: bytes | Path) -> tuple[AttachedFile, bytes]:
    if not _names.is_attached(name):
        message = f"an attestation cannot bring a file called {name!r}"
        raise InvalidRequestError(message, hint="Use letters, digits, . _ + and - only.")
    data = _read(content) if isinstance(content, Path) else content
    _check_size(f"the file {name}", data)
    return AttachedFile(name, media_type(name), _manifest.digest_of(data), len(data)), data


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(ATTESTATION_LIMIT_BYTES + 1)
    except OSError as error:
        message = f"{path} cannot be read: {error.strerror or error}"
        raise PathError(message) from error


def _check_size(what: str, data: bytes) -> None:
    if len(data) > ATTESTATION_LIMIT_BYTES:
        message = f"{what} has more than {ATTESTATION_LIMIT_BYTES} bytes, the most that is stored"
        raise InvalidRequestError(message)
