"""Opens sealed packages.

- An opened package has been verified whole; reading a file of it verifies that file again.
- Opening, inspecting and verifying digests never run a package's code.
- Attestations stand beside the content: they refer to the package's digest and never change it.
- A folder of a package's files, as its image shows them where it is mounted, opens as the package.
"""

from __future__ import annotations

import shutil
import tempfile
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from shoal import runtime
from shoal.errors import CorruptPackageError, InvalidRequestError, StorageError
from shoal.package import _attestations, _manifest
from shoal.package._read import (
    Identity,
    Layout,
    content_digest,
    copy_file,
    read_attached,
    read_file,
    read_identity,
    read_layout,
)
from shoal.package._unpacked import (
    copy_unpacked_file,
    identify_unpacked,
    read_unpacked,
    read_unpacked_file,
    refuse_to_attest,
    unpacked_content_digest,
    unpacked_folder,
)
from shoal.package._write import add_attestation, locked
from shoal.runtime import RouterDescription

if TYPE_CHECKING:
    from collections.abc import Mapping
    from contextlib import AbstractContextManager
    from os import PathLike

    from shoal.package._attested import Attestation
    from shoal.runtime import Description, Environment, Model, Payload, Route
    from shoal.values import Signature


@dataclass(frozen=True)
class Package:
    """A verified package on disk."""

    path: Path
    _layout: Layout[Description | RouterDescription] = field(repr=False)
    _is_unpacked: bool = field(default=False, repr=False)

    @property
    def digest(self) -> str:
        """The package's one content address: `sha256:` and the image manifest's digest."""
        return self._layout.documents.digest

    @property
    def description(self) -> Description:
        """What the package says about its model.

        Raises:
            InvalidRequestError: the package is a router, which has none.
        """
        about = self._layout.description
        if isinstance(about, RouterDescription):
            message = f"the package {about.name} {about.version} is a router: it has no model"
            hint = "Serve it beside its models: shoal serve MODEL ROUTER; tasks are sent to it."
            raise InvalidRequestError(message, hint=hint)
        return about

    @property
    def runtime(self) -> str:
        """What executes the model: `onnx` or `python`; `router` where there is none."""
        return self._layout.description.runtime

    @property
    def routes(self) -> tuple[Route, ...]:
        """Where a router sends records; nothing of a model."""
        about = self._layout.description
        return about.routes if isinstance(about, RouterDescription) else ()

    @property
    def description_text(self) -> str:
        """The text of `shoal.json`."""
        return self._layout.description_text.decode()

    @property
    def name(self) -> str:
        """The package's name."""
        return self._layout.description.name

    @property
    def version(self) -> str:
        """The package's version."""
        return self._layout.description.version

    @property
    def signature(self) -> Signature:
        """The columns that the model takes and gives.

        Raises:
            InvalidRequestError: the package is a router, which has no columns of its own.
        """
        return self.description.signature

    @property
    def image_directory(self) -> str:
        """Where its files lie in its image, relative to the root: `models/NAME/NUMBER`."""
        return _manifest.path_in_image(self._layout.description, "").rstrip("/")

    def files(self) -> tuple[str, ...]:
        """The names of the files in the package, sorted; `shoal.json` is one of them."""
        return tuple(layer.path for layer in self._layout.layers)

    def sizes_bytes(self) -> dict[str, int]:
        """The size of each file, by its name."""
        return {layer.path: layer.size_bytes for layer in self._layout.layers}

    def digests(self) -> dict[str, str]:
        """The digest of each file's content, by its name; every file is read.

        Raises:
            CorruptPackageError: a file changed since the package was opened.
        """
        digest = unpacked_content_digest if self._is_unpacked else content_digest
        layers = self._layout.layers
        return {each.path: digest(self.path, self._layout.description, each) for each in layers}

    def read(self, name: str) -> bytes:
        """The content of one file.

        Raises:
            CorruptPackageError: there is no such file, or it changed since the package was opened.
        """
        read = read_unpacked_file if self._is_unpacked else read_file
        return read(self.path, self._layout.description, self._layer(name))

    def copy(self, name: str, target: Path) -> None:
        """Writes the content of one file to a path that is not there yet.

        Raises:
            CorruptPackageError: there is no such file, or it changed since the package was opened.
        """
        copy = copy_unpacked_file if self._is_unpacked else copy_file
        copy(self.path, self._layout.description, self._layer(name), target)

    def unpack(self, directory: str | PathLike[str]) -> None:
        """Writes all files to a directory that is not there yet: all of them, or nothing.

        Raises:
            StorageError: the directory holds something, or cannot be written.
            CorruptPackageError: a file changed since the package was opened.
        """
        target = Path(directory)
        staging: str | None = None
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            staging = tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent)
            self._copy_all(Path(staging))
            Path(staging).rename(target)
        except OSError as error:
            message = f"the package cannot be unpacked to {target}: {error.strerror or error}"
            raise StorageError(message) from error
        finally:
            if staging is not None:
                shutil.rmtree(staging, ignore_errors=True)

    def model(self, *, allow_code: bool = False, workers: int | None = None) -> Model:
        """Opens the model; what the arguments mean says `shoal.runtime.load`.

        Raises:
            InvalidRequestError: the package is a router, which has no model.
            UntrustedPackageError: the package runs code, and that is not allowed.
            PackageError: the files do not make a model.
        """
        files = _Contents(self)
        return runtime.load(self.description, files, allow_code=allow_code, workers=workers)

    def payload(
        self, *, allow_code: bool = False, environment: Environment = "current"
    ) -> AbstractContextManager[Payload]:
        """What the native server takes for this package, see `shoal.runtime.payload`.

        Of a router it is nothing.
        """
        if self.routes:
            return nullcontext(b"")
        files = _Contents(self)
        return runtime.payload(
            self.description, files, allow_code=allow_code, environment=environment
        )

    def attest(
        self, kind: str, document: object, *, files: Mapping[str, bytes | Path] | None = None
    ) -> Package:
        """Adds a statement about the package, such as its metrics; the digest stays the same.

        Of several that add at once, in whatever process, one waits for the other.

        Args:
            kind: what it is, in small letters, such as `metrics` or `provenance`.
            document: anything that JSON can hold; a statement of in-toto has to be about this
                package.
            files: what it brings along, by name, such as a report: at most 16 files, of 16 MiB.

        Returns:
            The package as it is then, listing the attestation; the same statement is held once.

        Raises:
            InvalidRequestError: the kind, the document or a file cannot be stored, or the package
                would be too large to be opened.
            PathError: a file cannot be read, or there is no package any more.
            StorageError: the package cannot be written.
        """
        if self._is_unpacked:
            refuse_to_attest(self.path)
        with locked(self.path):
            current = open(self.path)
            layout = current._layout  # noqa: SLF001 - the same class
            made = _attestations.made(kind, document, files or {}, current.digest)
            manifest = made.manifest(layout.documents.image_manifest)
            known = [text for _, text in layout.attestations]
            if manifest not in known:
                manifests, blobs = [*known, manifest], (manifest, *made.blobs())
                index = _manifest.index(layout.description, layout.documents, manifests)
                _attestations.check_room(self.path, manifests, blobs, index)
                add_attestation(self.path, blobs, index)
            return open(self.path)

    def attestations(self) -> tuple[Attestation, ...]:
        """The statements about the package, ordered by digest, as they were when it was opened."""
        return tuple(attestation for attestation, _ in self._layout.attestations)

    def attached(self, name: str) -> bytes:
        """The content of a file that an attestation brings along.

        Raises:
            InvalidRequestError: no attestation brings a file of that name, or several bring others.
            CorruptPackageError: it changed since the package was opened.
        """
        found = {
            file.digest: file
            for attestation in self.attestations()
            for file in attestation.files
            if file.name == name
        }
        if len(found) != 1:
            message = f"{len(found)} attestations of {self.name} bring a file {name!r}, expected 1"
            raise InvalidRequestError(message)
        return read_attached(self.path, *found.values())

    def _layer(self, name: str) -> _manifest.Layer:
        for layer in self._layout.layers:
            if layer.path == name:
                return layer
        message = f"the package {self.name} {self.version} lacks the file {name}"
        raise CorruptPackageError(message)

    def _copy_all(self, directory: Path) -> None:
        directory.chmod(0o755)
        for name in self.files():
            place = directory / name
            place.parent.mkdir(parents=True, exist_ok=True)
            self.copy(name, place)


class _Contents:
    """A package's files as a runtime takes them."""

    def __init__(self, package: Package) -> None:
        self._package = package

    def names(self) -> tuple[str, ...]:
        return self._package.files()

    def read(self, name: str) -> bytes:
        return self._package.read(name)

    def copy(self, name: str, target: Path) -> None:
        self._package.copy(name, target)


def identify(path: str | PathLike[str]) -> Identity:
    """Which package a directory says that it holds: name, version and digest, not verified.

    Raises:
        CorruptPackageError: the directory is not a package of Shoal.
    """
    place = Path(path)
    folder = unpacked_folder(place)
    return read_identity(place) if folder is None else identify_unpacked(folder)


def open(path: str | PathLike[str]) -> Package:
    """Opens the package in a directory, after verifying all of it.

    The directory may also hold the files of a package, as its image shows them where it is mounted,
    or be the root of such an image: the package's digest is then computed from the files.

    Raises:
        PathError: there is nothing at the path.
        CorruptPackageError: it is not, byte for byte, a package.
    """
    place = Path(path)
    if (folder := unpacked_folder(place)) is not None:
        return Package(folder, read_unpacked(folder), _is_unpacked=True)
    return Package(place, read_layout(place))
