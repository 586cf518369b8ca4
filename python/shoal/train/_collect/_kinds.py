"""Which kinds of columns there are, and how each is stored in Arrow.

| kind | Arrow | |
|---|---|---|
| integer | int64 | |
| float | double, or float where all sources have it | NaN counts as missing |
| boolean | bool | |
| categorical, text | string | categorical: few values that repeat |
| date | date32 | |
| datetime | timestamp[us] | UTC where a source states a zone |
| empty | null | no record has a value |

- What a source has in another form is brought into these without loss, or refused by name; only
  nanoseconds are cut to microseconds, and a time of day becomes text.
- Two kinds of one column go together where every value stays what it is: integers become floats,
  dates become datetimes. Other pairs are a mix, which is refused.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Literal, TypeAlias, get_args

import pyarrow as pa
import pyarrow.compute as pc

from shoal.errors import DtypeError, InvalidRequestError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

Kind: TypeAlias = Literal[
    "integer", "float", "boolean", "categorical", "text", "date", "datetime", "empty"
]

DATETIME = pa.timestamp("us")
STORED: dict[str, pa.DataType] = {
    "integer": pa.int64(),
    "float": pa.float64(),
    "boolean": pa.bool_(),
    "categorical": pa.string(),
    "text": pa.string(),
    "date": pa.date32(),
    "datetime": DATETIME,
    "empty": pa.null(),
}
_WORDS = {kind: word for word, kind in reversed(STORED.items())} | {
    pa.float32(): "float",
    pa.string(): "text",
}
_WIDER = {
    (pa.int64(), pa.float64()): pa.float64(),
    (pa.int64(), pa.float32()): pa.float64(),
    (pa.float32(), pa.float64()): pa.float64(),
    (pa.date32(), DATETIME): DATETIME,
}


def check_kinds(kinds: Mapping[str, str], where: str) -> None:
    """Refuses words that are no kinds.

    Raises:
        InvalidRequestError: naming the column and the word.
    """
    for name, kind in kinds.items():
        if kind not in STORED or kind == "empty":
            known = ", ".join(each for each in get_args(Kind) if each != "empty")
            message = f"{where} says that column {name!r} is {kind!r}"
            raise InvalidRequestError(message, hint=f"Say one of {known}.")


def word(kind: pa.DataType) -> str:
    """What a stored type is called in messages."""
    return _WORDS.get(kind, str(kind))


def stored_type(kind: pa.DataType, column: str) -> pa.DataType:
    """The type as which values of a type are stored.

    Raises:
        DtypeError: such values are none of a column of a dataset.
    """
    if pa.types.is_dictionary(kind) or pa.types.is_run_end_encoded(kind):
        return stored_type(kind.value_type, column)
    for fits, stored in _STORED_AS:
        if fits(kind):
            return stored
    message = f"column {column!r} holds {kind}, expected numbers, booleans, text or dates"
    raise DtypeError(message, hint="Leave it out: name the other columns in `columns`.")


def wider(known: pa.DataType, found: pa.DataType) -> pa.DataType | None:
    """The type that holds the values of both; None where they do not go together."""
    if known == found or pa.types.is_null(found):
        return known
    if pa.types.is_null(known):
        return found
    return _WIDER.get((known, found)) or _WIDER.get((found, known))


def converted(values: pa.Array, target: pa.DataType) -> pa.Array:
    """Values of any type as a stored type; a number that is NaN becomes a missing value.

    Raises:
        pa.ArrowException: a value does not fit.
    """
    if pa.types.is_dictionary(values.type):
        values = values.dictionary_decode()
    elif pa.types.is_run_end_encoded(values.type):
        values = pc.run_end_decode(values)
    if pa.types.is_null(target) and values.null_count == len(values):
        return pa.nulls(len(values))
    if pa.types.is_timestamp(values.type) and pa.types.is_timestamp(target):
        # A zone is how a moment is shown: the moment itself is counted in UTC in Arrow.
        values = values.cast(target, safe=False) if values.type != target else values
    elif is_text(values.type) and pa.types.is_timestamp(target):
        values = _moments(_trimmed(values, target))
    elif values.type != target:
        values = _trimmed(values, target).cast(target)
    return _without_nan(values)


def with_missing(values: pa.Array, missing: Sequence[str]) -> pa.Array:
    """The values of a text column, without those that stand for a missing one."""
    if not missing or not pa.types.is_string(values.type):
        return values
    stands_for_none = pc.is_in(pc.utf8_trim_whitespace(values), pa.array(missing, pa.string()))
    return pc.if_else(stands_for_none, pa.scalar(None, pa.string()), values)


def _moments(texts: pa.Array) -> pa.Array:
    """Texts as moments: all with a zone or all without, to the microsecond or finer.

    Raises:
        pa.ArrowException: a text is no moment, or they differ in that.
    """
    *forms, last = (pa.timestamp(unit, zone) for zone in (None, "UTC") for unit in ("us", "ns"))
    for form in forms:
        with suppress(pa.ArrowException):
            return texts.cast(form).cast(DATETIME, safe=False)
    return texts.cast(last).cast(DATETIME, safe=False)


def _trimmed(values: pa.Array, target: pa.DataType) -> pa.Array:
    """Text that is to be read as something else: spaces around it do not count, nor alone."""
    if not is_text(values.type) or is_text(target):
        return values
    trimmed = pc.utf8_trim_whitespace(values)
    return pc.if_else(pc.equal(trimmed, ""), pa.scalar(None, trimmed.type), trimmed)


def _without_nan(values: pa.Array) -> pa.Array:
    if not pa.types.is_floating(values.type):
        return values
    are_nan = pc.is_nan(values)
    if not pc.any(are_nan).as_py():
        return values
    return pc.if_else(are_nan, pa.scalar(None, values.type), values)


def is_text(kind: pa.DataType) -> bool:
    """Whether values of a type are text."""
    return bool(
        pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)
    )


_STORED_AS: tuple[tuple[Callable[[pa.DataType], bool], pa.DataType], ...] = (
    (pa.types.is_integer, pa.int64()),
    (pa.types.is_float64, pa.float64()),
    (pa.types.is_decimal, pa.float64()),
    (pa.types.is_floating, pa.float32()),
    (pa.types.is_boolean, pa.bool_()),
    (is_text, pa.string()),
    (pa.types.is_date, pa.date32()),
    (pa.types.is_timestamp, DATETIME),
    (pa.types.is_time, pa.string()),
    (pa.types.is_null, pa.null()),
)
