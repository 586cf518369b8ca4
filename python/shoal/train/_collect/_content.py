"""The digest of records: the same for the same columns and values, however they are cut or stored.

For each column three streams are hashed with SHA-256, as little-endian bytes:

- `present`: 1 or 0 for each record;
- `values`: int64, float64 or float32; 1 or 0; days of a date; microseconds of a datetime; the UTF-8
  of all texts, one after the other. Where no value is, there is 0, or no text.
- `lengths`: for texts, how many bytes each has, as int32.

Equal numbers have equal bytes, other than 0.0 and -0.0. The digest of a dataset is that of the
canonical JSON of its schema, the number of its records, and these digests by column.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from shoal.runtime import canonical_json

if TYPE_CHECKING:
    from collections.abc import Iterator

FORMAT = 1


class ContentDigest:
    """Hashes records as they pass."""

    def __init__(self, columns: pa.Schema) -> None:
        """Takes the stored columns."""
        self._streams = {
            name: {stream: hashlib.sha256() for stream in ("present", "values", "lengths")}
            for name in columns.names
        }
        self._rows = 0

    def update(self, batch: pa.RecordBatch) -> None:
        """Takes more records."""
        self._rows += batch.num_rows
        for name, values in zip(batch.schema.names, batch.columns, strict=True):
            streams = self._streams[name]
            for stream, data in _bytes_of(values):
                streams[stream].update(data)

    def of_values(self) -> str:
        """The digest of the records alone: names and values."""
        return self.of(None)

    def of(self, schema: object) -> str:
        """The digest of the records and what is said about them."""
        columns = {
            name: {stream: digest.hexdigest() for stream, digest in streams.items()}
            for name, streams in self._streams.items()
        }
        content = {
            "format": FORMAT,
            "rows": self._rows,
            "columns": list(columns.items()),
            "schema": schema,
        }
        return f"sha256:{hashlib.sha256(canonical_json(content)).hexdigest()}"


def _bytes_of(values: pa.Array) -> Iterator[tuple[str, bytes | memoryview]]:
    yield "present", _plain(pc.is_valid(values), "u1")
    if pa.types.is_null(values.type):
        return
    if pa.types.is_string(values.type):
        texts = pc.fill_null(values, "")
        yield "lengths", _plain(pc.binary_length(texts), "<i4")
        yield "values", _text_bytes(texts)
        return
    if pa.types.is_date32(values.type):
        values = values.cast(pa.int32())
    elif pa.types.is_timestamp(values.type):
        values = values.cast(pa.int64())
    kind = "u1" if pa.types.is_boolean(values.type) else _LITTLE[values.type]
    yield "values", _plain(pc.fill_null(values, False if kind == "u1" else 0), kind)


def _plain(values: pa.Array, kind: str) -> memoryview:
    array = values.to_numpy(zero_copy_only=False)
    return np.ascontiguousarray(array.astype(kind, copy=False)).data


def _text_bytes(texts: pa.Array) -> memoryview:
    _, ends, data = texts.buffers()
    if data is None or not len(texts):
        return memoryview(b"")
    offsets = np.frombuffer(ends, np.int32)[texts.offset : texts.offset + len(texts) + 1]
    return memoryview(data)[int(offsets[0]) : int(offsets[-1])]


_LITTLE = {pa.int32(): "<i4", pa.int64(): "<i8", pa.float32(): "<f4", pa.float64(): "<f8"}
