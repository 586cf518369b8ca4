"""Reading the column a merge works on: its type checked by name, its nulls left out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from shoal.batch._groups import unpacked
from shoal.errors import DtypeError, MissingColumnError

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray


def type_of(schema: pa.Schema, column: str) -> pa.DataType:
    """Gives a column's type; of a dictionary column, the type of its values.

    Raises:
        MissingColumnError: There is no such column.
    """
    if column not in schema.names:
        raise MissingColumnError(
            f"there is no column {column!r}, only {', '.join(map(repr, schema.names)) or 'none'}",
            hint="answers that are no tables are merged as the column 'value'",
        )
    found = schema.field(column).type
    return found.value_type if pa.types.is_dictionary(found) else found


def checked_type(
    schema: pa.Schema, column: str, *, verb: str, accepts: Callable[[pa.DataType], bool]
) -> pa.DataType:
    """Gives a column's type if `accepts` takes it or every value is null.

    Raises:
        DtypeError: The type is another. The message says what could not be done: `verb`.
    """
    found = type_of(schema, column)
    if not (pa.types.is_null(found) or accepts(found)):
        raise DtypeError(
            f"column {column!r} is {found}: it cannot be {verb}",
            hint="cast the column, or choose another merge",
        )
    return found


def is_number(found: pa.DataType) -> bool:
    """Says whether 64-bit integers or doubles hold every value (booleans count as 0 and 1)."""
    kinds = pa.types
    return bool(kinds.is_integer(found) or kinds.is_floating(found) or kinds.is_boolean(found))


def has_order(found: pa.DataType) -> bool:
    """Says whether values have an order: numbers, times, decimals, text and binary."""
    return is_number(found) or is_temporal(found) or is_sorted_by_arrow(found)


def is_temporal(found: pa.DataType) -> bool:
    """Says whether values are a date, a time or a duration, counted in one unit."""
    kinds = pa.types
    return bool(kinds.is_temporal(found) and not kinds.is_interval(found))


def is_half_width(found: pa.DataType) -> bool:
    """Says whether a temporal value has 32 bits."""
    return bool(pa.types.is_date32(found) or pa.types.is_time32(found))


def is_sorted_by_arrow(found: pa.DataType) -> bool:
    """Says whether values have an order and are no 64-bit number: text, binary, decimals."""
    kinds = pa.types
    checks = (kinds.is_string, kinds.is_large_string, kinds.is_binary, kinds.is_large_binary)
    return any(check(found) for check in (*checks, kinds.is_fixed_size_binary, kinds.is_decimal))


def indices(group: pa.Int32Array) -> NDArray[np.int64]:
    """Gives the group of each row as NumPy indices."""
    places: NDArray[np.int64] = group.to_numpy(zero_copy_only=False).astype(np.int64)
    return places


def present(
    batch: pa.RecordBatch, columns: tuple[str, ...], group: pa.Int32Array
) -> tuple[list[pa.Array], NDArray[np.int64]]:
    """Gives the columns, dictionaries unpacked, and the groups of the rows where none is null."""
    arrays = [unpacked(batch.column(name)) for name in columns]
    groups = indices(group)
    if not any(array.null_count for array in arrays):
        return arrays, groups
    keep = arrays[0].is_valid()
    for array in arrays[1:]:
        keep = pc.and_(keep, array.is_valid())
    return [array.filter(keep) for array in arrays], groups[keep.to_numpy(zero_copy_only=False)]


def numbers(array: pa.Array) -> NDArray[Any]:
    """Gives a column without nulls as int64, uint64 or float64, whichever holds it exactly."""
    found = array.type
    if pa.types.is_floating(found):
        target = pa.float64()
    elif pa.types.is_uint64(found):
        target = found
    else:
        target = pa.int64()  # also a column of nulls only, which is empty here
    values: NDArray[Any] = array.cast(target).to_numpy(zero_copy_only=False)
    return values


def table_of(columns: dict[str, pa.Array], schema: pa.Schema) -> pa.RecordBatch:
    """Gives columns as a record batch of this schema."""
    arrays = [_as_type(columns[field.name], field.type) for field in schema]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _as_type(array: pa.Array, wanted: pa.DataType) -> pa.Array:
    return array if array.type == wanted else array.cast(wanted)
