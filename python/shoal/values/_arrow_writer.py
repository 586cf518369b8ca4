"""Wire columns -> Arrow, and which Arrow type each declared column has.

| shape of a record | Arrow type |
|---|---|
| `()` | the plain type |
| `(64,)` | FixedSizeList of 64 |
| `(3, 32, 32)` | `arrow.fixed_shape_tensor` |
| any with -1 | List where it is -1, FixedSizeList elsewhere, from the outside in |

BYTES is `string`, or `binary` where the column is declared binary; so the schema depends on the
declaration only, and never on the values of one micro-batch. Numbers are passed on without a copy.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from shoal.errors import DtypeError, ShapeError
from shoal.values._arrow_reader import as_array, is_list, is_tensor, tensor_shape
from shoal.values._signature import MAX_ITEMS, Column, Dtype, check_unique
from shoal.values._wire import WireColumn, as_buffer, elements_of, match_columns, missing_mask

if TYPE_CHECKING:
    from collections.abc import Sequence

_ARROW_TYPES = {
    Dtype.BOOL: pa.bool_(),
    Dtype.UINT8: pa.uint8(),
    Dtype.UINT16: pa.uint16(),
    Dtype.UINT32: pa.uint32(),
    Dtype.UINT64: pa.uint64(),
    Dtype.INT8: pa.int8(),
    Dtype.INT16: pa.int16(),
    Dtype.INT32: pa.int32(),
    Dtype.INT64: pa.int64(),
    Dtype.FP16: pa.float16(),
    Dtype.FP32: pa.float32(),
    Dtype.FP64: pa.float64(),
    Dtype.BYTES: pa.string(),
}
_TEXT_TYPES = (pa.string(), pa.large_string(), pa.string_view())
_BINARY_TYPES = (pa.binary(), pa.large_binary(), pa.binary_view())
_DTYPES = {kind: dtype for dtype, kind in _ARROW_TYPES.items()} | dict.fromkeys(
    (*_TEXT_TYPES, *_BINARY_TYPES), Dtype.BYTES
)


def schema_of(columns: Sequence[Column]) -> pa.Schema:
    """Gives the Arrow schema that `to_arrow` produces for these columns.

    Raises:
        DuplicateColumnError: Two columns have one name.
    """
    return _schema_of(tuple(columns))


@lru_cache(maxsize=64)
def _schema_of(columns: tuple[Column, ...]) -> pa.Schema:
    check_unique((column.name for column in columns), "the columns")
    return pa.schema([pa.field(c.name, _arrow_type(c), nullable=c.nullable) for c in columns])


def to_arrow(wire: Sequence[WireColumn], columns: Sequence[Column]) -> pa.RecordBatch:
    """Gives wire columns as a table.

    Args:
        wire: Columns in any order.
        columns: What they have to be.

    Returns:
        A batch with the schema `schema_of(columns)`. Numbers share the memory of the wire columns,
        so these must not be changed afterwards.

    Raises:
        InputError: The wire columns are not the declared ones; see `match_columns`.
        DtypeError: A text is not UTF-8.
        ShapeError: A column has more than 2**31 - 1 elements.
    """
    matched = match_columns(wire, columns)
    arrays = [_to_array(one, column) for one, column in zip(matched, columns, strict=True)]
    return pa.record_batch(arrays, schema=schema_of(columns))


def no_records(schema: pa.Schema) -> pa.RecordBatch:
    """A table of these columns without records.

    Arrow's own ways, `empty_table` and `from_pylist`, import pandas wherever it is installed.
    """
    return pa.RecordBatch.from_arrays([pa.nulls(0, each.type) for each in schema], schema=schema)


def infer_columns(batch: pa.RecordBatch | pa.Table) -> tuple[Column, ...]:
    """Gives the columns that describe a table, such as an example of a model's input.

    Shapes come from the types: FixedSizeList and `arrow.fixed_shape_tensor` are fixed, a List
    varies (-1). A column is nullable when a record of it is missing here.

    Raises:
        DtypeError: A type has no dtype: dates, decimals, structures, or a column of nulls only.
        InvalidRequestError: A column has no name.
        DuplicateColumnError: Two columns have one name.
    """
    check_unique(batch.schema.names, "the table")
    return tuple(
        _infer_column(name, as_array(values))
        for name, values in zip(batch.schema.names, batch.columns, strict=True)
    )


def _infer_column(name: str, array: pa.Array) -> Column:
    kind, shape = array.type, []
    while is_list(kind) or is_tensor(kind):
        if is_tensor(kind):
            shape += tensor_shape(kind)
        else:
            shape.append(kind.list_size if pa.types.is_fixed_size_list(kind) else -1)
        kind = kind.value_type
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    if pa.types.is_fixed_size_binary(kind):
        kind = pa.binary()
    dtype = _DTYPES.get(kind)
    if dtype is None:
        raise DtypeError(
            f"column {name!r} is {kind} in Arrow, expected booleans, numbers, text or bytes",
            hint="convert the column, or leave it out",
        )
    is_binary = kind in _BINARY_TYPES
    return Column(name, dtype, tuple(shape), nullable=array.null_count > 0, binary=is_binary)


def _plain_type(column: Column) -> pa.DataType:
    return pa.binary() if column.binary else _ARROW_TYPES[column.dtype]


def _arrow_type(column: Column) -> pa.DataType:
    kind = _plain_type(column)
    if len(column.shape) > 1 and not column.is_variable:
        return pa.fixed_shape_tensor(kind, list(column.shape))
    for dim in reversed(column.shape):
        kind = pa.list_(kind, dim)
    return kind


def _to_array(wire: WireColumn, column: Column) -> pa.Array:
    name, _, shape, _, missing = wire
    if math.prod(shape) > MAX_ITEMS:
        raise ShapeError(
            f"column {name!r} has shape {list(shape)}, expected at most {MAX_ITEMS} elements",
            hint="cut the table into smaller micro-batches",
        )
    mask = None if missing is None else pa.array(missing_mask(missing))
    is_scalar = not column.shape
    plain = _plain_array(wire, column, mask if is_scalar else None)
    if is_scalar:
        return plain
    if column.is_variable or len(column.shape) == 1:
        return _nest(plain, shape, column, mask)
    items = math.prod(column.shape)
    storage = _fixed_lists(plain, items, shape[0], mask)
    return pa.ExtensionArray.from_storage(_arrow_type(column), storage)


def _plain_array(wire: WireColumn, column: Column, mask: pa.Array | None) -> pa.Array:
    """Gives the elements in one flat array."""
    data = wire[3]
    if isinstance(data, list):
        held = pa.array(data, type=pa.binary(), mask=None if mask is None else np.asarray(mask))
        return held if column.binary else _as_text(held, wire)
    elements = elements_of(wire)
    if column.dtype is Dtype.BOOL:
        return pa.array(elements.reshape(-1), mask=None if mask is None else np.asarray(mask))
    # from_buffers, because pa.array copies where there is a mask. Data cut out of a message may lie
    # at any address; only then it is moved to where Arrow wants it.
    held = data if elements.flags.aligned else as_buffer(np.require(elements, requirements="A"))
    validity = None if mask is None else _validity(mask)
    buffers = [validity, pa.py_buffer(held)]
    return pa.Array.from_buffers(_plain_type(column), elements.size, buffers)


def _validity(mask: pa.Array) -> pa.Buffer:
    """Gives Arrow's bitmap: a bit is set where a record is there."""
    return pa.compute.invert(mask).buffers()[1]


def _as_text(held: pa.Array, wire: WireColumn) -> pa.Array:
    try:
        return held.cast(pa.string())
    except pa.ArrowInvalid:
        pass
    name, _, shape, _, _ = wire
    texts = held.to_pylist()
    index = next(at for at, text in enumerate(texts) if text and not _is_text(text))
    row = index // max(1, math.prod(shape[1:]))
    raise DtypeError(
        f"column {name!r} row {row} is {texts[index][:20]!r}, expected UTF-8 text",
        hint="declare the column binary",
    )


def _is_text(value: bytes) -> bool:
    try:
        value.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _fixed_lists(values: pa.Array, size: int, count: int, mask: pa.Array | None) -> pa.Array:
    kind = pa.list_(values.type, size)
    if count == 0:
        return pa.nulls(0, kind)
    return pa.FixedSizeListArray.from_arrays(values, type=kind, mask=mask)


def _nest(values: pa.Array, shape: list[int], column: Column, mask: pa.Array | None) -> pa.Array:
    """Wraps a flat array in lists, from the innermost dimension out."""
    for level in range(len(shape) - 1, 0, -1):
        count = math.prod(shape[:level])
        own_mask = mask if level == 1 else None
        if column.shape[level - 1] != -1:
            values = _fixed_lists(values, shape[level], count, own_mask)
            continue
        offsets = np.arange(count + 1, dtype=np.int64) * shape[level]
        values = pa.ListArray.from_arrays(pa.array(offsets, type=pa.int32()), values, mask=own_mask)
    return values
