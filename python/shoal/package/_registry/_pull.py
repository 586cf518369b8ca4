"""Fetches packages from a registry: whole and verified, or not at all.

- A tag is looked up once. Everything after that goes by digest: a tag that is moved meanwhile
  changes nothing.
- What comes is staged beside the target, checked as an opened package is, and renamed.
- Attestations come along; what else refers to the package stays where it is.
- The ModelPack manifest follows from the files, and so need not be in the registry.
- A target that holds this very package gets the attestations that it lacks; one that holds
  anything else is refused before anything is fetched.
- Nothing is unpacked: a layer is a file's tar, compared and never interpreted.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from shoal.errors import (
    CorruptPackageError,
    PackageError,
    RegistryError,
    StorageError,
    UnsupportedModelError,
)
from shoal.package import _attestations, _blobs, _manifest, _names
from shoal.package._attested import (
    ATTACHED_LIMIT,
    ATTESTATION_LIMIT_BYTES,
    ATTESTATIONS_LIMIT,
    read_attestations,
)
from shoal.package._package import Package
from shoal.package._read import read_identity, read_layout, stated_content
from shoal.package._registry._crew import Meter, together
from shoal.package._registry._documents import MANIFEST, Descriptor
from shoal.package._registry._download import Places, download
from shoal.package._registry._referrers import list_referrers
from shoal.package._registry._repository import connected
from shoal.package._registry._staging import check_space, staged
from shoal.package._write import add_attestation, flush, flushed_file, locked
from shoal.runtime import read_any_description

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from os import PathLike

    from shoal.package._manifest import Documents
    from shoal.package._read import Layout
    from shoal.package._registry._crew import Progress
    from shoal.package._registry._documents import Manifest
    from shoal.package._registry._repository import Repository
    from shoal.runtime import Description, RouterDescription

_IMAGE_CONFIG = "application/vnd.oci.image.config.v1+json"


def pull(
    reference: str,
    target: str | PathLike[str],
    *,
    progress: Progress | None = None,
    plain_http: bool | None = None,
) -> Package:
    """Fetches a package from a registry.

    A pull that was cut off is taken up by the next one to the same target.

    Args:
        reference: `oci://HOST[:PORT]/NAME:TAG`, or `...@sha256:...`.
        target: The directory to make; or one that holds this very package.
        progress: Is given the bytes that are done and those there are, by one thread at a time.
        plain_http: Whether HTTP is spoken without TLS; by default with this machine only.

    Returns:
        The package, verified, with the attestations that the registry has.

    Raises:
        InvalidRequestError: the reference is none.
        RegistryNotFoundError: the registry has nothing of that name.
        RegistryError: the registry refuses, or cannot be reached.
        CorruptPackageError: what came is not, byte for byte, a package of a model.
        StorageError: the target holds something else, or cannot be written.
    """
    with connected(reference, plain_http=plain_http) as repository:
        return pull_from(repository, Path(target), progress)


def pull_from(repository: Repository, target: Path, progress: Progress | None = None) -> Package:
    """Fetches the package that the repository's reference names; see `pull`."""
    digest = repository.resolve().digest
    with staged(target) as staging:
        holds = _held_digest(target)
        if holds not in {None, digest}:
            message = f"{target} exists and holds {holds}, not {digest}"
            hint = "Choose another place, or remove what lies there."
            raise StorageError(message, hint=hint)
        fetching = _Fetching(repository, digest, staging / "layout", progress)
        if holds is None:
            layout = fetching.whole()
            fetching.root.rename(target)
            flush(target.absolute().parent)
            return Package(target, layout)
        fetching.join(target)
    return Package(target, read_layout(target))


def _held_digest(target: Path) -> str | None:
    """The digest of the package that a directory holds; None where it is not there, or empty."""
    if not target.exists() or (target.is_dir() and not any(target.iterdir())):
        return None
    try:
        return read_identity(target).digest
    except PackageError:
        return "something else"


class _Statement(NamedTuple):
    """An attestation, as its manifest states it."""

    text: bytes
    manifest: _blobs.Manifest

    def entry(self) -> _blobs.Descriptor:
        return _blobs.Descriptor(MANIFEST, _manifest.digest_of(self.text), len(self.text))

    def blobs(self) -> list[_blobs.Descriptor]:
        return [self.manifest.config, *self.manifest.layers]


class _Fetching:
    """One package on its way into a staged layout."""

    def __init__(
        self, repository: Repository, digest: str, root: Path, progress: Progress | None
    ) -> None:
        self._repository = repository
        self._progress = progress
        self.root = root
        (root / "blobs" / "sha256").mkdir(parents=True, exist_ok=True)
        self._image = repository.manifest(digest)
        self._manifest = _package_manifest(self._image)
        self._statements = _statements(repository, digest)

    def whole(self) -> Layout[Description | RouterDescription]:
        """Fetches all of it, and verifies it."""
        blobs = [*self._manifest.layers, *self._stated_blobs()]
        self._fetch(blobs)
        description, documents = _content(self.root, self._manifest)
        statements = [each.text for each in self._statements]
        for document in (*documents.blobs(), *statements):
            flushed_file(_blobs.blob_path(self.root, _manifest.digest_of(document)), document)
        self._remove_others([*documents.blobs(), *statements], blobs)
        flushed_file(self.root / "oci-layout", _manifest.OCI_LAYOUT)
        index = _manifest.index(description, documents, statements)
        flushed_file(self.root / "index.json", index)
        for directory in (self.root / "blobs" / "sha256", self.root / "blobs", self.root):
            flush(directory)
        return self._verified()

    def join(self, target: Path) -> None:
        """Adds the attestations that a package lacks, verified before."""
        with locked(target):
            layout = read_layout(target)
            known = [text for _, text in layout.attestations]
            missing = [each for each in self._statements if each.text not in known]
            self._fetch([blob for each in missing for blob in each.blobs()])
            for each in missing:
                flushed_file(_blobs.blob_path(self.root, each.entry().digest), each.text)
            entries = [each.entry() for each in missing]
            read_attestations(self.root, entries, layout.documents.image_manifest)
            for each in missing:
                known.append(each.text)
                index = _manifest.index(layout.description, layout.documents, known)
                read = [
                    _blobs.document(self.root, blob, ATTESTATION_LIMIT_BYTES)
                    for blob in each.blobs()
                ]
                blobs = (each.text, *read)
                _attestations.check_room(target, known, blobs, index)
                add_attestation(target, blobs, index)

    def _verified(self) -> Layout[Description | RouterDescription]:
        layout = read_layout(self.root)
        if layout.documents.digest != self._image.digest:
            message = f"what was pulled is {layout.documents.digest}, not {self._image.digest}"
            raise CorruptPackageError(message)
        return layout

    def _stated_blobs(self) -> list[_blobs.Descriptor]:
        return [blob for each in self._statements for blob in each.blobs()]

    def _fetch(self, blobs: Iterable[_blobs.Descriptor]) -> None:
        wanted = {each.digest: each for each in blobs}
        staged_bytes = sum(path.stat().st_size for path in self._held())
        total_bytes = sum(each.size for each in wanted.values())
        check_space(self.root, total_bytes - staged_bytes)
        meter = Meter(total_bytes, self._progress)
        jobs = [partial(self._fetch_one, each, meter) for each in wanted.values()]
        together(self._repository.wire, jobs)

    def _fetch_one(self, blob: _blobs.Descriptor, meter: Meter) -> None:
        whole = _blobs.blob_path(self.root, blob.digest)
        places = Places(whole, self.root.with_name(f"{whole.name}.part"))
        wanted = Descriptor(blob.mediaType, blob.digest, blob.size)
        download(self._repository, wanted, places, meter.add)

    def _held(self) -> list[Path]:
        """What is staged, by this pull or an earlier one."""
        parts = self.root.parent.glob("*.part")
        return [*parts, *(self.root / "blobs" / "sha256").iterdir()]

    def _remove_others(
        self, documents: Sequence[bytes], blobs: Sequence[_blobs.Descriptor]
    ) -> None:
        """Removes blobs that an earlier pull of another package has left."""
        kept = {_manifest.digest_of(each) for each in documents} | {each.digest for each in blobs}
        for path in (self.root / "blobs" / "sha256").iterdir():
            if f"sha256:{path.name}" not in kept:
                path.unlink()


def _package_manifest(image: Manifest) -> _blobs.Manifest:
    """The manifest, if it is that of a package's image.

    Raises:
        CorruptPackageError: it is another one.
    """
    document = image.document
    annotations = document.annotations or {}
    if "io.shoal.name" not in annotations or document.subject is not None:
        raise CorruptPackageError(f"the manifest {image.digest} is not that of a package of Shoal")
    if document.config is None or document.config.mediaType != _IMAGE_CONFIG:
        message = f"the manifest {image.digest} is a package's ModelPack artifact"
        hint = f"Pull its image: the tag without {_names.MODELPACK_SUFFIX}."
        raise CorruptPackageError(message, hint=hint)
    if annotations.get("io.shoal.runtime") == _names.DATASET:
        raise CorruptPackageError(f"the package {image.digest} holds records, expected a model")
    return _strict(image.data, "the image manifest")


def _content(
    root: Path, manifest: _blobs.Manifest
) -> tuple[Description | RouterDescription, Documents]:
    """What the files of a package say, and what follows from them."""
    try:
        layers, text = stated_content(root, manifest)
        description = read_any_description(text)
        return description, _manifest.derive(description, layers)
    except UnsupportedModelError as error:  # no package was ever written so
        raise CorruptPackageError(f"what was pulled is what no package holds: {error}") from error


def _strict(data: bytes, what: str) -> _blobs.Manifest:
    manifest = _blobs.decoded(data, _blobs.Manifest, what)
    for blob in (manifest.config, *manifest.layers):
        if blob.size < 0:
            raise CorruptPackageError(f"{what} states a blob of {blob.size} bytes")
    return manifest


def _statements(repository: Repository, digest: str) -> list[_Statement]:
    """The attestations that refer to a package; what others attached is left out.

    Raises:
        CorruptPackageError: one is none as Shoal writes it, or there are too many.
    """
    found: list[_Statement] = []
    for entry in list_referrers(repository, digest):
        # A list may leave the annotations out; only one that has others tells anything.
        if entry.annotations and _manifest.ATTESTATION_KIND not in entry.annotations:
            continue
        manifest = repository.find_manifest(entry.digest)
        if isinstance(manifest, RegistryError):  # deleted, and still in a list by tag
            continue
        if _manifest.ATTESTATION_KIND in (manifest.document.annotations or {}):
            found.append(_statement(manifest))
        if len(found) > ATTESTATIONS_LIMIT:
            message = f"more than {ATTESTATIONS_LIMIT} attestations refer to {digest}"
            raise CorruptPackageError(message)
    return found


def _statement(manifest: Manifest) -> _Statement:
    statement = _Statement(manifest.data, _strict(manifest.data, "an attestation"))
    if len(statement.manifest.layers) > 1 + ATTACHED_LIMIT:
        raise CorruptPackageError(f"the manifest {manifest.digest} is not an attestation")
    for blob in statement.blobs():
        if blob.size > ATTESTATION_LIMIT_BYTES:
            message = f"{blob.digest} of an attestation states {blob.size} bytes"
            raise CorruptPackageError(f"{message}, at most {ATTESTATION_LIMIT_BYTES} are read")
    return statement
