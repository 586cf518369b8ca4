"""A folder of Parquet files: each table that is gathered becomes a row group.

How epochs come to be seen, and what stays after a crash: `_folder_sink.py`.
"""

from __future__ import annotations

from typing import IO, TYPE_CHECKING

import pyarrow.parquet as pq

from shoal.source._folder_sink import Encoding, FolderSink

if TYPE_CHECKING:
    import pyarrow as pa

    from shoal.source._folder_sink import Folder


class ParquetEncoder:
    """Writes one Parquet file."""

    def __init__(self, file: IO[bytes], schema: pa.Schema) -> None:
        self._writer = pq.ParquetWriter(file, schema)

    def write(self, table: pa.Table) -> None:
        """Encodes records as a row group."""
        self._writer.write_table(table, row_group_size=table.num_rows)

    def close(self) -> None:
        """Writes the footer."""
        self._writer.close()


class ParquetSink(FolderSink):
    """Writes Parquet parts to a folder, epoch by epoch."""

    def __init__(self, folder: Folder) -> None:
        """Takes a place; nothing is touched before `open`."""
        super().__init__(folder, Encoding("parquet", ParquetEncoder))
