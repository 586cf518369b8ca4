"""Functions that pipelines of the tests call by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow.compute as pc

if TYPE_CHECKING:
    import pyarrow as pa

POISON = 13


def doubled(records: pa.RecordBatch) -> pa.RecordBatch:
    """Records with twice their value."""
    place = records.schema.get_field_index("value")
    return records.set_column(place, "value", pc.multiply(records.column("value"), 2))


def careful(records: pa.RecordBatch) -> pa.RecordBatch:
    """Raises at a value that it does not like."""
    if POISON in records.column("value").to_pylist():
        message = "unlucky"
        raise ValueError(message)
    return records


def positive(records: pa.RecordBatch) -> pa.Array:
    """Whether a value is above zero."""
    return pc.greater(records.column("value"), 0)


def without_key(records: pa.RecordBatch) -> pa.RecordBatch:
    """Records of a topic without their keys, which are bytes."""
    return records.drop_columns(["kafka_key"])


def split_in_two(records: pa.RecordBatch) -> list[dict[str, object]]:
    """Two records for each one."""
    return [row | {"half": half} for row in records.to_pylist() for half in (0, 1)]
