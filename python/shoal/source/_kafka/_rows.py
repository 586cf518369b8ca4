"""Rows as records of Kafka: a value, a key and a timestamp.

- Where there is a binary column `value`, its bytes are the value, and a missing one a tombstone;
  columns that are not the key or the timestamp are left out.
- Otherwise a value is a JSON object of all columns (RFC 8259). Timestamps are text with a zone
  (RFC 3339); those without one are taken as UTC. Numbers that JSON has not (NaN, infinite) are
  null. Bytes are refused: JSON has none.
"""

from __future__ import annotations

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from shoal.errors import DtypeError, MissingColumnError, SinkError

RECORDS = pa.schema({"value": pa.large_binary(), "key": pa.large_binary(), "timestamp": pa.int64()})

_JSON = msgspec.json.Encoder()


class Rows:
    """Turns rows of known columns into records."""

    def __init__(self, schema: pa.Schema, key: str | None, timestamp: str | None) -> None:
        """Takes the columns of the rows, and the names of those of the key and the timestamp.

        Raises:
            MissingColumnError: there is no such column.
            DtypeError: a column has a type that cannot be written.
        """
        self._key = key
        self._timestamp = timestamp
        self._is_raw = "value" in schema.names and _is_bytes(schema.field("value").type)
        if key is not None and not _is_text(found := _named(schema, key).type):
            raise DtypeError(f"the column {key} has type {found}, but a key is text or bytes")
        if timestamp is not None and not pa.types.is_timestamp(_named(schema, timestamp).type):
            raise DtypeError(f"the column {timestamp} is no timestamp")
        for field in () if self._is_raw else schema:
            _check(field.name, field.type)

    def records(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """The records of a batch, with the columns `RECORDS`; timestamps in milliseconds.

        Raises:
            SinkError: a row cannot be written.
        """
        none = pa.nulls(batch.num_rows)
        try:
            value = batch["value"] if self._is_raw else pa.array(_objects(batch), pa.large_binary())
            key = none if self._key is None else batch[self._key]
            time = none if self._timestamp is None else _milliseconds(batch[self._timestamp])
            columns = [column.cast(pa.large_binary()) for column in (value, key)]
            return pa.record_batch([*columns, time.cast(pa.int64())], schema=RECORDS)
        except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
            raise SinkError(f"a row cannot be written as a record of Kafka: {error}") from error


def _objects(batch: pa.RecordBatch) -> list[bytes]:
    """Each row as a JSON object."""
    columns = [
        _text(column) if pa.types.is_timestamp(column.type) else column for column in batch.columns
    ]
    rows = pa.record_batch(columns, batch.schema.names).to_pylist()
    return [_JSON.encode(row) for row in rows]


def _text(times: pa.Array) -> pa.Array:
    """Timestamps of any unit as text."""
    unit = times.type.unit
    utc = times.cast(pa.timestamp(unit, "UTC")).cast(pa.timestamp(unit))
    return pc.strftime(utc, format="%Y-%m-%dT%H:%M:%SZ")


def _milliseconds(times: pa.Array) -> pa.Array:
    """Timestamps as Kafka has them: whole milliseconds, after 1970."""
    found = times.cast(pa.timestamp("ms", times.type.tz), safe=False)
    first = pc.min(found.cast(pa.int64())).as_py()
    if first is not None and first <= 0:
        raise ValueError(f"the timestamp {pc.min(times)} does not lie after 1970-01-01T00:00:00Z")
    return found


def _named(schema: pa.Schema, name: str) -> pa.Field:
    if name not in schema.names:
        raise MissingColumnError(f"there is no column {name} to write to Kafka")
    return schema.field(name)


def _check(name: str, kind: pa.DataType) -> None:
    """Refuses a type that JSON cannot say; inside lists and such, times are not made text here."""
    hint = "Leave the column out, or make it text."
    if _is_bytes(kind):
        raise DtypeError(f"the column {name} has bytes, which JSON has not", hint=hint)
    for place in range(kind.num_fields):
        inner = kind.field(place).type
        if pa.types.is_timestamp(inner) and (inner.tz is None or inner.unit == "ns"):
            message = f"the column {name} has times inside that have no zone, or are nanoseconds"
            raise DtypeError(message, hint=hint)
        _check(name, inner)


def _is_text(kind: pa.DataType) -> bool:
    return _is_bytes(kind) or kind in {pa.string(), pa.large_string()}


def _is_bytes(kind: pa.DataType) -> bool:
    known = {pa.binary(), pa.large_binary(), pa.binary_view()}
    return kind in known or isinstance(kind, pa.FixedSizeBinaryType)
