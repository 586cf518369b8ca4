"""Tables <-> messages of `shoal.v1.Table`.

Values of fixed width travel as their bytes; nothing of them is converted.

Source: protocol/protocol.md, "In protobuf"; protocol/shoal/v1/tasks.proto.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from google.protobuf.message import DecodeError

from shoal.client._tables._column import (
    Column,
    Kind,
    check_shape,
    mask_bytes,
    moment_kind,
    of_numpy,
)
from shoal.client._tables._dtypes import NUMPY_CODES, check_dtype, numpy_dtype
from shoal.client._tables._moments import check_years
from shoal.client._tables._table import Table
from shoal.client._wire._messages import message
from shoal.errors import DtypeError, InvalidRequestError, ProtobufError, ShapeError

_MEMBER_OF = {int: "int64", float: "fp64", str: "utf8", bool: "bool"}


def write_table(table: Table, into: Any) -> None:
    """Fills a message with a table.

    Raises:
        DtypeError: A text is none: it has a lone surrogate.
    """
    into.rows = table.rows
    for column in table.columns:
        _write_column(column, into.columns.add())


def read_table(table: Any) -> Table:
    """Gives the table of a message.

    Raises:
        DtypeError, ShapeError, ZoneError: A column is not what its dtype says.
        DuplicateColumnError: Two columns have one name.
        InvalidRequestError: There are columns beside an Arrow stream.
        ArrowError: The Arrow stream is broken.
    """
    if table.arrow:
        if table.columns or table.rows:
            raise InvalidRequestError("the table has columns or rows beside its Arrow stream")
        from shoal.client._wire._arrow_streams import read_stream

        return read_stream(table.arrow)
    rows = table.rows
    return Table([_read_column(column, rows) for column in table.columns], rows=rows)


def parsed(name: str, body: bytes) -> Any:
    """Gives a message of its bytes.

    Raises:
        ProtobufError: They are none.
    """
    try:
        return message(name).FromString(body)
    except DecodeError as error:
        raise ProtobufError(f"the bytes are no shoal.v1.{name}: {error}") from error


def _write_column(column: Column, into: Any) -> None:
    try:
        into.name = column.name
        into.dtype = column.dtype
        into.shape.extend(column.shape)
        if column.dtype == "MIXED":
            _write_mixed(column.flat(), into.mixed)
            return
        if column.dtype in NUMPY_CODES:
            into.values = column.elements().tobytes()
        else:
            items = column.flat()
            is_text = column.dtype == "UTF8"
            into.items.extend([item.encode() for item in items] if is_text else items)
    except UnicodeEncodeError as error:
        raise DtypeError(
            f"column {column.name!a} holds a text with a lone surrogate, expected UTF-8"
        ) from error
    into.missing = column.missing or b""
    into.unit, into.zone = column.kind.unit, column.kind.zone


def _write_mixed(values: list[Any], into: Any) -> None:
    for value in values:
        scalar = into.add()
        if value is not None:
            setattr(scalar, _MEMBER_OF[type(value)], value)


def _read_column(column: Any, rows: int) -> Column:
    name, dtype, shape = column.name, column.dtype, tuple(column.shape)
    check_dtype(name, dtype)
    check_shape(name, dtype, shape)
    _check_fields(column)
    if dtype == "TIMESTAMP":
        kind = moment_kind(name, column.unit, column.zone, shape)
    elif column.unit or column.zone:
        raise InvalidRequestError(f"column {name!r} is {dtype} with unit or zone")
    else:
        kind = Kind(dtype, shape)
    if dtype in NUMPY_CODES:
        return _read_values(column, kind, rows)
    return _read_mixed(column, rows) if dtype == "MIXED" else _read_items(column, kind, rows)


def _check_fields(column: Any) -> None:
    """Refuses values of another dtype than the column's."""
    is_fixed, is_mixed = column.dtype in NUMPY_CODES, column.dtype == "MIXED"
    wrong = (column.values and not is_fixed) or (column.mixed and not is_mixed)
    if wrong or (column.items and (is_fixed or is_mixed)) or (column.missing and is_mixed):
        raise InvalidRequestError(f"column {column.name!r} is {column.dtype} with others' values")


def _read_values(column: Any, kind: Kind, rows: int) -> Column:
    dtype = numpy_dtype(kind.dtype)
    expected = rows * math.prod(kind.shape) * dtype.itemsize
    if len(column.values) != expected:
        raise ShapeError(
            f"column {column.name!r} has {len(column.values)} bytes of values, expected {expected}"
        )
    if kind.dtype == "BOOL" and column.values.translate(None, b"\0\1"):
        raise DtypeError(f"column {column.name!r} holds a byte other than 0 and 1, expected BOOL")
    values = np.frombuffer(column.values, dtype).reshape(rows, *kind.shape)
    missing = _missing(column, rows)
    if missing is not None and missing.any():
        values = values.copy()
        values[missing] = 0
    check_years(column.name, kind.dtype, kind.unit, values)
    return of_numpy(column.name, kind, values, missing)


def _read_items(column: Any, kind: Kind, rows: int) -> Column:
    size = math.prod(kind.shape)
    items = list(column.items)
    if len(items) != rows * size:
        raise ShapeError(f"column {column.name!r} has {len(items)} items, expected {rows * size}")
    try:
        values: list[Any] = (
            [str(item, "utf-8") for item in items] if kind.dtype == "UTF8" else items
        )
    except UnicodeDecodeError as error:
        raise DtypeError(f"column {column.name!r} holds a text that is not UTF-8") from error
    missing = _missing(column, rows)
    empty = "" if kind.dtype == "UTF8" else b""
    for row in [] if missing is None else np.flatnonzero(missing).tolist():
        values[row * size : (row + 1) * size] = [empty] * size
    return Column(column.name, kind, rows, flat=values, missing=mask_bytes(missing))


def _read_mixed(column: Any, rows: int) -> Column:
    if len(column.mixed) != rows:
        raise ShapeError(f"column {column.name!r} has {len(column.mixed)} values, expected {rows}")
    members = [(scalar, scalar.WhichOneof("value")) for scalar in column.mixed]
    values = [getattr(scalar, member) if member else None for scalar, member in members]
    missing = bytes(value is None for value in values) if None in values else None
    return Column(column.name, Kind("MIXED"), rows, flat=values, missing=missing)


def _missing(column: Any, rows: int) -> Any:
    """Gives which records are missing; None where none is."""
    if not column.missing:
        return None
    if len(column.missing) != rows:
        raise ShapeError(
            f"column {column.name!r} says of {len(column.missing)} records whether they are "
            f"missing, expected {rows}"
        )
    if column.missing.translate(None, b"\0\1"):
        raise DtypeError(f"column {column.name!r} marks a missing record with other than 0 and 1")
    return np.frombuffer(column.missing, np.bool_)
