"""A dataset: what was collected, on disk, with the digest of what it holds.

    NAME/
    ├── dataset.json     format, digest, rows of each part, what is out of the ordinary
    ├── schema.json      what holds for all records
    ├── lineage.json     where they come from, without secrets
    └── data/            Parquet parts, in order

- The digest depends on schema and values only (`_content.py`): not on how Parquet encodes them, how
  they are cut into parts, or which machine has done it. `verify` reads everything and compares.
- Opening reads the three documents. A dataset that is kept as a package is verified whole.
- Batches are cut by rows alone, so that they do not depend on the parts either.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Protocol

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from shoal.errors import (
    CorruptPackageError,
    InputError,
    InvalidRequestError,
    MissingColumnError,
    PathError,
)
from shoal.package import DataDescription, keep_data, open_data
from shoal.train._collect._content import ContentDigest
from shoal.train._collect._parts import name_of
from shoal.train._collect._schema import Schema
from shoal.train._collect._survey import Counts

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator, Sequence

    from shoal.package import DataPackage

FORMAT = 1
DATASET, SCHEMA, LINEAGE = "dataset.json", "schema.json", "lineage.json"
LIMIT_BYTES = 64 << 20
TABLE_LIMIT_BYTES = 1 << 30
ROWS = 1 << 14
READ_BYTES = 1 << 20


class Document(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The content of `dataset.json`.

    Attributes:
        digest: The digest of schema and values.
        parts: How many rows each part has.
        counts: What is out of the ordinary, by column.
        format: The version of this form.
    """

    digest: str
    parts: tuple[int, ...]
    counts: dict[str, Counts]
    format: int = FORMAT


class Storage(Protocol):
    """Where the files of a dataset lie."""

    @property
    def path(self) -> Path:
        """The folder, or the package."""

    def read(self, name: str) -> bytes:
        """A document.

        Raises:
            OSError: it cannot be read.
        """

    def opened(self, name: str) -> IO[bytes]:
        """A part, to be read from any place in it.

        Raises:
            OSError: it cannot be read.
        """


@dataclass(frozen=True)
class Folder:
    """A dataset as a folder."""

    path: Path

    def read(self, name: str) -> bytes:
        """See `Storage`."""
        with (self.path / name).open("rb") as file:
            return file.read(LIMIT_BYTES + 1)

    def opened(self, name: str) -> IO[bytes]:
        """See `Storage`."""
        return (self.path / name).open("rb")


@dataclass(frozen=True)
class Kept:
    """A dataset in a package."""

    package: DataPackage

    @property
    def path(self) -> Path:
        """See `Storage`."""
        return self.package.path

    def read(self, name: str) -> bytes:
        """See `Storage`."""
        return self.package.read(name)

    def opened(self, name: str) -> IO[bytes]:
        """See `Storage`."""
        return self.package.opened(name)


@dataclass(frozen=True, repr=False)
class Dataset:
    """Records that were collected.

    Attributes:
        schema: What holds for all records.
        lineage: Where they come from: each input with its digest, query or files, and rows.
    """

    schema: Schema
    lineage: dict[str, Any]
    _document: Document
    _storage: Storage

    def __repr__(self) -> str:
        return f"<Dataset {self.path}: {self.rows} rows, {self.digest}>"

    @property
    def path(self) -> Path:
        """Where it lies: a folder, or a package."""
        return self._storage.path

    @property
    def digest(self) -> str:
        """`sha256:` and the digest of schema and values."""
        return self._document.digest

    @property
    def rows(self) -> int:
        """How many records there are."""
        return sum(self._document.parts)

    @property
    def counts(self) -> dict[str, Counts]:
        """How many values are missing or infinite, by column."""
        return self._document.counts

    def batches(
        self, *, columns: Sequence[str] | None = None, rows: int = ROWS
    ) -> Iterator[pa.RecordBatch]:
        """All records in order, in batches of so many rows; the last one may have fewer.

        Args:
            columns: Which columns, in this order; all unless told.
            rows: How many rows a batch has.

        Raises:
            MissingColumnError: there is no such column.
            InvalidRequestError: a batch would have no row.
            CorruptPackageError: a part cannot be read, or is not as the schema says.
        """
        if rows < 1:
            raise InvalidRequestError(f"a batch of {rows} rows was asked for, expected at least 1")
        names = self.schema.names if columns is None else list(columns)
        if absent := [name for name in names if name not in self.schema.names]:
            message = f"the dataset has no column {absent[0]!r}"
            raise MissingColumnError(f"{message}; there are {', '.join(self.schema.names)}")
        return _cut(self._read(names, rows), rows)

    def to_table(
        self, *, columns: Sequence[str] | None = None, limit_bytes: int = TABLE_LIMIT_BYTES
    ) -> pa.Table:
        """All records in memory.

        Args:
            columns: Which columns; all unless told.
            limit_bytes: How much memory they may take.

        Raises:
            InvalidRequestError: they take more.
            InputError: see `batches`.
        """
        names = self.schema.names if columns is None else list(columns)
        gathered: list[pa.RecordBatch] = []
        size_bytes = 0
        for batch in self.batches(columns=names):
            gathered.append(batch)
            size_bytes += batch.nbytes
            if size_bytes > limit_bytes:
                message = f"the records of {self.path} take more than {limit_bytes} bytes"
                raise InvalidRequestError(message, hint="Read them by `batches`.")
        arrow = self.schema.arrow
        return pa.Table.from_batches(gathered, pa.schema([arrow.field(name) for name in names]))

    def verify(self) -> None:
        """Reads all records and compares them with the digest.

        Raises:
            CorruptPackageError: they are not what was collected.
        """
        found = ContentDigest(self.schema.arrow)
        for batch in self.batches():
            found.update(batch)
        digest = found.of(msgspec.to_builtins(self.schema))
        if digest != self.digest:
            message = f"{self.path} holds records of the digest {digest}, expected {self.digest}"
            raise CorruptPackageError(message)

    def keep(self, output: str | os.PathLike[str], *, name: str, version: str) -> Dataset:
        """Keeps the dataset as a package of its own, with its lineage.

        The package is an OCI image layout, whose layers are ModelPack's `dataset`; it can be
        pushed, signed and referred to as the packages of models are.

        Args:
            output: A directory that is not there yet, or holds this very package.
            name: What the package is called, such as `churn-records`.
            version: Its version.

        Returns:
            The dataset in the package.

        Raises:
            CorruptPackageError: the records are not what was collected.
            InvalidRequestError: the name or the version cannot be one, or it is a package already.
            StorageError: the package cannot be written; nothing half-written is left.
        """
        if not isinstance(self._storage, Folder):
            message = f"{self.path} is a package already"
            raise InvalidRequestError(message, hint="Copy it with skopeo or oras.")
        self.verify()
        description = DataDescription(
            name=name, version=version, content=self.digest, rows=self.rows
        )
        files: dict[str, bytes | Path] = {
            each: self._storage.read(each) for each in (DATASET, SCHEMA, LINEAGE)
        }
        for number in range(len(self._document.parts)):
            files[name_of(number)] = self.path / name_of(number)
        return opened(Kept(keep_data(output, description, files)))

    def _read(self, names: list[str], rows: int) -> Iterator[pa.RecordBatch]:
        arrow = self.schema.arrow
        wanted = pa.schema([arrow.field(name) for name in names])
        for number, expected in enumerate(self._document.parts):
            with self._part(name_of(number)) as part:
                if not part.schema_arrow.equals(arrow) or part.metadata.num_rows != expected:
                    message = f"{name_of(number)} of {self.path} is not as the schema says"
                    raise CorruptPackageError(message)
                for batch in part.iter_batches(rows, columns=names, use_threads=False):
                    yield batch.select(names).cast(wanted)

    @contextmanager
    def _part(self, name: str) -> Iterator[pq.ParquetFile]:
        try:
            with (
                self._storage.opened(name) as file,
                pq.ParquetFile(file, pre_buffer=False, buffer_size=READ_BYTES) as part,
            ):
                yield part
        except (OSError, pa.ArrowException) as error:
            message = f"{name} of {self.path} cannot be read: {error}"
            raise CorruptPackageError(message) from error


def open_dataset(path: str | os.PathLike[str]) -> Dataset:
    """Opens a dataset: a folder that `collect` has made, or a package that holds one.

    Args:
        path: Where it lies.

    Returns:
        The dataset. Its documents are read; its records are when they are asked for. A package is
        verified whole.

    Raises:
        PathError: there is nothing at the path.
        CorruptPackageError: what is there is no dataset, or not as it was.
    """
    place = Path(path)
    if not place.exists():
        raise PathError(f"there is nothing at {place}")
    if not (place / "oci-layout").exists():
        return opened(Folder(place))
    package = open_data(place)
    dataset = opened(Kept(package))
    if (dataset.digest, dataset.rows) != (package.description.content, package.description.rows):
        message = f"{place} holds a dataset of {dataset.digest}, which its package does not say"
        raise CorruptPackageError(message)
    return dataset


def opened(storage: Storage) -> Dataset:
    """The dataset in a storage.

    Raises:
        CorruptPackageError: there is none.
    """
    try:
        document = _decoded(storage, DATASET, Document)
        schema = Schema.from_json(_text(storage, SCHEMA))
        lineage = _decoded(storage, LINEAGE, dict[str, Any])
    except InputError as error:
        raise _no_dataset(storage, str(error)) from error
    if document.format != FORMAT:
        raise _no_dataset(storage, f"it has format {document.format}, {FORMAT} is known")
    return Dataset(schema, lineage, document, storage)


def _decoded(storage: Storage, name: str, kind: Any) -> Any:
    try:
        return msgspec.json.decode(_text(storage, name), type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise _no_dataset(storage, f"{name} cannot be read: {error}") from error


def _text(storage: Storage, name: str) -> bytes:
    try:
        data = storage.read(name)
    except OSError as error:
        raise _no_dataset(storage, f"{name} cannot be read: {error.strerror or error}") from error
    if len(data) > LIMIT_BYTES:
        raise _no_dataset(storage, f"{name} has more than {LIMIT_BYTES} bytes")
    return data


def _no_dataset(storage: Storage, reason: str) -> CorruptPackageError:
    return CorruptPackageError(f"{storage.path} is no dataset: {reason}")


def _cut(batches: Iterator[pa.RecordBatch], rows: int) -> Iterator[pa.RecordBatch]:
    """The same records in batches of exactly so many rows, but for the last."""
    waiting: list[pa.RecordBatch] = []
    count = 0
    for batch in batches:
        rest = batch
        while count + rest.num_rows >= rows:
            waiting.append(rest.slice(0, rows - count))
            rest = rest.slice(rows - count)
            yield _joined(waiting)
            waiting, count = [], 0
        if rest.num_rows:
            waiting.append(rest)
            count += rest.num_rows
    if waiting:
        yield _joined(waiting)


def _joined(batches: list[pa.RecordBatch]) -> pa.RecordBatch:
    return batches[0] if len(batches) == 1 else pa.concat_batches(batches)
