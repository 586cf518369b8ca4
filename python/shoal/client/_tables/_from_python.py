"""Lists of Python values -> columns, by what the values are.

| values | dtype |
|---|---|
| `bool` | BOOL |
| `int` | INT64; UINT64 where one is above 2**63 - 1 and none below 0 |
| `float` | FP64 |
| `str`, `bytes` | UTF8, BYTES |
| `datetime` with a zone | TIMESTAMP in microseconds, in the zone that all share, otherwise UTC |
| `date` | DATE |
| `int`, `float`, `str` and `bool` beside each other, or nothing but None | MIXED |
| lists of equal length, nested, of one of the first five | tensors of it |

None is a missing record. A `bool` is no number, an `int` no `float`: beside each other they are
MIXED, which a model reads record by record. Inside a record nothing may be missing.
"""

from __future__ import annotations

from datetime import date, datetime
from functools import cache
from itertools import chain
from typing import TYPE_CHECKING, Any

from shoal.client._tables._column import Column, Kind, of_records
from shoal.client._tables._dtypes import INTEGER_RANGES, MAX_DIMENSIONS
from shoal.client._tables._moments import counts_of_datetimes, days_of_dates
from shoal.errors import DtypeError, NullError, ShapeError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

_SHOWN_CHARACTERS = 40
_SCALARS = {bool: "BOOL", int: "INT64", float: "FP64", str: "UTF8", bytes: "BYTES"}
_MIXABLE = frozenset({bool, int, float, str})
_NOTHING = type(None)
_HINT = "taken are bool, int, float, str, bytes, datetime with a zone, date, and lists of these"


def column_from(name: str, values: Any) -> Column:
    """Makes a column of a list, or of an array of numpy, pandas, Arrow, or what becomes one.

    Raises:
        DtypeError: A value has no dtype of the protocol.
        ShapeError: Records have different shapes.
        NullError: A value is missing inside a record.
        ZoneError: A time has no zone.
    """
    kind: Any = type(values)
    read = _reader_of(kind)
    if read is None:
        raise DtypeError(
            f"column {name!r} is a {type(values).__name__}, expected a list or an array with one "
            "value for each record",
            hint="a single record is a list of one",
        )
    return read(name, values)


def columns_of_records(records: Sequence[Any]) -> list[Column]:
    """Makes columns of dicts, one for each record, in the order in which names appear first."""
    names: dict[str, None] = {}
    for at, record in enumerate(records):
        if not isinstance(record, dict):
            raise DtypeError(
                f"record {at} is a {type(record).__name__}, expected a dict from name to value"
            )
        names.update(dict.fromkeys(record))
    return [column_from(name, [record.get(name) for record in records]) for name in names]


def column_of_list(name: str, values: Sequence[Any]) -> Column:
    """Makes a column of Python values; see the table above, and `column_from` for its errors."""
    kinds = set(map(type, values))
    kinds.discard(_NOTHING)
    if len(kinds) == 1:
        return _of_one_kind(name, kinds.pop(), values)
    if kinds == {list, tuple}:
        return _tensors(name, values)
    if kinds <= _MIXABLE:
        return Column(name, Kind("MIXED"), len(values), flat=list(values), missing=_mask(values))
    plain = [_plain(value) for value in values]
    if set(map(type, plain)) != {*kinds, *map(type, values)}:
        return column_of_list(name, plain)
    raise _no_common_type(name, values, kinds)


def shape_of(name: str, records: Iterable[Any]) -> tuple[tuple[int, ...], list[Any]]:
    """Takes nested lists apart.

    Args:
        name: Of the column, for the message.
        records: Nested lists of equal lengths, none of them missing.

    Returns:
        The shape of one record, and all values in one list.

    Raises:
        ShapeError: Lengths differ, or there are more than 8 dimensions.
    """
    level: list[Any] = list(records)
    shape: list[int] = []
    while level and all(isinstance(each, list | tuple) for each in level):
        lengths = set(map(len, level))
        if len(lengths) > 1 or len(shape) == MAX_DIMENSIONS:
            raise _ragged(name, len(shape), lengths)
        shape.append(lengths.pop())
        level = list(chain.from_iterable(level))
    return tuple(shape), level


def check_integers(name: str, dtype: str, values: list[int]) -> None:
    """Refuses whole numbers beyond what a dtype holds.

    Raises:
        DtypeError: Names the number.
    """
    low, high = INTEGER_RANGES[dtype]
    for found in (min(values, default=low), max(values, default=high)):
        if not low <= found <= high:
            raise DtypeError(
                f"column {name!r} holds {str(found)[:_SHOWN_CHARACTERS]}, expected {dtype}, "
                f"{low} to {high}"
            )


def _of_one_kind(name: str, kind: type, values: Sequence[Any]) -> Column:
    dtype = _SCALARS.get(kind)
    if dtype is not None:
        column = of_records(name, Kind(dtype), list(values))
        return column if kind is not int else _integers(column)
    if issubclass(kind, list | tuple):
        return _tensors(name, values)
    if issubclass(kind, datetime):
        return _moments(name, values)
    if issubclass(kind, date):
        return of_records(name, Kind("DATE"), days_of_dates(values))
    if hasattr(kind, "__array__"):
        return _arrays(name, values)
    plain = [_plain(value) for value in values]
    if set(map(type, plain)) - {_NOTHING} == {kind}:
        raise _no_common_type(name, values, {kind})
    return column_of_list(name, plain)


def _integers(column: Column) -> Column:
    """Leaves whole numbers INT64, or makes them UINT64 where only that holds them."""
    values = column.flat()
    if max(values, default=0) <= INTEGER_RANGES["INT64"][1]:
        check_integers(column.name, "INT64", values)
        return column
    check_integers(column.name, "UINT64", values)
    return Column(column.name, Kind("UINT64"), column.rows, flat=values, missing=column.missing)


def _tensors(name: str, values: Sequence[Any]) -> Column:
    shape, flat = shape_of(name, (record for record in values if record is not None))
    inner = column_of_list(name, flat)
    if inner.missing is not None:
        raise NullError(f"column {name!r} has a record of which a value is missing, expected all")
    if inner.shape or inner.dtype not in {*_SCALARS.values(), "UINT64"}:
        raise _no_common_type(name, flat, set(map(type, flat)))
    kind = Kind(inner.dtype, shape)
    size = len(flat) // max(1, sum(record is not None for record in values))
    rest = iter([flat[at : at + size] for at in range(0, len(flat), size)] if size else ())
    return of_records(name, kind, [None if each is None else next(rest, []) for each in values])


def _moments(name: str, values: Sequence[Any]) -> Column:
    counts, unit, zone = counts_of_datetimes(name, values)
    return of_records(name, Kind("TIMESTAMP", unit=unit, zone=zone), counts)


def _arrays(name: str, values: Sequence[Any]) -> Column:
    """Makes a column of a list of numpy scalars, or of numpy arrays of equal shapes."""
    import numpy as np

    from shoal.client._tables._from_numpy import column_of_numpy

    held = [value for value in values if value is not None]
    if len({np.shape(value) for value in held}) > 1:
        raise _ragged(name, 0, {len(value) for value in held})
    missing = np.array([value is None for value in values])
    filled = [np.zeros_like(held[0]) if value is None else value for value in values]
    return column_of_numpy(name, np.ma.array(np.stack(filled), mask=_spread(missing, held[0])))


def _spread(missing: Any, record: Any) -> Any:
    import numpy as np

    shape = np.shape(record)
    return np.broadcast_to(missing.reshape(-1, *([1] * len(shape))), (len(missing), *shape))


@cache
def _reader_of(kind: Any) -> Callable[[str, Any], Column] | None:
    """Gives what reads values of a type, arrays by the library that it is from."""
    if issubclass(kind, list | tuple):
        return column_of_list
    if issubclass(kind, Column):
        return _renamed
    library = kind.__module__.partition(".")[0]
    if library == "pandas":
        from shoal.client._tables._pandas import column_of_series

        return column_of_series
    if library == "pyarrow" or hasattr(kind, "__arrow_c_stream__"):
        from shoal.client._tables._from_arrow import column_of_arrow

        return column_of_arrow
    if hasattr(kind, "__array__"):
        import numpy as np

        from shoal.client._tables._from_numpy import column_of_array, column_of_numpy

        return column_of_array if kind is np.ndarray else column_of_numpy
    return None


def _renamed(name: str, column: Column) -> Column:
    if column.name == name:
        return column
    other = Column(name, column.kind, column.rows)
    for slot in ("_flat", "_missing", "_numpy", "_arrow"):
        setattr(other, slot, getattr(column, slot))
    return other


def _plain(value: Any) -> Any:
    """Gives the Python value of a subclass, such as a scalar of numpy; others as they are."""
    if getattr(value, "ndim", None) == 0 and hasattr(value, "item"):
        return value.item()
    kinds: tuple[type[Any], ...] = (bool, int, float, str, bytes)
    return next((kind(value) for kind in kinds if isinstance(value, kind)), value)


def _mask(values: Sequence[Any]) -> bytes | None:
    return bytes(value is None for value in values) if None in values else None


def _ragged(name: str, dimension: int, lengths: set[int]) -> ShapeError:
    shown = ", ".join(map(str, sorted(lengths)[:3]))
    return ShapeError(
        f"column {name!r} has records of lengths {shown} in dimension {dimension}, expected equal "
        f"lengths in at most {MAX_DIMENSIONS} dimensions",
        hint="send records of other shapes in another table",
    )


def _no_common_type(name: str, values: Sequence[Any], kinds: set[type]) -> DtypeError:
    names = ", ".join(sorted(kind.__name__ for kind in kinds))
    odd = next((value for value in values if type(value) not in _SCALARS), None)
    shown = f", such as {odd!r}"[:_SHOWN_CHARACTERS] if odd is not None else ""
    return DtypeError(
        f"column {name!r} holds {names}{shown}, expected values of one type of the protocol",
        hint=_HINT,
    )
