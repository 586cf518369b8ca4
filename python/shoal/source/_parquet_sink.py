"""A folder of Parquet files: each table that is gathered becomes a row group.

A column is written with a dictionary if its first values repeat; floating point numbers that do not
are left as they are, since Snappy finds nothing in them. Whether they do is seen in the first row
group of a file.

How epochs come to be seen, and what stays after a crash: `_folder_sink.py`.
"""

from __future__ import annotations

from typing import IO, TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from shoal.source._folder_sink import Encoding, FolderSink

if TYPE_CHECKING:
    from collections.abc import Iterator

    from shoal.source._folder_sink import Folder

# Values that are looked at, and how many of them may be distinct for a dictionary to be worth it.
SEEN_VALUES = 4096
MOST_DISTINCT = 0.5


class ParquetEncoder:
    """Writes one Parquet file."""

    def __init__(self, file: IO[bytes], schema: pa.Schema) -> None:
        self._file = file
        self._schema = schema
        self._writer: pq.ParquetWriter | None = None

    def write(self, table: pa.Table) -> None:
        """Encodes records as a row group."""
        self._begun(table).write_table(table, row_group_size=table.num_rows)

    def close(self) -> None:
        """Writes the footer."""
        self._begun(pa.Table.from_batches([], self._schema)).close()

    def _begun(self, table: pa.Table) -> pq.ParquetWriter:
        if self._writer is None:
            leaves = dict(_leaves(table))
            repeating = [name for name, values in leaves.items() if _repeat(values)]
            plain = {
                name
                for name, values in leaves.items()
                if pa.types.is_floating(values.type) and name not in repeating
            }
            compression = {name: "NONE" if name in plain else "SNAPPY" for name in leaves}
            self._writer = pq.ParquetWriter(
                self._file, self._schema, use_dictionary=repeating, compression=compression
            )
        return self._writer


def _leaves(table: pa.Table) -> Iterator[tuple[str, pa.Array]]:
    """The first values of each column of the file, by its path in Parquet."""
    first = table.slice(0, SEEN_VALUES).combine_chunks()
    paths = pq.ParquetFile(_no_rows(table.schema)).schema
    arrays = [leaf for column in first.columns for leaf in _flat(column)]
    for number, values in enumerate(arrays):
        yield paths.column(number).path, values


def _flat(column: pa.Array) -> Iterator[pa.Array]:
    """The values of a column as Parquet stores them: one array for each leaf of its type."""
    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    kind = array.type
    if isinstance(kind, pa.BaseExtensionType):
        yield from _flat(array.storage)
    elif pa.types.is_struct(kind):
        for number in range(kind.num_fields):
            yield from _flat(array.field(number))
    elif pa.types.is_map(kind):
        yield from _flat(array.keys)
        yield from _flat(array.items)
    elif pa.types.is_nested(kind):
        yield from _flat(array.flatten())
    else:
        yield array


def _no_rows(schema: pa.Schema) -> pa.BufferReader:
    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_batches([], schema), sink)
    return pa.BufferReader(sink.getvalue())


def _repeat(values: pa.Array) -> bool:
    """Whether values are worth a dictionary; a column without values may be."""
    seen = values.slice(0, SEEN_VALUES)
    if pa.types.is_dictionary(seen.type) or not len(seen):
        return True
    try:
        distinct: int = pc.count_distinct(seen).as_py()
    except pa.ArrowNotImplementedError:
        return True  # values that Arrow does not compare: Parquet itself gives up where few repeat
    return distinct <= MOST_DISTINCT * len(seen)


class ParquetSink(FolderSink):
    """Writes Parquet parts to a folder, epoch by epoch."""

    def __init__(self, folder: Folder) -> None:
        """Takes a place; nothing is touched before `open`."""
        super().__init__(folder, Encoding("parquet", ParquetEncoder))
