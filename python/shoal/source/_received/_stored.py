"""What all sources share that store what they receive before they say that they have it.

- What was received lies in `Segments` in the directory of the pipeline; offsets are theirs, so a
  range is the same whenever it is read, until it is committed.
- Records are checked against the columns when they are read; `refuse` is told of those that do
  not fit. Members of JSON that are no columns are passed over.
- What has come to a range that was committed is removed, file by file.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

import pyarrow as pa

from shoal.errors import DtypeError, InvalidRequestError, SourceError, error_for
from shoal.source import _text
from shoal.source._json_lines import LINES, decode
from shoal.source._pieces import Place, Refused
from shoal.source._received._segments import LEAST_SEGMENTS, SEGMENT_BYTES, Segments, records_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from shoal.source._contract import Limit, Offset, Split
    from shoal.source._pieces import Placed, Refuse
    from shoal.source._received._segments import Block

PARTITION = "received"


class StoredSource:
    """Reads what its heir has received and stored."""

    replayable = True
    reads_ahead = False
    is_bounded = False

    def __init__(self, stored: pa.Schema, limit_bytes: int) -> None:
        """Takes the columns of what is stored, and how much may be stored and not yet read.

        Raises:
            InvalidRequestError: a column has a type that is not read from JSON.
        """
        check_columns(stored)
        self._stored = stored
        self._limit_bytes = limit_bytes
        self._log: Segments | None = None

    @property
    def schema(self) -> pa.Schema:
        """The columns of every batch."""
        return self._stored

    def open(self, directory: Path) -> None:
        """Opens what was stored, and begins to receive.

        Raises:
            ConflictError: another process receives into the directory.
            SourceError: it cannot be read or written, or what sends cannot be reached.
        """
        segment_bytes = min(SEGMENT_BYTES, self._limit_bytes // LEAST_SEGMENTS)
        self._log = Segments(
            directory / "received", segment_bytes=segment_bytes, limit_bytes=self._limit_bytes
        )
        try:
            self._begin(self._log)
        except BaseException:
            self._log.close()
            raise

    def initial(self) -> Offset:
        """Before the first record that is still there."""
        return self._opened().initial()

    def latest(self, start: Offset, limit: Limit) -> Offset:
        """Where a range ends of what was stored; it waits for the first record.

        Raises:
            SourceError: nothing more can be received, or what was stored cannot be read.
        """
        log = self._opened()
        is_there = self._wait(log, start, limit.wait_seconds)
        if not is_there and (lost := self._lost()) is not None:
            raise SourceError(f"nothing more is received: {lost}") from lost
        return log.end_within(start, limit)

    def partitions(self, _offset: Offset) -> Sequence[str]:
        """One: records are read as they were received."""
        return (PARTITION,)

    def splits(self, start: Offset, end: Offset) -> Sequence[Split]:
        """The range as one split; none if it is empty."""
        return [] if start == end else [{"partition": PARTITION, "start": start, "end": end}]

    def read(self, split: Split) -> Iterator[pa.RecordBatch]:
        """The records of a split.

        Raises:
            SourceError: it cannot be read.
            DtypeError: a record does not fit the columns.
        """
        return (batch for _, batch in self.read_placed(split, _raise))

    def read_placed(self, split: Split, refuse: Refuse) -> Iterator[Placed]:
        """The records of a split and where they are; `refuse` is told of those that do not fit.

        Raises:
            SourceError: it cannot be read.
        """
        for block in self._opened().read(split["start"], split["end"]):
            told = _refusing(block, refuse)
            for start, batch in _text.decoded(block.lines, LINES, self._decode, told):
                if batch.num_rows:
                    yield Place(_file(block), "byte", block.at + start), batch

    def lag_rows(self, end: Offset) -> int:
        """How many stored records lie behind an offset."""
        return self._opened().rows_behind(end)

    def commit(self, end: Offset) -> None:
        """Removes what lies before `end`.

        Raises:
            SourceError: the disk refuses.
        """
        self._opened().drop(end)

    def close(self) -> None:
        """Receives nothing more."""
        self._end()
        if self._log is not None:
            self._log.close()

    def _begin(self, log: Segments) -> None:
        """Begins to receive into the log."""

    def _wait(self, log: Segments, start: Offset, wait_seconds: float) -> bool:
        """Waits until there is something behind an offset; returns whether there is."""
        return log.wait_beyond(start, wait_seconds)

    def _end(self) -> None:
        """Ends what receives."""

    def _lost(self) -> BaseException | None:
        """What has ended what receives, if something has."""
        return None

    def _decode(self, lines: bytes) -> pa.RecordBatch:
        return fitting(records_of(lines), self._stored)

    def _opened(self) -> Segments:
        if self._log is None:
            raise SourceError("the source is not open")
        return self._log


def fitting(lines: bytes, columns: pa.Schema) -> pa.RecordBatch:
    """Whole lines as records of these columns.

    Raises:
        pa.ArrowException: a record does not fit.
    """
    found = decode(lines, columns, others="ignore")
    return pa.RecordBatch.from_arrays(found.columns, schema=columns)


def check_columns(columns: pa.Schema) -> None:
    """Whether records of these columns can be read from JSON.

    Raises:
        InvalidRequestError: naming the first column that cannot.
    """
    if len(set(columns.names)) < max(len(columns), 1):
        raise InvalidRequestError(f"columns are {columns.names}, expected names that differ")
    for field in columns:
        try:
            decode(b"{}\n", pa.schema([field.with_nullable(nullable=True)]), others="ignore")
        except pa.ArrowException as error:
            message = f"column {field.name!r} is {field.type}, which is not read from JSON"
            raise InvalidRequestError(message) from error


def _refusing(block: Block, refuse: Refuse) -> Callable[[int, bytes, str], None]:
    def refused(start: int, record: bytes, message: str) -> None:
        text = record[: _text.SHOWN_BYTES].decode("utf-8", "replace").rstrip("\n")
        place = f"byte {block.at + start}"
        refuse(Refused(_file(block), place, DtypeError.code, message, text))

    return refused


def _file(block: Block) -> str:
    return f"segment {block.segment}"


def _raise(refused: Refused) -> NoReturn:
    raise error_for(refused.code, f"{refused.file}, {refused.place}: {refused.message}")
