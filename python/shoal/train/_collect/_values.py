"""Python values as an Arrow array: what databases and frames of objects give.

A column of objects has one kind, or numbers of several; everything else is a mix, and refused. A
number that is NaN, and what pandas calls NA or NaT, is a missing value.
"""

from __future__ import annotations

import datetime
import decimal
import uuid
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from shoal.errors import DtypeError
from shoal.train._collect._reading import SHOWN_CHARACTERS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from shoal.source import Place

_NUMBERS = (int, float, decimal.Decimal)
_TYPES: dict[type, pa.DataType] = {
    bool: pa.bool_(),
    int: pa.int64(),
    float: pa.float64(),
    decimal.Decimal: pa.float64(),
    str: pa.string(),
    datetime.date: pa.date32(),
    datetime.datetime: pa.timestamp("us"),
    datetime.time: pa.string(),
    uuid.UUID: pa.string(),
}
_SPELLED = (datetime.time, uuid.UUID)


def array_of(name: str, values: Sequence[Any], place: Place, *, is_stated: bool) -> pa.Array:
    """The values of a column.

    Args:
        name: Its name, for messages.
        values: Python objects; None where there is none.
        place: Where they come from.
        is_stated: Whether the user has stated the kind: then a mix is passed on as text.

    Raises:
        DtypeError: naming the first value that does not go with the others, or has no kind.
    """
    known = [None if _is_missing(value) else _plain(value) for value in values]
    kinds = {_plain_kind(value) for value in known if value is not None}
    if len(kinds) > 1 and not kinds <= set(_NUMBERS):
        if is_stated:
            return pa.array([None if value is None else str(value) for value in known], pa.string())
        raise _mixed(name, known, place)
    for kind in kinds - _TYPES.keys():
        raise _no_kind(name, known, kind, place)
    return _array(name, known, kinds, place)


def _array(name: str, values: list[Any], kinds: set[type], place: Place) -> pa.Array:
    if not kinds:
        return pa.nulls(len(values))
    if kinds == {int}:
        target = pa.int64()
    elif kinds <= set(_NUMBERS):
        target = pa.float64()
        values = [None if value is None else float(value) for value in values]
    else:
        (kind,) = kinds
        target = _TYPES[kind]
        if kind in _SPELLED:
            values = [None if value is None else str(value) for value in values]
        elif kind is datetime.datetime:
            values = [_utc(value) for value in values]
    try:
        return pa.array(values, target)
    except (pa.ArrowException, OverflowError, UnicodeError) as error:
        message = f"{place.file}: column {name!r} holds a value that does not fit: {error}"
        raise DtypeError(message) from error


def _utc(value: datetime.datetime | None) -> datetime.datetime | None:
    if value is None or value.tzinfo is None:
        return value
    return value.astimezone(datetime.UTC).replace(tzinfo=None)


def _is_missing(value: Any) -> bool:
    """None, and what is not equal to itself: NaN and NaT; NA says neither."""
    if value is None:
        return True
    if isinstance(value, str | int):
        return False
    return type(value).__name__ == "NAType" or bool(value != value)  # noqa: PLR0124 - NaN is not


def _plain(value: Any) -> Any:
    """A value as Python has it, where numpy gave it."""
    return value.item() if isinstance(value, np.generic) else value


def _plain_kind(value: Any) -> type:
    """The kind of a value: subclasses count as theirs, a datetime is no date and a bool no int."""
    kind = type(value)
    if kind in _TYPES:
        return kind
    for base in kind.__mro__:
        if base in _TYPES:
            return base
    return kind


def _mixed(name: str, values: list[Any], place: Place) -> DtypeError:
    first = next(value for value in values if value is not None)
    wanted = {_plain_kind(first)}
    wanted = max(set(_NUMBERS), wanted)
    row = next(
        row
        for row, value in enumerate(values)
        if value is not None and _plain_kind(value) not in wanted
    )
    message = (
        f"{place.file}, {place.of(row)}: column {name!r} is {_shown(values[row])}, where the "
        f"records before have {_plain_kind(first).__name__}"
    )
    return DtypeError(message, hint="State its kind: types={'column': 'text'}.")


def _no_kind(name: str, values: list[Any], kind: type, place: Place) -> DtypeError:
    row = next(row for row, value in enumerate(values) if type(value) is kind)
    message = (
        f"{place.file}, {place.of(row)}: column {name!r} is of type {kind.__name__}, "
        "expected numbers, booleans, text or dates"
    )
    return DtypeError(message, hint="Leave it out: name the other columns in `columns`.")


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= SHOWN_CHARACTERS else f"{text[:SHOWN_CHARACTERS]}..."
