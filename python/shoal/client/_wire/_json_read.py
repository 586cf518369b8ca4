"""JSON -> columns, as protocol.md reads it: data flat or nested, exact, and never guessed.

msgspec checks the type of every value while it reads them; what is left to do here are ranges,
numbers that stand as text, and records that are missing.
"""

from __future__ import annotations

import re
from array import array
from functools import cache
from itertools import chain, islice
from math import inf, nan, prod
from struct import Struct
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import msgspec

from shoal.client._tables._column import Column, Kind, check_shape, moment_kind
from shoal.client._tables._dtypes import (
    DTYPES,
    FLOATS,
    INTEGER_RANGES,
    check_dtype,
    empty_value,
)
from shoal.client._tables._from_python import check_integers
from shoal.client._tables._moments import read_day, read_moment
from shoal.client._tables._table import Table
from shoal.errors import (
    BodyTooLargeError,
    DtypeError,
    InvalidRequestError,
    MalformedJsonError,
    NullError,
    ShapeError,
)

if TYPE_CHECKING:
    from collections.abc import Callable

_Read = TypeVar("_Read")
_Count = Annotated[int, msgspec.Meta(ge=0)]
_LEFT_OVER = re.compile(rb'[^AQgw]=="|[^AEIMQUYcgkosw048=]="')
_DIGITS = re.compile(r"-?(0|[1-9]\d{0,18}|1\d{19})", re.ASCII)
_MINUS_ZERO = re.compile(rb"-0(?=[,\]])")
_FIRST_VALUE = re.compile(rb"\s*\[(?:[\s,]|null)*(.)")
_SCALARS = {dtype: Kind(dtype) for dtype in DTYPES - {"TIMESTAMP"}}
_WORDS = {"NaN": nan, "Infinity": inf, "-Infinity": -inf}
_LARGEST_FP16 = 65504.0
_FP16 = Struct("<e")
MAX_NULL_VALUES = 1 << 20  # 8 MiB of the widest
_HALF_STEP = {"FP16": 65520.0, "FP32": float.fromhex("0x1.ffffffp127")}


# What is decoded is in no cycle: a garbage collector that goes through thousands of answers which
# came at once takes longer than reading them.
class ColumnJson(msgspec.Struct, gc=False):
    """A column of an answer; fields that nobody knows are passed over."""

    name: str
    dtype: str
    data: msgspec.Raw
    shape: tuple[_Count, ...] = ()
    unit: str | None = None
    zone: str | None = None


class TableJson(msgspec.Struct, gc=False):
    """A table of an answer: its columns, or how many bytes its Arrow stream has."""

    columns: list[ColumnJson] | None = None
    rows: _Count | None = None
    arrow: _Count | None = None


_read_table_json = msgspec.json.Decoder(TableJson)


def read_table_json(body: bytes | memoryview) -> Table:
    """Gives the table of a JSON text; see `read_table`, and `decoded` for other errors."""
    return read_table(decoded(_read_table_json, body))


def decoded(decoder: msgspec.json.Decoder[_Read], body: bytes | memoryview) -> _Read:
    """Gives what a JSON text says.

    Raises:
        MalformedJsonError: It is no JSON.
        InvalidRequestError: A field is missing, or of another type.
    """
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        raise InvalidRequestError(f"the JSON has another structure: {error}") from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise MalformedJsonError(f"the text is no JSON: {error}") from error


def read_table(table: TableJson) -> Table:
    """Gives the table that its JSON says.

    Raises:
        DtypeError: A value is not of the dtype of its column.
        ShapeError: Data does not fill the shape, or columns differ in their number of records.
        NullError: A value is missing inside a record.
        BodyTooLargeError: A few nulls stand for very many values.
        ZoneError: A time has no zone.
        InvalidRequestError: A unit or a shape is none.
        DuplicateColumnError: Two columns have one name.
    """
    if table.columns is None:
        raise InvalidRequestError("the table has neither columns nor an Arrow stream")
    return Table([read_column(column) for column in table.columns], rows=table.rows)


def read_column(column: ColumnJson) -> Column:
    """Gives the column that its JSON says; see `read_table`."""
    is_scalar = not column.shape and column.unit is None and column.zone is None
    kind = _SCALARS.get(column.dtype) if is_scalar else None
    if kind is None:
        kind = _kind(column)
    elif (plain := _plain(column)) is not None:
        return Column(column.name, kind, len(plain), flat=plain)
    values, missing = _values(column)
    if (read := _READERS.get(column.dtype)) is not None:
        values = read(column, values)
    size = prod(column.shape)
    rows = len(missing) if missing is not None else len(values) // size
    if missing is None or column.dtype == "MIXED":
        return Column(column.name, kind, rows, flat=values, missing=missing)
    return Column(column.name, kind, rows, flat=_spread(values, missing, kind), missing=missing)


def _plain(column: ColumnJson) -> list[Any] | None:
    """Gives scalars that are all there, each as JSON has it by itself; None for any others."""
    decode = _PLAIN.get(column.dtype)
    try:
        return None if decode is None else decode(column.data)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None  # nulls, numbers as text, or what is wrong: read by the rules, and told


def _kind(column: ColumnJson) -> Kind:
    check_dtype(column.name, column.dtype)
    check_shape(column.name, column.dtype, column.shape)
    if column.dtype == "TIMESTAMP":
        return moment_kind(column.name, column.unit, column.zone, column.shape)
    if column.unit is not None or column.zone is not None:
        raise InvalidRequestError(f"column {column.name!r} is {column.dtype} with unit or zone")
    return Kind(column.dtype, column.shape)


def _values(column: ColumnJson) -> tuple[list[Any], bytes | None]:
    """Gives the values of the records that are there, in one list, and which records are missing.

    Records without values are told by the second alone.
    """
    data = bytes(column.data)
    if column.dtype in FLOATS and b"-0" in data:
        data = _MINUS_ZERO.sub(b"-0.0", data)  # msgspec reads -0 as 0
    if not column.shape:
        return _without_missing(column, _decoded(column, data, 0))
    if _is_flat(data):
        return _without_missing(column, _cut(column, _decoded(column, data, 0)))
    records = _decoded(column, data, len(column.shape))
    if records.count(None) * prod(column.shape) > MAX_NULL_VALUES:
        raise BodyTooLargeError(
            f"the nulls of column {column.name!r} stand for more than {MAX_NULL_VALUES} values"
        )
    return _without_missing(column, records)


def _without_missing(column: ColumnJson, records: list[Any]) -> tuple[list[Any], bytes | None]:
    """Takes missing records out, and tensors apart."""
    missing = bytes(record is None for record in records) if None in records else None
    if missing is None and not prod(column.shape):
        missing = bytes(len(records))
    if column.dtype == "MIXED":
        return records, missing
    held = [record for record in records if record is not None] if missing else records
    for at, dimension in enumerate(column.shape):
        if at and None in held:
            raise _missing_inside(column)
        if not set(map(len, held)) <= {dimension}:
            raise ShapeError(
                f"column {column.name!r} has a record of another shape than {list(column.shape)}"
            )
        held = list(chain.from_iterable(held))
    if column.shape and None in held:
        raise _missing_inside(column)
    return held, missing


def _spread(values: list[Any], missing: bytes, kind: Kind) -> list[Any]:
    """Puts zero, or nothing, where records are missing."""
    size = prod(kind.shape)
    nothing, rest = [empty_value(kind.dtype)] * size, iter(values)
    return [value for gone in missing for value in (nothing if gone else islice(rest, size))]


def _is_flat(data: bytes) -> bool:
    """Whether data of tensors is flat; nothing but nulls is nested: all records are missing."""
    first = _FIRST_VALUE.match(data)
    return first is not None and first[1] not in b"[]"


def _decoded(column: ColumnJson, data: bytes, depth: int) -> list[Any]:
    try:
        values: list[Any] = _decoder(column.dtype, depth).decode(data)
    except msgspec.ValidationError as error:
        is_shape = "array" in str(error) and column.dtype != "MIXED"
        kind = ShapeError if is_shape else DtypeError
        raise kind(
            f"column {column.name!r} is no list of {column.dtype} of shape {list(column.shape)}: "
            f"{error}"
        ) from error
    except UnicodeDecodeError as error:
        raise MalformedJsonError(f"column {column.name!r} is not UTF-8: {error}") from error
    if column.dtype == "BYTES" and _LEFT_OVER.search(data):
        raise DtypeError(f"column {column.name!r} holds Base64 with bits left over")
    return values


@cache
def _decoder(dtype: str, depth: int) -> msgspec.json.Decoder[list[Any]]:
    """Gives what reads lists of lists of the values of a dtype, in which each may be null."""
    kind: Any = _VALUES.get(dtype, int | str) | None
    for _ in range(depth):
        kind = list[kind] | None
    return msgspec.json.Decoder(list[kind])


_PLAIN: dict[str, Callable[[msgspec.Raw], list[Any]]] = {
    "BOOL": msgspec.json.Decoder(list[bool]).decode,
    "UTF8": msgspec.json.Decoder(list[str]).decode,
    **{
        dtype: msgspec.json.Decoder(list[Annotated[int, msgspec.Meta(ge=low, le=high)]]).decode
        for dtype, (low, high) in INTEGER_RANGES.items()
        if dtype not in {"UINT64", "TIMESTAMP", "DATE"}  # msgspec has no bounds beyond 2**63 - 1
    },
}
_VALUES: dict[str, Any] = {
    "BOOL": bool,
    **dict.fromkeys(FLOATS, float | str),
    **dict.fromkeys(("UTF8", "TIMESTAMP", "DATE"), str),
    "BYTES": bytes,
    "MIXED": bool | int | float | str | dict[str, int | float | str],
}


def _cut(column: ColumnJson, flat: list[Any]) -> list[Any]:
    """Gives flat data as nested, one list for each record, or None where all of it is null."""
    size = prod(column.shape)
    if not size or len(flat) % size:
        raise ShapeError(
            f"column {column.name!r} has {len(flat)} values, expected a multiple of {size} for "
            f"records of shape {list(column.shape)}"
        )
    for dimension in column.shape[:0:-1]:
        flat = [flat[at : at + dimension] for at in range(0, len(flat), dimension)]
    first = column.shape[0]
    records = [flat[at : at + first] for at in range(0, len(flat), first)]
    return [None if _is_null(record) else record for record in records]


def _is_null(record: list[Any]) -> bool:
    return all(each is None or (isinstance(each, list) and _is_null(each)) for each in record)


def _missing_inside(column: ColumnJson) -> NullError:
    return NullError(f"column {column.name!r} has a record of which a part is missing")


def _read_floats(column: ColumnJson, values: list[Any]) -> list[Any]:
    if not set(map(type, values)) <= {float}:
        values = [_WORDS.get(each, each) if isinstance(each, str) else each for each in values]
        for each in values:
            if isinstance(each, str):
                raise DtypeError(f"column {column.name!r} holds {each[:40]!r}, expected a number")
    return values if column.dtype == "FP64" else _rounded(column, values)


def _rounded(column: ColumnJson, values: list[float]) -> list[float]:
    """Rounds FP64 to the dtype, to the nearest, ties to even; refuses what would be infinite."""
    limit = _HALF_STEP[column.dtype]
    for value in values:
        if limit <= abs(value) < inf:
            raise DtypeError(f"column {column.name!r} holds {value}, beyond {column.dtype}")
    if column.dtype == "FP32":
        return array("f", values).tolist()
    return [_as_fp16(value) for value in values]


def _as_fp16(value: float) -> float:
    if _LARGEST_FP16 < abs(value) < inf:
        return _LARGEST_FP16 if value > 0 else -_LARGEST_FP16
    rounded: float = _FP16.unpack(_FP16.pack(value))[0]
    return rounded


def _read_integers(column: ColumnJson, values: list[Any]) -> list[Any]:
    if not set(map(type, values)) <= {int}:
        values = [_as_integer(column, each) for each in values]
    check_integers(column.name, column.dtype, values)
    return values


def _as_integer(column: ColumnJson, value: int | str) -> int:
    if isinstance(value, str) and not _DIGITS.fullmatch(value):
        raise DtypeError(f"column {column.name!r} holds {value[:40]!r}, expected decimal digits")
    return int(value)


def _read_moments(column: ColumnJson, values: list[Any]) -> list[Any]:
    return [read_moment(column.name, text, column.unit or "us") for text in values]


def _read_days(column: ColumnJson, values: list[Any]) -> list[Any]:
    return [read_day(column.name, text) for text in values]


def _read_mixed(column: ColumnJson, values: list[Any]) -> list[Any]:
    return [_scalar(column, value) for value in values]


def _scalar(column: ColumnJson, value: Any) -> Any:
    """Gives a record of MIXED: what it says by itself, or what its object of one field says."""
    if isinstance(value, dict):
        typed = ColumnJson(column.name, "", msgspec.Raw(b""))
        if len(value) != 1 or (found := value.popitem())[0] not in {"INT64", "FP64"}:
            raise DtypeError(f"column {column.name!r} holds an object other than INT64 or FP64")
        typed.dtype = found[0]
        if found[0] == "FP64":
            number = float(found[1]) if isinstance(found[1], int) else found[1]
            return _read_floats(typed, [number])[0]
        if isinstance(found[1], float):
            raise DtypeError(f"column {column.name!r} holds {found[1]}, expected INT64")
        return _read_integers(typed, [found[1]])[0]
    if type(value) is int:
        check_integers(column.name, "INT64", [value])
    return value


_READERS = {
    **dict.fromkeys(FLOATS, _read_floats),
    **dict.fromkeys(INTEGER_RANGES, _read_integers),
    "TIMESTAMP": _read_moments,
    "DATE": _read_days,
    "MIXED": _read_mixed,
}
