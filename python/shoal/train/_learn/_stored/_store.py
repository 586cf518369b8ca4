"""Prepared records on disk: written in order, read from any place.

- A record has a fixed size: FP32 numbers (NaN where missing), a code for each name, seconds for
  each date, and the target. So a run of records is one read, wherever it lies, and records are
  decoded and converted once, however often they are learned from.
- Nothing is mapped into memory: what the system caches of the file is not this process's.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, TYPE_CHECKING, Any, NamedTuple

import numpy as np

from shoal.errors import SourceError
from shoal.train._learn._places import refused

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Self

    from numpy.typing import NDArray

    from shoal.train._learn._stored._layout import Layout

NAME = "records"
# What messages call the place of a file that has no name.
UNNAMED = Path("a temporary file (TMPDIR says where)")


class Range(NamedTuple):
    """Records from `start` to before `end`."""

    start: int
    end: int


def record_type(layout: Layout) -> np.dtype[Any]:
    """How a record lies on disk."""
    fields = [
        ("target", "<f8"),
        ("seconds", "<i8", (len(layout.dates),)),
        ("numbers", "<f4", (len(layout.numbers),)),
        ("codes", "<i4", (len(layout.categories),)),
    ]
    return np.dtype(fields, align=True)


class Store:
    """Records: appended by one thread, and then read by several.

    Attributes:
        rows: How many there are.
    """

    def __init__(
        self, file: IO[bytes], folder: Path | None, kind: np.dtype[Any], *, rows: int = 0
    ) -> None:
        """Takes an open file of so many records, and the folder that it is kept in."""
        self.rows = rows
        self._file = file
        self._folder = folder
        self._kind = kind
        self._digest = hashlib.sha256(repr(kind).encode())
        self._where = folder or UNNAMED

    @classmethod
    def begun(cls, folder: Path | None, kind: np.dtype[Any]) -> Store:
        """One without a record.

        Args:
            folder: Where they are kept; None for a file without a name, which no kill leaves.
            kind: What a record is.

        Raises:
            SinkError: there is no place for them.
        """
        if folder is None:
            with refused(UNNAMED):
                return cls(TemporaryFile(buffering=0), None, kind)
        with refused(folder):
            return cls((folder / f"{NAME}.part").open("w+b", buffering=0), folder, kind)

    @classmethod
    def opened(cls, folder: Path, kind: np.dtype[Any], rows: int) -> Store | None:
        """The records that a folder keeps; None where they are not there, or not all of them."""
        path = folder / NAME
        if not path.exists() or path.stat().st_size != rows * kind.itemsize:
            return None
        return cls(path.open("rb", buffering=0), folder, kind, rows=rows)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Lets go of the file."""
        self._file.close()

    def append(self, columns: dict[str, NDArray[Any]]) -> None:
        """Takes more records: (rows, width) of each field.

        Raises:
            SinkError: they cannot be written.
        """
        records = np.zeros(len(columns["target"]), self._kind)
        for name, values in columns.items():
            records[name] = values
        view = _bytes_of(records)
        self._digest.update(view)
        self.rows += len(records)
        with refused(self._where):
            while view:
                view = view[self._file.write(view) :]

    @property
    def digest(self) -> str:
        """`sha256:` and the digest of all that was appended."""
        return f"sha256:{self._digest.hexdigest()}"

    def keep(self) -> None:
        """Gives the records their name, if they have a folder.

        Raises:
            SinkError: they cannot be made durable.
        """
        if self._folder is not None:
            with refused(self._where):
                os.fsync(self._file.fileno())
                (self._folder / f"{NAME}.part").rename(self._folder / NAME)

    @staticmethod
    def remove(folder: Path) -> None:
        """Removes the records that a folder keeps."""
        (folder / NAME).unlink(missing_ok=True)

    def read(self, ranges: Sequence[Range]) -> NDArray[Any]:
        """The records of some ranges, one after the other.

        Raises:
            SourceError: they cannot be read.
        """
        size = self._kind.itemsize
        records = np.empty(sum(each.end - each.start for each in ranges), self._kind)
        view = _bytes_of(records)
        for start, end in ranges:
            part = (end - start) * size
            self._fill(view[:part], start * size)
            view = view[part:]
        return records

    def _fill(self, view: memoryview, offset: int) -> None:
        while view:
            try:
                read = os.preadv(self._file.fileno(), [view], offset)
            except OSError as error:
                raise self._unread(error.strerror or str(error)) from error
            if not read:
                raise self._unread("they end too early")
            view, offset = view[read:], offset + read

    def _unread(self, reason: str) -> SourceError:
        return SourceError(f"the prepared records in {self._where} cannot be read: {reason}")


def _bytes_of(records: NDArray[Any]) -> memoryview:
    return records.view(np.uint8).data
