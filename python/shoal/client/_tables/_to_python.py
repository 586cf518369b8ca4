"""Columns -> Python values and numpy arrays, as somebody reads them.

Moments become `datetime` in their zone or `datetime64` in UTC. A missing record is None, or masked.
"""

from __future__ import annotations

from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

from shoal.client._tables._dtypes import NUMPY_CODES, UNITS
from shoal.client._tables._moments import EPOCH, EPOCH_DAY, zone_of
from shoal.errors import DtypeError

if TYPE_CHECKING:
    import numpy.typing as npt

    from shoal.client._tables._column import Column


def to_list(column: Column) -> list[Any]:
    """Gives one value for each record; see `Column.to_list`."""
    if column.dtype == "TIMESTAMP":
        values: list[Any] = _datetimes(column)
    elif column.dtype == "DATE":
        values = [_date(column, day) for day in column.flat()]
    elif column.shape:
        values = nested(column.flat(), column.shape, column.rows)
    else:
        values = column.flat()
    if column.missing is None:
        return values if values is not column.flat() else list(values)
    return [None if gone else value for value, gone in zip(values, column.missing, strict=True)]


def to_numpy(column: Column) -> npt.NDArray[Any]:
    """Gives an array, masked where records are missing; see `Column.to_numpy`."""
    values = _array(column)
    if column.missing is None:
        return values
    import numpy as np

    mask = np.frombuffer(column.missing, dtype=np.bool_)
    spread = mask.reshape(-1, *([1] * len(column.shape)))
    return np.ma.array(values, mask=np.broadcast_to(spread, values.shape))


def _array(column: Column) -> npt.NDArray[Any]:
    if column.dtype == "TIMESTAMP":
        return column.elements().view(f"<M8[{column.kind.unit}]")
    if column.dtype == "DATE":
        return column.elements().astype("<i8").view("<M8[D]")
    if column.dtype in NUMPY_CODES:
        return column.elements()
    import numpy as np

    flat = column.flat()
    objects = np.empty(len(flat), dtype=object)
    objects[:] = flat
    return objects.reshape(column.rows, *column.shape)


def _datetimes(column: Column) -> list[Any]:
    zone = zone_of(column.kind.zone)
    scale = UNITS[column.kind.unit]
    values = []
    for count in column.flat():
        micros, rest = divmod(count * 10**6, scale)
        if rest:
            raise DtypeError(
                f"column {column.name!r} holds a moment finer than a microsecond, which datetime "
                "cannot hold",
                hint="use to_numpy or to_arrow",
            )
        try:
            values.append((EPOCH + timedelta(microseconds=micros)).astimezone(zone))
        except OverflowError:
            raise _beyond(column, f"{count} {column.kind.unit}") from None
    return values


def _date(column: Column, day: int) -> date:
    try:
        return date.fromordinal(day + EPOCH_DAY)
    except (ValueError, OverflowError):
        raise _beyond(column, f"day {day}") from None


def _beyond(column: Column, shown: str) -> DtypeError:
    return DtypeError(
        f"column {column.name!r} holds {shown} from 1970-01-01, expected the years 1 to 9999",
        hint="use to_numpy or to_arrow",
    )


def nested(flat: list[Any], shape: tuple[int, ...], rows: int) -> list[Any]:
    """Gives lists of lists; the outermost has `rows` entries."""
    for dimension, outer in zip(shape[::-1], _products(rows, shape), strict=True):
        flat = [flat[at * dimension : (at + 1) * dimension] for at in range(outer)]
    return flat


def _products(rows: int, shape: tuple[int, ...]) -> list[int]:
    """Gives how many lists there are of each dimension, innermost first."""
    counts = [rows]
    for dimension in shape[:-1]:
        counts.append(counts[-1] * dimension)
    return counts[::-1]
