"""Reads what is said beside a package; how long that takes and what it holds has limits.

- So many attestations, and so many bytes of their manifests and documents, and no more are read.
- A blob is verified once, and its document decoded once, however many attestations name it.
- A statement about another package, or one that is no whole statement, is refused. Of a signed one
  only the form is checked: whose signature is asked for, and what it signs, is `_signing`'s.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from shoal.package import _manifest, _names
from shoal.package._blobs import (
    DOCUMENT_LIMIT_BYTES,
    Descriptor,
    Manifest,
    decoded,
    document,
    refuse,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from shoal.package._manifest import AttachedFile, Said

ATTESTATIONS_LIMIT = 1000
ATTESTATION_LIMIT_BYTES = 16 * 1024 * 1024
ATTACHED_LIMIT = 16
"""So many files an attestation may bring along, each up to the limit above."""
TOTAL_LIMIT_BYTES = 64 * 1024 * 1024
"""What all manifests and documents may have together; attached files are not held, and not it."""


@dataclass(frozen=True)
class Attestation:
    """A statement about a package that is not its content: metrics, provenance, a report.

    Attributes:
        kind: What it is.
        digest: The digest of its manifest.
        document: What it says.
        files: What it brings along; `Package.attached` reads them.
        predicate_type: What a statement of in-toto is about, also one in a bundle with its
            signature; None for other documents.
    """

    kind: str
    digest: str
    document: Any
    files: tuple[AttachedFile, ...] = ()
    predicate_type: str | None = None


def read_attestations(
    root: Path, entries: Sequence[Descriptor], image_manifest: bytes
) -> tuple[tuple[Attestation, bytes], ...]:
    """The attestations that an index lists, each with the text of its manifest.

    Raises:
        CorruptPackageError: one is not about this package, or is not, byte for byte, one of Shoal;
            or there are too many.
    """
    if len(entries) > ATTESTATIONS_LIMIT:
        refuse(f"{len(entries)} attestations are listed, at most {ATTESTATIONS_LIMIT} are read")
    reading = _Reading(root, image_manifest)
    return tuple(reading.attestation(entry) for entry in entries)


def total_bytes(manifests: Sequence[bytes]) -> int:
    """What reading the attestations of these manifests counts against the limit."""
    documents = [decoded(text, Manifest, "an attestation").layers[0] for text in manifests]
    sizes_bytes = {each.digest: each.size for each in documents}
    return sum(map(len, manifests)) + sum(sizes_bytes.values())


class _Document(NamedTuple):
    said: Said
    value: Any


class _Reading:
    """One reading of a package: what it has read, by digest."""

    def __init__(self, root: Path, image_manifest: bytes) -> None:
        self._root = root
        self._subject = _manifest.subject_of(image_manifest)
        self._sizes_bytes: dict[str, int] = {}
        self._documents: dict[str, _Document] = {}
        self._total_bytes = 0

    def attestation(self, entry: Descriptor) -> tuple[Attestation, bytes]:
        """An attestation with the text of its manifest."""
        self._count(entry)
        text = document(self._root, entry, DOCUMENT_LIMIT_BYTES)
        manifest = decoded(text, Manifest, "an attestation")
        kind = manifest.annotations.get(_manifest.ATTESTATION_KIND, "")
        if not 0 < len(manifest.layers) <= 1 + ATTACHED_LIMIT or not _names.is_kind(kind):
            refuse(f"the manifest {entry.digest} is not an attestation")
        said, value = self._document(manifest.layers[0])
        files = tuple(self._attached(each) for each in manifest.layers[1:])
        is_other = _manifest.attestation_manifest(kind, said, self._subject, files) != text
        if is_other or not said.is_about(self._subject["digest"]):
            refuse(f"the attestation {entry.digest} is not one of this package")
        self._verify(manifest.config, len(_manifest.EMPTY))
        return Attestation(kind, entry.digest, value, files, said.predicate_type), text

    def _document(self, layer: Descriptor) -> _Document:
        if layer.digest not in self._documents:
            self._count(layer)
            data = document(self._root, layer, ATTESTATION_LIMIT_BYTES)
            value = decoded(data, object, "an attestation's document")
            try:
                said = _manifest.said(data)
            except ValueError as error:
                refuse(str(error))
            self._documents[layer.digest] = _Document(said, value)
        return self._documents[layer.digest]

    def _attached(self, layer: Descriptor) -> AttachedFile:
        name = layer.annotations.get(_manifest.TITLE, "")
        if not _names.is_attached(name):
            refuse(f"an attestation brings along a file that it cannot: {name!r}")
        self._verify(layer, ATTESTATION_LIMIT_BYTES)
        return _manifest.AttachedFile(name, layer.mediaType, layer.digest, layer.size)

    def _verify(self, layer: Descriptor, limit_bytes: int) -> None:
        if self._sizes_bytes.get(layer.digest) != layer.size:
            document(self._root, layer, limit_bytes)
            self._sizes_bytes[layer.digest] = layer.size

    def _count(self, descriptor: Descriptor) -> None:
        """Counts what is going to be held, by the size that is stated and checked when read."""
        self._total_bytes += max(descriptor.size, 0)
        if self._total_bytes > TOTAL_LIMIT_BYTES:
            refuse(f"attestations have more than {TOTAL_LIMIT_BYTES} bytes, the most that is read")
