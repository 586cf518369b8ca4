"""JSON -> columns, as protocol.md reads it: data flat or nested, exact, and never guessed.

msgspec checks the type of every value while it reads them; what is left to do here are ranges,
numbers that stand as text, and records that are missing.
"""

from __future__ import annotations

import re
from functools import cache
from itertools import chain
from math import inf, nan, prod
from typing import Annotated, Any, TypeVar

import msgspec

from shoal.client._tables._column import Column, Kind, check_shape, moment_kind, of_records
from shoal.client._tables._dtypes import FLOATS, INTEGER_RANGES, check_dtype
from shoal.client._tables._from_python import check_integers
from shoal.client._tables._moments import read_day, read_moment
from shoal.client._tables._table import Table
from shoal.errors import DtypeError, InvalidRequestError, MalformedJsonError, NullError, ShapeError

_Read = TypeVar("_Read")
_Count = Annotated[int, msgspec.Meta(ge=0)]
_LEFT_OVER = re.compile(rb'[^AQgw]=="|[^AEIMQUYcgkosw048=]="')
_DIGITS = re.compile(r"-?(0|[1-9]\d{0,18}|1\d{19})", re.ASCII)
_MINUS_ZERO = re.compile(rb"-0(?=[,\]])")
_FIRST_VALUE = re.compile(rb"\s*\[(?:[\s,]|null)*(.)")
_WORDS = {"NaN": nan, "Infinity": inf, "-Infinity": -inf}
_LARGEST = {"FP16": 65504.0, "FP32": float.fromhex("0x1.fffffep127")}
_HALF_STEP = {"FP16": 65520.0, "FP32": float.fromhex("0x1.ffffffp127")}


class ColumnJson(msgspec.Struct):
    """A column of an answer; fields that nobody knows are passed over."""

    name: str
    dtype: str
    data: msgspec.Raw
    shape: tuple[_Count, ...] = ()
    unit: str | None = None
    zone: str | None = None


class TableJson(msgspec.Struct):
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
        ZoneError: A time has no zone.
        InvalidRequestError: A unit or a shape is none.
        DuplicateColumnError: Two columns have one name.
    """
    if table.columns is None:
        raise InvalidRequestError("the table has neither columns nor an Arrow stream")
    return Table([read_column(column) for column in table.columns], rows=table.rows)


def read_column(column: ColumnJson) -> Column:
    """Gives the column that its JSON says; see `read_table`."""
    check_dtype(column.name, column.dtype)
    check_shape(column.name, column.dtype, column.shape)
    kind = _kind(column)
    records = _records(column)
    if (read := _READERS.get(column.dtype)) is not None:
        records = read(column, records)
    return of_records(column.name, kind, records)


def _kind(column: ColumnJson) -> Kind:
    if column.dtype == "TIMESTAMP":
        return moment_kind(column.name, column.unit, column.zone, column.shape)
    if column.unit is not None or column.zone is not None:
        raise InvalidRequestError(f"column {column.name!r} is {column.dtype} with unit or zone")
    return Kind(column.dtype, column.shape)


def _records(column: ColumnJson) -> list[Any]:
    """Gives a value, or a list of values, for each record, None where it is missing."""
    data = bytes(column.data)
    if column.dtype in FLOATS and b"-0" in data:
        data = _MINUS_ZERO.sub(b"-0.0", data)  # msgspec reads -0 as 0
    depth = len(column.shape)
    if depth and _is_flat(data):
        return _cut(column, _decoded(column, data, 0))
    values = _decoded(column, data, depth)
    return [_flattened(column, record) for record in values] if depth else values


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


_VALUES: dict[str, Any] = {
    "BOOL": bool,
    **dict.fromkeys(FLOATS, float | str),
    **dict.fromkeys(("UTF8", "TIMESTAMP", "DATE"), str),
    "BYTES": bytes,
    "MIXED": bool | int | float | str | dict[str, int | float | str],
}


def _cut(column: ColumnJson, flat: list[Any]) -> list[Any]:
    size = prod(column.shape)
    if not size or len(flat) % size:
        raise ShapeError(
            f"column {column.name!r} has {len(flat)} values, expected a multiple of {size} for "
            f"records of shape {list(column.shape)}"
        )
    records = [flat[at : at + size] for at in range(0, len(flat), size)]
    return [_one_record(column, record) for record in records]


def _one_record(column: ColumnJson, record: list[Any]) -> list[Any] | None:
    gone = record.count(None)
    if gone and gone < len(record):
        raise NullError(f"column {column.name!r} has a record of which a value is missing")
    return None if gone else record


def _flattened(column: ColumnJson, record: list[Any] | None) -> list[Any] | None:
    """Gives the values of a nested record in one list, its lengths checked."""
    if record is None:
        return None
    level, above = record, 1
    for at, dimension in enumerate(column.shape):
        if at:
            if None in level:
                raise NullError(f"column {column.name!r} has a record of which a part is missing")
            if any(len(each) != dimension for each in level):
                raise _ragged(column)
            level = list(chain.from_iterable(level))
        above *= dimension
        if len(level) != above:
            raise _ragged(column)
    return _one_record(column, level) if None in level else level


def _ragged(column: ColumnJson) -> ShapeError:
    return ShapeError(
        f"column {column.name!r} has a record of another shape than {list(column.shape)}"
    )


def _each(column: ColumnJson, records: list[Any], read: Any) -> list[Any]:
    """Turns over every value, in tensors as well."""
    if not column.shape:
        return [None if record is None else read(record) for record in records]
    return [None if record is None else [read(each) for each in record] for record in records]


def _read_floats(column: ColumnJson, records: list[Any]) -> list[Any]:
    if column.dtype == "FP64" and not column.shape and set(map(type, records)) <= {float}:
        return records

    def read(value: float | str) -> float:
        if isinstance(value, str):
            if value not in _WORDS:
                raise DtypeError(f"column {column.name!r} holds {value[:40]!r}, expected a number")
            return _WORDS[value]
        return value

    values = _each(column, records, read)
    return values if column.dtype == "FP64" else _rounded(column, values)


def _rounded(column: ColumnJson, records: list[Any]) -> list[Any]:
    """Rounds FP64 to the dtype, to the nearest, ties to even; refuses what would be infinite."""
    import struct

    pack = struct.Struct("<e" if column.dtype == "FP16" else "<f")
    limit, largest = _HALF_STEP[column.dtype], _LARGEST[column.dtype]

    def round_one(value: float) -> float:
        if largest < abs(value) < inf:
            if abs(value) >= limit:
                raise DtypeError(f"column {column.name!r} holds {value}, beyond {column.dtype}")
            return largest if value > 0 else -largest
        rounded: float = pack.unpack(pack.pack(value))[0]
        return rounded

    return _each(column, records, round_one)


def _read_integers(column: ColumnJson, records: list[Any]) -> list[Any]:
    kinds = set(map(type, records))
    if column.shape or not kinds <= {int}:

        def read(value: int | str) -> int:
            if isinstance(value, str):
                if not _DIGITS.fullmatch(value):
                    raise DtypeError(
                        f"column {column.name!r} holds {value[:40]!r}, expected decimal digits"
                    )
                return int(value)
            return value

        records = _each(column, records, read)
    for held in [records] if not column.shape else records:
        check_integers(column.name, column.dtype, [each for each in held or () if each is not None])
    return records


def _read_moments(column: ColumnJson, records: list[Any]) -> list[Any]:
    return _each(column, records, lambda text: read_moment(column.name, text, column.unit or "us"))


def _read_days(column: ColumnJson, records: list[Any]) -> list[Any]:
    return _each(column, records, lambda text: read_day(column.name, text))


def _read_mixed(column: ColumnJson, records: list[Any]) -> list[Any]:
    return [_scalar(column, record) for record in records]


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
