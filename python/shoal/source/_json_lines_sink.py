"""A folder of JSON lines: one object per record (RFC 8259), members in the order of the columns.

- Times are texts as RFC 3339 has them, in UTC where the column has a time zone, with all digits
  of the column; durations are those of ISO 8601. Decimals are texts, so that no digit is lost.
- Bytes are base64 (RFC 4648, section 4). What JSON has no number for (NaN, infinity) is null.

How epochs come to be seen, and what stays after a crash: `_folder_sink.py`.
"""

from __future__ import annotations

from typing import IO, TYPE_CHECKING

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from shoal.source._folder_sink import Encoding, FolderSink

if TYPE_CHECKING:
    from shoal.source._folder_sink import Folder

# So many records are Python objects at a time.
ENCODED_ROWS = 2048


class JsonLinesEncoder:
    """Writes one file of JSON lines."""

    def __init__(self, file: IO[bytes], _schema: pa.Schema) -> None:
        self._file = file
        self._encoder = msgspec.json.Encoder()

    def write(self, table: pa.Table) -> None:
        """Encodes records as a line each."""
        for batch in table.to_batches(max_chunksize=ENCODED_ROWS):
            self._file.write(self._encoder.encode_lines(records(batch)))

    def close(self) -> None:
        """Nothing follows the last line."""


class JsonLinesSink(FolderSink):
    """Writes parts of JSON lines to a folder, epoch by epoch."""

    def __init__(self, folder: Folder) -> None:
        """Takes a place; nothing is touched before `open`."""
        super().__init__(folder, Encoding("jsonl", JsonLinesEncoder))


def records(batch: pa.RecordBatch) -> list[dict[str, object]]:
    """Records as values that JSON can carry."""
    columns = [_plain(column) for column in batch.columns]
    table = pa.RecordBatch.from_arrays(columns, names=batch.schema.names)
    rows: list[dict[str, object]] = table.to_pylist()
    return rows


def _plain(column: pa.Array) -> pa.Array:
    """Python's times have microseconds only: times become text here, with all their digits."""
    if isinstance(column, pa.ExtensionArray):
        return column.storage
    if pa.types.is_timestamp(column.type):
        return pc.replace_substring(column.cast(pa.string()), pattern=" ", replacement="T")
    return column.cast(pa.string()) if pa.types.is_time(column.type) else column
