"""Files as the source of a pipeline: those that are there, and those that will come.

- A file counts as of when it appears under its name, so it must appear whole: written elsewhere, or
  under a name that begins with `.` or `_`, and renamed.
- Files are taken in the order in which they were found, and by path where several were. What was
  found is stored before it is taken, so that a run which goes on after a crash finds the same
  order, whatever has come since.
- A file that changes after it was found is refused by name: what was read of it is not known.
- Columns and their types are stored when the first file is found. What was read as a moment then
  stays one; columns that are named as moments later become some, which changes the pipeline.
"""

from __future__ import annotations

import os
from copy import copy
from typing import TYPE_CHECKING, Final

import msgspec
import pyarrow as pa

from shoal.errors import InvalidRequestError, MissingColumnError, PathError, SourceError
from shoal.source._files import PARTITION, Files
from shoal.source._folder import LocalFolder
from shoal.source._listing import Listing, Stored, form_of, listing
from shoal.source._sync import refused, sync_directory
from shoal.source._text import MOMENT

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
    from pathlib import Path

    from shoal.source._contract import Limit, Offset, Split
    from shoal.source._pieces import Placed, Refuse

FOUND: Final = "files.jsonl"
# The columns of the first file, which may be gone when the pipeline goes on.
COLUMNS: Final = "columns.arrow"
# Where that file names those of moments.
MOMENTS: Final = b"shoal.moments"
# How often a folder is looked at.
LOOK_SECONDS: Final = 1.0


class FileSource:
    """Reads Parquet, CSV or JSON lines; see `shoal.source.listing` for what `where` may be."""

    replayable = True
    reads_ahead = False

    def __init__(  # noqa: PLR0913 - each is said of the files alone
        self,
        where: str | os.PathLike[str],
        *,
        watch: bool = False,
        form: str | None = None,
        types: Mapping[str, pa.DataType] | None = None,
        moments: Collection[str] = (),
        clock: Callable[[], float] | None = None,
    ) -> None:
        """Takes a place; nothing is read before `open`.

        Args:
            where: A file, a folder or a pattern, of this machine or a store.
            watch: Whether to take files that appear later, without end.
            form: The format, where the names of files do not say it.
            types: The types of columns of text files, where the first block should not decide.
            moments: Columns of text files that hold moments: ISO 8601 text or whole seconds since
                1970-01-01 UTC, parts of a second cut off. They come out as timestamps. A pipeline
                adds what the package takes that it maps first.
            clock: What tells the time in seconds; the system's own unless told.

        Raises:
            InvalidRequestError: a column has a type and is one of moments.
        """
        import time

        if both := sorted(set(types or {}) & set(moments)):
            message = f"the column {both[0]!r} has a type and holds moments, expected one of both"
            raise InvalidRequestError(message)
        self.is_bounded = not watch
        self._where = os.fspath(where)
        self.columns: tuple[str, ...] | None = None
        self._form = form
        self._types = types or {}
        self.moments = frozenset(moments)
        self._clock = clock or time.monotonic
        self._looked: float | None = None
        self._files: Files | None = None
        self._format = ""
        self._log: Path | None = None

    def select(self, *columns: str) -> FileSource:
        """This source with these columns only, in this order; others are not decoded.

        Raises:
            InvalidRequestError: there is none, or one is named twice.
        """
        if not columns or len(set(columns)) < len(columns):
            raise InvalidRequestError(f"{columns} was selected, expected each column once")
        selected = copy(self)
        selected.columns = columns
        return selected

    def with_moments(self, columns: Collection[str]) -> FileSource:
        """This source with moments in these columns too, save those that were given types."""
        told = copy(self)
        told.moments |= set(columns) - set(self._types)
        return told

    @property
    def schema(self) -> pa.Schema:
        """The columns of every batch: those of the first file, or those selected."""
        return self._opened.schema

    def open(self, directory: Path) -> None:
        """Looks for files, beside those that were found before.

        Raises:
            PathError: there are none yet: their columns would be unknown.
            MissingColumnError: the first one lacks a column that was selected or named.
            SourceError: one that was found before has changed, or what is found cannot be stored.
        """
        self._log = directory / FOUND
        with refused(SourceError, directory):
            directory.mkdir(parents=True, exist_ok=True)
            known = _known(self._log)
        found = self._missing(known)
        stored = [*known, *found]
        if not stored:
            message = f"there are no files of a known format at {self._where}"
            raise PathError(message, hint="The first file says which columns there are.")
        self._remember(found)
        self._format = self._form or form_of(stored[0].path) or ""
        self._files = self._opened_at(directory, Listing(self._format, tuple(stored)))
        if self.columns is not None:
            self._choose(self._files, self.columns)

    def initial(self) -> Offset:
        """Before the first record."""
        return self._opened.initial()

    def latest(self, start: Offset, limit: Limit) -> Offset:
        """Where an epoch ends; a folder that is watched is looked at about once a second."""
        now = self._clock()
        is_due = self._looked is None or now - self._looked >= LOOK_SECONDS
        if not self.is_bounded and is_due:
            self._looked = now
            found = self._missing(self._opened.listing.files)
            self._remember(found)
            self._opened.add(found)
        if start["file"] == len(self._opened.listing.files):
            return start
        return self._opened.latest(start, limit)

    def partitions(self, _offset: Offset) -> Sequence[str]:
        """One: files are read in order."""
        return (PARTITION,)

    def splits(self, start: Offset, end: Offset) -> Sequence[Split]:
        """The range as one split; none if it is empty."""
        return self._opened.splits(start, end)

    def read(self, split: Split) -> Iterator[pa.RecordBatch]:
        """The records of a split; see `Files.read`."""
        return self._opened.read(split)

    def read_placed(self, split: Split, refuse: Refuse) -> Iterator[Placed]:
        """The records of a split and where they are; see `Files.read_placed`."""
        return self._opened.read_placed(split, refuse)

    def lag_rows(self, _end: Offset) -> int | None:
        """Rows of files are not counted before they are read."""
        return None

    def commit(self, _end: Offset) -> None:
        """Files stay as they are."""

    def close(self) -> None:
        """Nothing is held open between reads."""

    @property
    def _opened(self) -> Files:
        if self._files is None:
            raise SourceError("the source was not opened")
        return self._files

    def _opened_at(self, directory: Path, found: Listing) -> Files:
        """The files, with the columns that were stored; without any, stores those that there are.

        Raises:
            MissingColumnError: a column that should hold moments is not there.
        """
        schema, moments = None, self.moments
        if (directory / COLUMNS).exists():
            schema, before = _stored_columns((directory / COLUMNS).read_bytes())
            moments |= before
            schema = _with_moments(schema, moments if found.format != "parquet" else ())
        files = Files(found, types=self._types, schema=schema, moments=moments)
        self._refuse_absent(files, sorted(moments))
        if schema is None:
            said = {MOMENTS: msgspec.json.encode(sorted(moments))} if moments else {}
            stored = files.schema.with_metadata({**(files.schema.metadata or {}), **said})
            LocalFolder(directory).create(COLUMNS, stored.serialize().to_pybytes())
        return files

    def _choose(self, files: Files, columns: Sequence[str]) -> None:
        self._refuse_absent(files, columns)
        files.choose(columns)

    def _refuse_absent(self, files: Files, columns: Sequence[str]) -> None:
        there = files.schema.names
        if absent := [name for name in columns if name not in there]:
            message = f"{self._where} has no column {absent[0]!r}, only {', '.join(there)}"
            raise MissingColumnError(message)

    def _missing(self, known: Sequence[Stored]) -> list[Stored]:
        """Files that were not found before, by path.

        Raises:
            SourceError: one that was found has changed.
        """
        by_path = {file.path: file for file in known}
        try:
            there = listing(self._where, form=self._form)
        except PathError:
            if not known:
                raise
            return []
        if self._format not in {"", there.format}:
            message = (
                f"{there.files[0].path} is {there.format}, the files before are {self._format}"
            )
            raise SourceError(message)
        for file in there.files:
            if by_path.get(file.path, file) != file:
                message = f"{file.path} changed after it was found"
                raise SourceError(message, hint="Give new records in a new file.")
        return [file for file in there.files if file.path not in by_path]

    def _remember(self, found: Sequence[Stored]) -> None:
        if self._log is None or not found:
            return
        with refused(SourceError, self._log):
            is_new = not self._log.exists()
            with self._log.open("ab") as log:
                log.write(b"".join(msgspec.json.encode(file) + b"\n" for file in found))
                log.flush()
                os.fsync(log.fileno())
            if is_new:
                sync_directory(self._log.parent)


def _stored_columns(content: bytes) -> tuple[pa.Schema, set[str]]:
    """Columns as they were stored, and those of them that were read as moments."""
    schema = pa.ipc.read_schema(pa.py_buffer(content))
    said = dict(schema.metadata or {})
    moments = msgspec.json.decode(said.pop(MOMENTS, b"[]"), type=set[str])
    return schema.with_metadata(said or None), moments


def _with_moments(schema: pa.Schema, names: Collection[str]) -> pa.Schema:
    fields = [field.with_type(MOMENT) if field.name in names else field for field in schema]
    return pa.schema(fields, schema.metadata)


def _known(log: Path) -> list[Stored]:
    """What was found before; a line that a crash cut off is dropped: nobody has read its file."""
    if not log.exists():
        return []
    content = log.read_bytes()
    whole = content[: content.rfind(b"\n") + 1]
    if len(whole) < len(content):
        with log.open("r+b") as file:
            file.truncate(len(whole))
            os.fsync(file.fileno())
    return [msgspec.json.decode(line, type=Stored) for line in whole.splitlines()]
