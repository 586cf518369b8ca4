"""The files of a package, as a runtime sees them: names relative to the package, no directories."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from shoal.errors import CorruptPackageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path


class Files(Protocol):
    """Where a runtime takes a package's files from; what it gives has been verified."""

    def names(self) -> Iterable[str]:
        """The names of all files, such as `model.onnx` or `source/model.py`."""

    def read(self, name: str) -> bytes:
        """The content of one file."""

    def copy(self, name: str, target: Path) -> None:
        """Writes the content of one file to a path that is not there yet."""


class FilesInMemory:
    """Files held as bytes, or not yet read from their paths."""

    def __init__(self, contents: Mapping[str, bytes | Path]) -> None:
        """Takes the files by name."""
        self._contents = dict(contents)

    def names(self) -> Iterable[str]:
        """The names of all files."""
        return self._contents

    def read(self, name: str) -> bytes:
        """The content of one file.

        Raises:
            CorruptPackageError: there is no such file.
        """
        content = self._contents.get(name)
        if content is None:
            message = f"the package lacks the file {name}"
            raise CorruptPackageError(message)
        return content if isinstance(content, bytes) else content.read_bytes()

    def copy(self, name: str, target: Path) -> None:
        """Writes the content of one file."""
        target.write_bytes(self.read(name))
