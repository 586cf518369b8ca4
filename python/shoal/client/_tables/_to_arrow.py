"""Columns -> Arrow arrays, without a copy of what is laid out alike.

Tensors are `arrow.fixed_shape_tensor`; MIXED is a dense union of null, bool, int64, double, utf8.

Source: protocol/protocol.md, "In Arrow"; Arrow Columnar Format 1.5.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from shoal.client._tables._dtypes import NUMPY_CODES
from shoal.errors import DtypeError

if TYPE_CHECKING:
    from shoal.client._tables._column import Column, Kind

_MEMBERS = [
    pa.field("null", pa.null()),
    pa.field("bool", pa.bool_()),
    pa.field("int64", pa.int64()),
    pa.field("double", pa.float64()),
    pa.field("utf8", pa.string()),
]
_MEMBER_OF = {type(None): 0, bool: 1, int: 2, float: 3, str: 4}
_TYPES = {
    "UTF8": pa.string(),
    "BYTES": pa.binary(),
    "DATE": pa.date32(),
    "MIXED": pa.dense_union(_MEMBERS),
}
_LARGE = {"UTF8": pa.large_string(), "BYTES": pa.large_binary()}
_SMALL_BYTES = 2**31 - 1


def to_arrow(column: Column) -> pa.Array:
    """Gives the array of a column.

    Raises:
        DtypeError: A text is none: it has a lone surrogate.
    """
    if column.dtype == "MIXED":
        return _union(column.flat())
    mask = None if column.missing is None else np.frombuffer(column.missing, np.bool_)
    if not column.shape:
        return _scalars(column, mask)
    return _tensors(column, mask)


def arrow_type(kind: Kind) -> pa.DataType:
    """Gives the type of the values of a kind, its shape left out."""
    if kind.dtype == "TIMESTAMP":
        return pa.timestamp(kind.unit, kind.zone)
    known = _TYPES.get(kind.dtype)
    return known if known is not None else pa.from_numpy_dtype(np.dtype(NUMPY_CODES[kind.dtype]))


def _scalars(column: Column, mask: Any) -> pa.Array:
    if column.dtype not in NUMPY_CODES:
        return _items(column, mask)
    values = np.ascontiguousarray(column.elements()).reshape(-1)
    if column.dtype in {"TIMESTAMP", "DATE"}:
        kind = arrow_type(column.kind)
        return pa.array(values, mask=mask).view(kind)
    return pa.array(values, mask=mask)


def _items(column: Column, mask: Any) -> pa.Array:
    flat = column.flat()
    kinds = _TYPES if sum(map(len, flat)) * 4 <= _SMALL_BYTES else _LARGE
    records = flat if mask is None else [None if m else v for v, m in zip(flat, mask, strict=True)]
    try:
        return pa.array(records, kinds[column.dtype])
    except UnicodeEncodeError as error:
        raise DtypeError(
            f"column {column.name!r} holds a text with a lone surrogate, expected UTF-8"
        ) from error


def _tensors(column: Column, mask: Any) -> pa.Array:
    values = _scalars(column, None)
    size = math.prod(column.shape)
    valid = None if mask is None else pa.array(~mask).buffers()[1]
    storage = pa.Array.from_buffers(
        pa.list_(values.type, size), column.rows, [valid], children=[values]
    )
    kind = pa.fixed_shape_tensor(values.type, list(column.shape))
    return pa.ExtensionArray.from_storage(kind, storage)


def _union(values: list[Any]) -> pa.Array:
    """Gives a dense union: for each record which member holds it, and where in it."""
    members: list[list[Any]] = [[] for _ in _MEMBERS]
    places = []
    codes = [_MEMBER_OF[type(value)] for value in values]
    for code, value in zip(codes, values, strict=True):
        places.append(len(members[code]))
        members[code].append(value)
    try:
        held = [pa.array(each, field.type) for each, field in zip(members, _MEMBERS, strict=True)]
    except UnicodeEncodeError as error:
        raise DtypeError("a column of MIXED holds a text with a lone surrogate") from error
    names = [field.name for field in _MEMBERS]
    return pa.UnionArray.from_dense(
        pa.array(codes, pa.int8()), pa.array(places, pa.int32()), held, names
    )
