"""Records as Parquet parts in order: `data/000000.parquet`, `data/000001.parquet` ...

Records are gathered until they are worth a row group, and row groups until they are worth a part;
so at most one row group is held in memory, whatever the micro-batches are.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

if TYPE_CHECKING:
    from pathlib import Path

ROW_GROUP_BYTES = 16 << 20
PART_BYTES = 256 << 20
FOLDER = "data"


def name_of(number: int) -> str:
    """The path of a part inside its dataset."""
    return f"{FOLDER}/{number:06d}.parquet"


class Parts:
    """Writes the parts of a dataset."""

    def __init__(self, root: Path, schema: pa.Schema) -> None:
        """Takes the folder of the dataset."""
        self.rows: list[int] = []
        self._root = root
        self._schema = schema
        self._waiting: list[pa.RecordBatch] = []
        self._waiting_bytes = 0
        self._part_bytes = 0
        self._writer: pq.ParquetWriter | None = None
        (root / FOLDER).mkdir()

    def write(self, batch: pa.RecordBatch) -> None:
        """Takes more records."""
        if not batch.num_rows:
            return
        self._waiting.append(batch)
        self._waiting_bytes += batch.nbytes
        if self._waiting_bytes >= ROW_GROUP_BYTES:
            self._write_group()
        if self._part_bytes >= PART_BYTES:
            self._end_part()

    def close(self) -> None:
        """Writes what waits."""
        if self._waiting:
            self._write_group()
        self._end_part()

    def drop(self) -> None:
        """Lets go of the part that was being written; the folder is removed by its owner."""
        self._waiting = []
        if self._writer is not None:
            # The disk may be full: what was written is thrown away in any case.
            with suppress(OSError, pa.ArrowException):
                self._writer.close()
            self._writer = None

    def _write_group(self) -> None:
        table = pa.Table.from_batches(self._waiting, self._schema)
        if self._writer is None:
            path = self._root / name_of(len(self.rows))
            self._writer = pq.ParquetWriter(path, self._schema, compression="snappy")
            self.rows.append(0)
        self._writer.write_table(table, row_group_size=table.num_rows)
        self.rows[-1] += table.num_rows
        self._part_bytes += self._waiting_bytes
        self._waiting, self._waiting_bytes = [], 0

    def _end_part(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None
        self._part_bytes = 0
