"""CSV files with a header, as RFC 4180 describes them; other separators on request.

The types of columns are those of the first block of the first file, unless told: what a model
takes is read as its own kind of number, so that a column that starts with whole numbers may go on
with others.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.csv as arrow_csv

from shoal.errors import DuplicateColumnError, MissingColumnError, SourceError
from shoal.source import _text
from shoal.source._pieces import Piece, Placed, Refuse, Refused
from shoal.values import no_records

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from shoal.source._listing import Stored

LINES = _text.Lines(quote=b'"')
HEADERS = 4096
MARK = b"\xef\xbb\xbf"


class Csv:
    """Reads CSV files."""

    def __init__(
        self,
        types: Mapping[str, pa.DataType],
        delimiter: str = ",",
        *,
        moments: Collection[str] = (),
    ) -> None:
        """Takes the types of the columns for which they are known, and those of moments."""
        self._types = {**types, **dict.fromkeys(moments, _text.MOMENT)}
        self._moments = moments
        self._delimiter = delimiter
        self._header = lru_cache(HEADERS)(self._read_header)

    def schema(self, file: Stored) -> pa.Schema:
        """The columns of a file, by the records of its first block that can be read."""
        names, start = self._header(file.path)
        with _text.opened(file.path) as content:
            content.seek(start)
            block = next(_text.blocks(content, LINES, _text.BLOCK_BYTES, file.path), b"")
        if not block.strip():
            return pa.schema({name: self._types.get(name, pa.string()) for name in names})
        try:
            return self._records(block, names, self._types, names).schema
        except pa.ArrowException as error:
            readable = self._readable(block, names)
            if not readable.strip():
                raise SourceError(f"{file.path} cannot be read as CSV: {error}") from error
            return self._records(readable, names, self._types, names).schema

    def pieces(self, file: Stored, start: int) -> Iterator[Piece]:
        """The pieces of a file; the first starts behind the header."""
        return _text.pieces(file, LINES, start or self._header(file.path)[1])

    def share(self, file: Stored, position: int) -> float:
        """How much of a file lies before a position, from 0 to 1."""
        return position / max(file.size_bytes, 1)

    def read(self, piece: Piece, columns: pa.Schema, refuse: Refuse) -> Iterator[Placed]:
        """The records of a piece."""
        names, start = self._header(piece.file)
        if absent := [name for name in columns.names if name not in names]:
            message = f"{piece.file} has no column {absent[0]!r}, which the first file has"
            raise MissingColumnError(message)
        types = dict(zip(columns.names, columns.types, strict=True))
        if _text.is_compressed(piece.file):
            piece = Piece(piece.file, start, piece.end, piece.size_bytes)
        return _text.read(
            piece, LINES, lambda block: self._records(block, names, types, columns.names), refuse
        )

    def alone(self, refused: Refused) -> pa.Schema | None:
        """The columns of a refused record, typed by its values alone; None if it is no record."""
        if not _text.is_whole(refused):
            return None
        names, _ = self._header(refused.file)
        try:
            return self._decode(refused.record.encode(), names, {}, None).schema
        except pa.ArrowException:
            return None

    def _readable(self, block: bytes, names: list[str]) -> bytes:
        """A block without the records that cannot be read; who reads them refuses them."""
        refused: list[tuple[int, int]] = []
        parts = _text.decoded(
            block,
            LINES,
            lambda lines: self._records(lines, names, self._types, names),
            lambda start, record, _: refused.append((start, start + len(record))),
        )
        for _ in parts:
            pass
        starts, ends = zip((0, 0), *refused, strict=True)
        kept = zip(ends, (*starts[1:], len(block)), strict=True)
        return b"".join(block[end:start] for end, start in kept)

    def _read_header(self, path: str) -> tuple[list[str], int]:
        """The names of a file's columns, and where its records start."""
        with _text.opened(path) as content:
            block = next(_text.blocks(content, LINES, _text.BLOCK_BYTES, path), b"")
        end = LINES.first_end(block, 0)
        line = block[:end].removeprefix(MARK)
        if not line.strip():
            raise SourceError(f"{path} has no header, expected the names of its columns")
        whole = line.rstrip(b"\r\n") + b"\n"
        try:
            names = self._decode(whole + whole, None, {}, None).schema.names
        except (pa.ArrowException, UnicodeDecodeError) as error:
            raise SourceError(f"{path} has a header that cannot be read: {error}") from error
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise DuplicateColumnError(f"{path} has two columns {twice[0]!r}")
        return names, end

    def _records(
        self,
        block: bytes,
        names: list[str],
        types: Mapping[str, pa.DataType],
        wanted: list[str],
    ) -> pa.RecordBatch:
        as_text = {**types, **dict.fromkeys(self._moments, pa.string())}
        batch = self._decode(block, names, as_text, wanted)
        return _text.with_moments(batch, self._moments, digits=True)

    def _decode(
        self,
        block: bytes,
        names: list[str] | None,
        types: Mapping[str, pa.DataType],
        wanted: list[str] | None,
    ) -> pa.RecordBatch:
        table = arrow_csv.read_csv(
            pa.BufferReader(block),
            read_options=arrow_csv.ReadOptions(
                use_threads=False, block_size=len(block) + 1, column_names=names
            ),
            parse_options=arrow_csv.ParseOptions(
                delimiter=self._delimiter, newlines_in_values=True
            ),
            convert_options=arrow_csv.ConvertOptions(
                column_types=types, include_columns=wanted, strings_can_be_null=True
            ),
        ).combine_chunks()
        return _one(table)


def _one(table: pa.Table) -> pa.RecordBatch:
    batches = table.to_batches()
    return batches[0] if batches else no_records(table.schema)
