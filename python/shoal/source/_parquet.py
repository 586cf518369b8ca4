"""Parquet files: a piece is a row group, and a position the number of one.

Footers are read once for each file. Records are decoded batch by batch, so that the size of a row
group does not matter for memory, and by the thread that asks: several pieces are read at a time.
"""

from __future__ import annotations

from contextlib import contextmanager
from functools import lru_cache
from typing import IO, TYPE_CHECKING, Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from shoal.errors import DtypeError, SourceError
from shoal.source import _places
from shoal.source._pieces import Piece, Place, Placed, Refuse, Refused, rows_of_a_batch

if TYPE_CHECKING:
    from collections.abc import Iterator

    from shoal.source._listing import Stored

# Footers kept in memory: of the files that are being read.
FOOTERS = 16
READ_BYTES = 1 << 20


class Footer(NamedTuple):
    """What the end of a file says."""

    metadata: Any
    columns: pa.Schema


class Parquet:
    """Reads Parquet files."""

    def __init__(self) -> None:
        self._footer = lru_cache(FOOTERS)(_footer)

    def schema(self, file: Stored) -> pa.Schema:
        """The columns of a file."""
        return self._footer(file.path).columns

    def pieces(self, file: Stored, start: int) -> Iterator[Piece]:
        """The row groups of a file, from one on."""
        footer, columns = self._footer(file.path)
        width = width_bytes(columns)
        first_row = sum(footer.row_group(number).num_rows for number in range(start))
        for number in range(start, footer.num_row_groups):
            group = footer.row_group(number)
            # Encoded, equal values take next to nothing; in memory each takes its width.
            size_bytes = max(group.total_byte_size, group.num_rows * width)
            yield Piece(file.path, number, number + 1, size_bytes, group.num_rows, first_row)
            first_row += group.num_rows

    def share(self, file: Stored, position: int) -> float:
        """How much of a file lies before a position, from 0 to 1."""
        row_groups: int = self._footer(file.path).metadata.num_row_groups
        return position / max(row_groups, 1)

    def read(self, piece: Piece, columns: pa.Schema, _refuse: Refuse) -> Iterator[Placed]:
        """The rows of a row group."""
        rows = rows_of_a_batch(piece.size_bytes / max(piece.rows, 1))
        row = piece.first_row
        footer = self._footer(piece.file).metadata
        with (
            _readable(piece.file) as source,
            pq.ParquetFile(
                source, metadata=footer, pre_buffer=False, buffer_size=READ_BYTES
            ) as file,
        ):
            groups = range(piece.start, piece.end)
            for batch in file.iter_batches(rows, groups, columns.names, use_threads=False):
                yield Place(piece.file, "row", row), _as(batch, columns, piece.file)
                row += batch.num_rows

    def alone(self, _refused: Refused) -> pa.Schema | None:
        """No record is refused."""
        return None


def width_bytes(columns: pa.Schema) -> int:
    """How many bytes a record takes in memory, texts and lists of any length not counted."""
    return sum(_width_bits(field.type) for field in columns) // 8


def _width_bits(kind: pa.DataType) -> int:
    if isinstance(kind, pa.FixedShapeTensorType):
        kind = kind.storage_type
    if pa.types.is_fixed_size_list(kind):
        return int(kind.list_size) * _width_bits(kind.value_type)
    if pa.types.is_struct(kind):
        return sum(_width_bits(field.type) for field in kind)
    return int(kind.bit_width) if pa.types.is_primitive(kind) else 0


def _footer(path: str) -> Footer:
    with _readable(path) as source, pq.ParquetFile(source) as file:
        return Footer(file.metadata, file.schema_arrow.remove_metadata())


def _as(batch: pa.RecordBatch, columns: pa.Schema, file: str) -> pa.RecordBatch:
    """The batch with its columns in order, and of the types of the first file."""
    if batch.schema.equals(columns):
        return batch
    try:
        return batch.select(columns.names).cast(columns)
    except (KeyError, pa.ArrowException, ValueError) as error:
        message = f"{file} has other columns than the first file of the source: {error}"
        raise DtypeError(message, hint="Give files of different columns apart.") from error


@contextmanager
def _readable(path: str) -> Iterator[str | IO[bytes]]:
    """What pyarrow reads: a file of this machine by itself."""
    try:
        if _places.is_remote(path):
            with _places.opened(path) as file:
                yield file
        else:
            yield path
    except (pa.ArrowException, OSError) as error:
        raise SourceError(f"{path} cannot be read as Parquet: {error}") from error
