"""Files as a source: bounded, replayable, in the order of their paths.

- An offset is `{"file": i, "at": p}`: all files before number i are read, and file i up to p, which
  is a row group of Parquet and a byte of text.
- Which files there are is settled when the source is made (`Listing`); a run that goes on compares
  its listing with the one that it began with.
- The columns are those of the first file; another file may have more, or another order.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pyarrow as pa

from shoal.source._csv import Csv
from shoal.source._json_lines import JsonLines
from shoal.source._parquet import Parquet
from shoal.source._pieces import Format, Piece, Placed, Refuse, Refused, refuse_all

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence
    from pathlib import Path

    from shoal.source._contract import Limit, Offset, Split
    from shoal.source._listing import Listing, Stored

# All files are one partition: they are read in order.
PARTITION = "files"


class Files:
    """Reads the files of a listing."""

    replayable = True
    reads_ahead = False
    is_bounded = True

    def __init__(
        self,
        found: Listing,
        *,
        types: Mapping[str, pa.DataType] | None = None,
        schema: pa.Schema | None = None,
        moments: Collection[str] = (),
    ) -> None:
        """Looks at the first file.

        Args:
            found: The files.
            types: The types of columns of text files, where the first block should not decide.
            schema: The columns, where they are known without looking.
            moments: Columns of text files that hold moments: ISO 8601 text or whole seconds since
                1970-01-01 UTC, parts of a second cut off. They come out as timestamps.

        Raises:
            SourceError: the first file cannot be read.
        """
        self.listing = found
        self._format = _format(found.format, types or {}, moments)
        self._schema = self._format.schema(found.files[0]) if schema is None else schema
        self._planned: tuple[Offset, list[Piece], Offset] | None = None

    @property
    def schema(self) -> pa.Schema:
        """The columns of every batch."""
        return self._schema

    def choose(self, names: Sequence[str]) -> None:
        """Reads these columns only, in this order."""
        self._schema = pa.schema([self._schema.field(name) for name in names])

    def add(self, found: Sequence[Stored]) -> None:
        """Takes files behind those that there are."""
        self.listing = msgspec.structs.replace(self.listing, files=(*self.listing.files, *found))

    def open(self, _directory: Path) -> None:
        """The listing is all there is to know."""

    def initial(self) -> Offset:
        """Before the first record."""
        return {"file": 0, "at": 0}

    def latest(self, start: Offset, limit: Limit) -> Offset:
        """Where a range of about that size ends."""
        pieces: list[Piece] = []
        end, rows, size_bytes = start, 0, 0
        for piece, after in self._pieces(start):
            pieces.append(piece)
            end = after
            rows += piece.rows
            size_bytes += piece.size_bytes
            if rows >= limit.rows or size_bytes >= limit.size_bytes:
                break
        else:
            end = {"file": len(self.listing.files), "at": 0}
        self._planned = (start, pieces, end)
        return end

    def partitions(self, _offset: Offset) -> Sequence[str]:
        """One: files are read in order."""
        return (PARTITION,)

    def splits(self, start: Offset, end: Offset) -> Sequence[Split]:
        """The range as one split; none if it is empty."""
        if self._planned is None or (self._planned[0], self._planned[2]) != (start, end):
            pieces = [piece for piece, after in self._pieces(start) if _place(after) <= _place(end)]
        else:
            pieces = self._planned[1]
        return [{"partition": PARTITION, "pieces": msgspec.to_builtins(pieces)}] if pieces else []

    def read(self, split: Split) -> Iterator[pa.RecordBatch]:
        """The records of a split.

        Raises:
            SourceError: a file cannot be read; or the error of a record that cannot be.
        """
        return (batch for _, batch in self.read_placed(split, refuse_all))

    def read_placed(self, split: Split, refuse: Refuse) -> Iterator[Placed]:
        """The records of a split and where they are; `refuse` is told of those that cannot be read.

        Raises:
            SourceError: a file cannot be read.
        """
        for piece in msgspec.convert(split["pieces"], list[Piece]):
            yield from self._format.read(piece, self._schema, refuse)

    def alone(self, refused: Refused) -> pa.Schema | None:
        """The columns of a refused record, typed by its values alone; None if it is no record."""
        return self._format.alone(refused)

    def position_bytes(self, offset: Offset) -> int:
        """About how many bytes of all files lie before an offset, for progress."""
        files = self.listing.files
        before = sum(file.size_bytes for file in files[: offset["file"]])
        if not offset["at"]:
            return before
        file = files[offset["file"]]
        return before + int(file.size_bytes * self._format.share(file, offset["at"]))

    def lag_rows(self, _end: Offset) -> int | None:
        """Rows of text are not counted before they are read."""
        return None

    def commit(self, _end: Offset) -> None:
        """Files stay as they are."""

    def close(self) -> None:
        """Nothing is held open between reads."""

    def _pieces(self, start: Offset) -> Iterator[tuple[Piece, Offset]]:
        """The pieces from an offset on, each with the offset behind it."""
        number, at = start["file"], start["at"]
        for file in self.listing.files[number:]:
            for piece in self._format.pieces(file, at):
                yield piece, {"file": number, "at": piece.end}
            number, at = number + 1, 0


def _place(offset: Offset) -> tuple[int, int]:
    return offset["file"], offset["at"]


def _format(name: str, types: Mapping[str, pa.DataType], moments: Collection[str]) -> Format:
    if name == "parquet":
        return Parquet()
    if name == "json_lines":
        return JsonLines(types, moments=moments)
    return Csv(types, "\t" if name == "tsv" else ",", moments=moments)
