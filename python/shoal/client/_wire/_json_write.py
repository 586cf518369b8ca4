"""Columns -> JSON, as protocol.md writes it.

Rules:

- Whole numbers beyond 2**53 - 1 are text, NaN and infinities are `"NaN"`, `"Infinity"` and
  `"-Infinity"`, bytes are Base64, moments ISO 8601 in UTC, a missing record is `null`.
- Scalars are flat, tensors nested.
- What JSON cannot say is refused with its column, before anything is sent.

msgspec writes the values; only what it would write otherwise is turned over value by value.
"""

from __future__ import annotations

from functools import cache, lru_cache
from math import inf, isfinite
from typing import TYPE_CHECKING, Any

import msgspec

from shoal.client._tables._moments import write_day, write_moments
from shoal.client._tables._to_python import nested
from shoal.errors import DtypeError

if TYPE_CHECKING:
    from collections.abc import Callable

    from shoal.client._tables._column import Column, Kind
    from shoal.client._tables._table import Table

EXACT = 2**53 - 1
_FP32 = "<f4"

_encode = msgspec.json.Encoder().encode


def write_table(table: Table) -> bytes:
    """Gives a table as JSON.

    Raises:
        DtypeError: A value is one that JSON cannot say; names the column.
    """
    columns = [write_column(column) for column in table.columns]
    return b'{"rows":%d,"columns":[%b]}' % (table.rows, b",".join(columns))


def write_column(column: Column) -> bytes:
    """Gives a column as JSON; see `write_table`."""
    return b"%b%b}" % (_head(column.name, column.kind), _write_data(column))


@lru_cache(1024)
def _head(name: str, kind: Kind) -> bytes:
    """Gives what stands before the data of a column."""
    head = b'{"name":%b,"dtype":"%b"' % (write_text(name), kind.dtype.encode())
    if kind.shape:
        head += b',"shape":%b' % _encode(kind.shape)
    if kind.unit:
        head += b',"unit":"%b","zone":%b' % (kind.unit.encode(), _encode(kind.zone))
    return head + b',"data":'


def write_text(text: str) -> bytes:
    """Gives a text as JSON.

    Raises:
        DtypeError: It holds half of a surrogate pair, which is no text.
    """
    try:
        return _encode(text)
    except UnicodeEncodeError as error:
        raise DtypeError(f"{ascii(text)[:60]} is no text: it has a lone surrogate") from error


def _write_data(column: Column) -> bytes:
    if column.dtype in {"FP32", "FP16"}:
        return _write_small_floats(column)
    if column.dtype == "FP64" and column.missing is None:
        written = _encode(column.records())
        if b"n" not in written:  # what is not finite would be null
            return written
    values = _WRITERS.get(column.dtype, _integers)(column)
    if column.shape:
        values = nested(list(values), column.shape, column.rows)
    if column.missing is not None:
        pairs = zip(values, column.missing, strict=True)
        values = [None if gone else each for each, gone in pairs]
    try:
        return _encode(values)
    except UnicodeEncodeError as error:
        raise DtypeError(
            f"column {column.name!r} holds a text with a lone surrogate, expected UTF-8"
        ) from error


def _write_small_floats(column: Column) -> bytes:
    """Gives FP32, and FP16 as the FP32 it is, in the fewest digits; Python has those of FP64."""
    values = column.elements()
    if column.dtype == "FP16":
        values = values.astype(_FP32)
    return _fp32_as_json()(values.tobytes(), [column.rows, *column.shape], column.missing)


@cache
def _fp32_as_json() -> Callable[[bytes, list[int], bytes | None], bytes]:
    from shoal._native import fp32_as_json

    return fp32_as_json


def _as_it_is(column: Column) -> list[Any]:
    return column.flat()


def _floats(column: Column) -> list[Any]:
    values = column.flat()
    if isfinite(sum(values)):
        return values
    return [value if isfinite(value) else _not_finite(value) for value in values]


def _not_finite(value: float) -> str:
    return "Infinity" if value == inf else "-Infinity" if value == -inf else "NaN"


def _integers(column: Column) -> list[Any]:
    values = column.flat()
    if not values or (max(values) <= EXACT and min(values) >= -EXACT):
        return values
    return [value if -EXACT <= value <= EXACT else str(value) for value in values]


def _timestamps(column: Column) -> list[Any]:
    return write_moments(column.name, column.flat(), column.kind.unit)


def _days(column: Column) -> list[Any]:
    return [write_day(column.name, day) for day in column.flat()]


def _mixed(column: Column) -> list[Any]:
    return [_scalar(value) for value in column.flat()]


def _scalar(value: object) -> object:
    """Gives a record of MIXED as it is, or as an object that says its type."""
    kind = type(value)
    if kind is float and isinstance(value, float):
        if not isfinite(value):
            return {"FP64": _not_finite(value)}
        return {"FP64": value} if value.is_integer() else value
    if kind is int and isinstance(value, int) and not -EXACT <= value <= EXACT:
        return {"INT64": str(value)}
    return value


_WRITERS: dict[str, Callable[[Column], list[Any]]] = {
    "FP64": _floats,
    **dict.fromkeys(("BOOL", "UTF8", "BYTES"), _as_it_is),
    "TIMESTAMP": _timestamps,
    "DATE": _days,
    "MIXED": _mixed,
}
