"""Arrow -> columns, without a copy where the type is one of the protocol's.

- Dictionaries and run-ends are decoded, chunks joined; extension types other than
  `arrow.fixed_shape_tensor` are read as what they are stored in.
- Lists are tensors if their lengths are equal; inside a record nothing may be missing.
- A timestamp without a zone is refused. A column of type null is missing in every record.

Source: protocol/protocol.md, "In Arrow".
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from shoal.client._tables._column import (
    Column,
    Kind,
    check_shape,
    moment_kind,
    of_arrow,
    of_records,
)
from shoal.client._tables._dtypes import (
    MAX_DIMENSIONS,
    NUMPY_CODES,
    dtype_of_numpy,
    empty_value,
    numpy_dtype,
)
from shoal.client._tables._moments import ZONE_HINT, check_years
from shoal.errors import DtypeError, NullError, ShapeError, ZoneError

_VIEWED = {"TIMESTAMP": pa.int64(), "DATE": pa.int32()}


def columns_of_table(table: pa.Table | pa.RecordBatch) -> list[Column]:
    """Makes the columns of a table; see `column_of_arrow` for its errors."""
    return [column_of_arrow(name, table.column(at)) for at, name in enumerate(table.schema.names)]


def column_of_arrow(name: str, values: Any) -> Column:
    """Makes a column of an array, a chunked array, or of what gives one (`__arrow_c_stream__`).

    Raises:
        DtypeError: The type has no dtype of the protocol.
        ShapeError: Lists have different lengths.
        NullError: A value is missing inside a record.
        ZoneError: It is a timestamp without a zone.
    """
    array = _plain(values)
    kind = array.type
    if pa.types.is_union(kind):
        return of_records(name, Kind("MIXED"), _union_values(name, array))
    if pa.types.is_null(kind):
        return of_records(name, Kind("MIXED"), [None] * len(array))
    shape, value_type, array = _shape_of(name, array)
    column_kind = _kind_of(name, value_type, shape)
    _check_whole(name, array, column_kind)
    column = of_arrow(name, column_kind, array)
    if column_kind.dtype in _VIEWED:
        check_years(name, column_kind.dtype, column_kind.unit, column.elements())
    return column


def elements_of(array: pa.Array, kind: Kind) -> npt.NDArray[Any]:
    """Gives the values of an array as numpy, shape `[rows, *shape]`, zero where one is missing."""
    rows = len(array)
    held = array.drop_null() if array.null_count else array
    flat = _values_of(held, kind)
    if viewed := _VIEWED.get(kind.dtype):
        flat = flat.view(viewed)
    values: npt.NDArray[Any] = flat.to_numpy(zero_copy_only=False).astype(
        numpy_dtype(kind.dtype), copy=False
    )
    values = values.reshape(len(held), *kind.shape)
    if not array.null_count:
        return values
    spread = np.zeros((rows, *kind.shape), dtype=values.dtype)
    spread[array.is_valid().to_numpy(zero_copy_only=False)] = values
    return spread


def flat_of(array: pa.Array, kind: Kind) -> list[Any]:
    """Gives all values of an array in one list, empty where one is missing."""
    if kind.dtype in NUMPY_CODES:
        values: list[Any] = elements_of(array, kind).reshape(-1).tolist()
        return values
    if not kind.shape:
        records: list[Any] = array.to_pylist()
        empty = empty_value(kind.dtype)
        return (
            [empty if each is None else each for each in records] if array.null_count else records
        )
    held = _values_of(array.drop_null(), kind).to_pylist()
    size = math.prod(kind.shape)
    rest = iter(held)
    return [
        next(rest) if valid else empty_value(kind.dtype)
        for valid in array.is_valid().to_pylist()
        for _ in range(size)
    ]


def missing_of(array: pa.Array) -> bytes | None:
    """Gives one byte for each record, 1 where it is missing; None where none is."""
    if not array.null_count:
        return None
    mask: bytes = array.is_null().to_numpy(zero_copy_only=False).tobytes()
    return mask


def _plain(values: Any) -> pa.Array:
    """Gives one array: chunks joined, dictionaries, run-ends and views decoded."""
    if not isinstance(values, pa.Array | pa.ChunkedArray):
        values = pa.chunked_array(values)
    array = values
    if isinstance(values, pa.ChunkedArray):  # one chunk is not copied
        array = values.chunk(0) if values.num_chunks == 1 else values.combine_chunks()
    if isinstance(array, pa.ExtensionArray) and not isinstance(array.type, pa.FixedShapeTensorType):
        array = array.storage
    if pa.types.is_run_end_encoded(array.type):
        array = pc.run_end_decode(array)
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    if pa.types.is_string_view(array.type):
        return array.cast(pa.large_string())
    if pa.types.is_binary_view(array.type) or pa.types.is_fixed_size_binary(array.type):
        return array.cast(pa.large_binary())
    return array.cast(pa.date32()) if pa.types.is_date64(array.type) else array


def _shape_of(name: str, array: pa.Array) -> tuple[tuple[int, ...], pa.DataType, pa.Array]:
    """Gives the shape of one record, the type of its values, and the array with equal lengths."""
    kind = array.type
    if isinstance(kind, pa.FixedShapeTensorType):
        order = kind.permutation
        if order is not None and list(order) != sorted(order):
            raise DtypeError(
                f"column {name!r} has its dimensions in the order {order}, expected no permutation",
                hint="make the array contiguous first, with numpy.ascontiguousarray",
            )
        return tuple(kind.shape), kind.value_type, array
    shape: list[int] = []
    while pa.types.is_nested(kind) and len(shape) <= MAX_DIMENSIONS:
        if not pa.types.is_fixed_size_list(kind):
            if shape or not hasattr(kind, "value_type") or pa.types.is_map(kind):
                break
            array = _equal_lengths(name, array)
            kind = array.type
        shape.append(kind.list_size)
        kind = kind.value_type
    check_shape(name, str(kind), tuple(shape))
    return tuple(shape), kind, array


def _equal_lengths(name: str, array: pa.Array) -> pa.Array:
    """Gives lists as lists of one fixed length."""
    lengths = pc.unique(pc.list_value_length(array).drop_null())
    if len(lengths) > 1:
        raise ShapeError(
            f"column {name!r} has records of lengths {lengths[0]} and {lengths[1]}, expected equal "
            "lengths",
            hint="send records of other shapes in another table",
        )
    size = lengths[0].as_py() if len(lengths) else 0
    return array.cast(pa.list_(array.type.value_type, size))


def _kind_of(name: str, kind: pa.DataType, shape: tuple[int, ...]) -> Kind:
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return Kind("UTF8", shape)
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        return Kind("BYTES", shape)
    if pa.types.is_date32(kind):
        return Kind("DATE", shape)
    if pa.types.is_timestamp(kind):
        if kind.tz is None:
            raise ZoneError(f"column {name!r} is {kind}, times without a zone", hint=ZONE_HINT)
        return moment_kind(name, kind.unit, kind.tz, shape)
    known = pa.types.is_boolean(kind) or pa.types.is_integer(kind) or pa.types.is_floating(kind)
    dtype = dtype_of_numpy(np.dtype(kind.to_pandas_dtype())) if known else None
    if dtype is None:
        raise DtypeError(
            f"column {name!r} is {kind} in Arrow, which is no dtype of the protocol",
            hint="cast it to a number, text or timestamp first",
        )
    return Kind(dtype, shape)


def _check_whole(name: str, array: pa.Array, kind: Kind) -> None:
    if kind.shape and _values_of(array.drop_null(), kind).null_count:
        raise NullError(f"column {name!r} has a record of which a value is missing, expected all")


def _values_of(array: pa.Array, kind: Kind) -> pa.Array:
    """Gives the values of records, none of which is missing, in one array."""
    values = array.storage if isinstance(array, pa.ExtensionArray) else array
    if not kind.shape:
        return values
    while pa.types.is_fixed_size_list(values.type):
        if values.null_count:
            return pa.nulls(1)
        values = values.flatten()
    return values


def _union_values(name: str, array: pa.Array) -> list[Any]:
    """Gives the records of a union as Python values, None where one is missing."""
    for at in range(array.type.num_fields):
        kind = array.type.field(at).type
        known = (pa.null(), pa.bool_(), pa.int64(), pa.float64(), pa.string(), pa.large_string())
        if kind not in known:
            raise DtypeError(
                f"column {name!r} is a union with {kind}, expected null, bool, int64, double, utf8"
            )
    values: list[Any] = array.to_pylist()
    return values
