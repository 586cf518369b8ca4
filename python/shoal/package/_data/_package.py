"""Packages that hold no model, but records: a dataset that is kept, moved and signed as models are.

- The same layout, the same manifests and the same checks; `runtime` says `dataset`, the files lie
  below `datasets/` in the image, and the layers of `data/` are ModelPack's `dataset`.
- `shoal.json` repeats the digest of the records themselves, which does not depend on the package.
- Opening verifies everything. A part of the records is then read where it lies, without a copy.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Literal

import msgspec

from shoal.errors import CorruptPackageError
from shoal.package import _manifest, _names
from shoal.package._read import Layout, open_file, read_described, read_file
from shoal.package._write import write_layout
from shoal.runtime import canonical_json

if TYPE_CHECKING:
    from collections.abc import Mapping
    from os import PathLike

FORMAT = 1
LIMIT_BYTES = 1 << 20


class DataDescription(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The content of `shoal.json` in a package of records.

    Attributes:
        name: The package's name.
        version: The package's version.
        content: The digest of the records.
        rows: How many there are.
        runtime: That there is no model.
        format: The version of the package format.
    """

    name: str
    version: str
    content: str
    rows: int
    runtime: Literal["dataset"] = "dataset"
    format: int = FORMAT


@dataclass(frozen=True)
class DataPackage:
    """A verified package of records on disk."""

    path: Path
    _layout: Layout[DataDescription] = field(repr=False)

    @property
    def digest(self) -> str:
        """The package's one content address."""
        return self._layout.documents.digest

    @property
    def description(self) -> DataDescription:
        """What the package says about itself."""
        return self._layout.description

    def files(self) -> tuple[str, ...]:
        """The names of the files in the package, sorted; `shoal.json` is one of them."""
        return tuple(layer.path for layer in self._layout.layers)

    def read(self, name: str) -> bytes:
        """The content of one file.

        Raises:
            CorruptPackageError: there is no such file, or it changed since the package was opened.
        """
        return read_file(self.path, self.description, self._layer(name))

    def opened(self, name: str) -> BinaryIO:
        """One file, to be read from any place in it; it was verified with the package.

        Raises:
            CorruptPackageError: there is no such file.
            OSError: it cannot be read.
        """
        return open_file(self.path, self.description, self._layer(name))

    def _layer(self, name: str) -> _manifest.Layer:
        for layer in self._layout.layers:
            if layer.path == name:
                return layer
        raise CorruptPackageError(f"the package at {self.path} lacks the file {name}")


def keep_data(
    target: str | PathLike[str], description: DataDescription, files: Mapping[str, bytes | Path]
) -> DataPackage:
    """Writes a package of records: all of it, or nothing.

    Args:
        target: A directory that is not there yet, or holds this very package.
        description: What the package says about itself.
        files: What it holds: bytes, or the path of a file.

    Raises:
        InvalidRequestError: the name or the version cannot be one.
        StorageError: the target holds something else, or cannot be written.
    """
    _names.check_names(description.name, description.version)
    place = Path(target)
    write_layout(place, description, files, read=_read_description)
    return open_data(place)


def open_data(path: str | PathLike[str]) -> DataPackage:
    """Opens a package of records, after verifying all of it.

    Raises:
        PathError: there is nothing at the path.
        CorruptPackageError: it is not, byte for byte, a package of records.
    """
    place = Path(path)
    return DataPackage(place, read_described(place, _read_description))


def _read_description(text: bytes) -> DataDescription:
    if len(text) > LIMIT_BYTES:
        message = f"shoal.json has {len(text)} bytes, at most {LIMIT_BYTES} are read"
        raise CorruptPackageError(message)
    try:
        description = msgspec.json.decode(text, type=DataDescription)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        message = f"shoal.json describes no records: {error}"
        raise CorruptPackageError(message, hint="Is it a package of a model?") from error
    if description.format != FORMAT or canonical_json(description) != text:
        message = f"shoal.json of format {description.format} is not in its canonical form"
        raise CorruptPackageError(message)
    return description
