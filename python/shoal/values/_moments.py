"""Moments: whole seconds since 1970-01-01 UTC, and all that is taken for them.

| taken | |
|---|---|
| whole numbers | the seconds |
| Arrow timestamps of any unit and zone | without a zone: UTC |
| Arrow dates, of 32 and 64 bits | of 32 bits: midnight UTC |
| text | ISO 8601: `2021-05-31`, `2021-05-31T10:20:30.5+02:00`; without a zone: UTC |

Rules:

- A moment is the second that it lies in: parts of one are cut off towards the past, also before
  1970.
- Text is a date, or a date, a `T` or a space, and a time: hour, or hour and minute, or those and
  seconds with at most nine digits behind a point; then `Z`, `+hh`, `+hhmm`, `+hh:mm`, or nothing.
- The calendar is Gregorian throughout, years 0001 to 9999. A day that does not exist, 24:00 and a
  second 60 are refused.
- A null stays one.

The server reads the same text (`moments.rs`); `protocol/vectors/moments.json` holds both to it.

Source: ISO 8601-1:2019, 5.2.2 and 5.4.2, extended format; RFC 3339, 5.6.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from shoal.errors import DtypeError

if TYPE_CHECKING:
    from collections.abc import Collection

HINT = (
    "a moment is an ISO 8601 date or date-time such as 2021-05-31 or 2021-05-31T10:20:30+02:00, "
    "or whole seconds since 1970-01-01 UTC"
)
_SHOWN_CHARACTERS = 40
_DAY_SECONDS = 86_400
_UNITS = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
_MINUTE = "[0-5][0-9]"
_HOUR = "(?:[01][0-9]|2[0-3])"
_LEAP = "(?:[0-9]{2}(?:0[48]|[2468][048]|[13579][26])|(?:0[48]|[2468][048]|[13579][26])00)"
_DATE = (
    f"(?:{_LEAP}-02-29|(?:000[1-9]|00[1-9][0-9]|0[1-9][0-9]{{2}}|[1-9][0-9]{{3}})-"
    "(?:02-(?:0[1-9]|1[0-9]|2[0-8])|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)"
    "|(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])))"
)
_TIME = rf"{_HOUR}(?::{_MINUTE}(?::{_MINUTE}(?:\.[0-9]{{1,9}})?)?)?"
_TEXT = f"^{_DATE}(?:[T ]{_TIME}(?:Z|[+-]{_HOUR}(?::?{_MINUTE})?)?)?$"
# Behind the date, whose signs separate.
_ZONE = "^.{11}.*[Z+-]"
_WHOLE = "^-?[0-9]{1,18}$"


def in_seconds(values: pa.Array, name: str) -> pa.Array:
    """Gives moments as whole seconds since 1970-01-01 UTC, int64.

    Args:
        values: Timestamps, dates or text, one for each record; anything else is given back as it
            is, so that whoever reads whole numbers says what is wrong with it.
        name: What the column is called, for the message.

    Raises:
        DtypeError: A text is no moment; the message names the row.
    """
    if pa.types.is_dictionary(values.type):
        values = values.dictionary_decode()
    kind = values.type
    if pa.types.is_timestamp(kind):
        return _divided(values.view(pa.int64()), _UNITS[kind.unit])
    if pa.types.is_date64(kind):
        return _divided(values.view(pa.int64()), _UNITS["ms"])
    if pa.types.is_date32(kind):
        return pc.multiply(values.view(pa.int32()).cast(pa.int64()), _DAY_SECONDS)
    if is_text(kind):
        return _checked(values, read_moments(values), name)
    return values


def read_moments(texts: pa.Array, *, digits: bool = False) -> pa.Array:
    """Gives ISO 8601 text as whole seconds since 1970-01-01 UTC; null where there is no moment.

    Args:
        texts: One for each record.
        digits: Whether digits are seconds and white space does not count, as in a CSV field.
    """
    texts = texts.cast(pa.large_string())
    if not digits:
        return _seconds(texts)
    texts = pc.utf8_trim(texts, " \t")
    is_whole = pc.match_substring_regex(texts, _WHOLE)
    return pc.coalesce(pc.if_else(is_whole, texts, None).cast(pa.int64()), _seconds(texts))


def with_seconds(batch: pa.RecordBatch, names: Collection[str]) -> pa.RecordBatch:
    """Gives the table with these columns in seconds, those of them that it has.

    Raises:
        DtypeError: A text among them is no moment.
    """
    for at, name in enumerate(batch.schema.names):
        if name in names:
            batch = batch.set_column(at, name, in_seconds(batch.column(at), name))
    return batch


def is_text(kind: pa.DataType) -> bool:
    """Whether a type is any kind of text."""
    return any(
        check(kind)
        for check in (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view)
    )


def _checked(values: pa.Array, seconds: pa.Array, name: str) -> pa.Array:
    if seconds.null_count == values.null_count:
        return seconds
    row = pc.index(pc.and_(values.is_valid(), seconds.is_null()), value=True).as_py()
    shown = values[row].as_py()[:_SHOWN_CHARACTERS]
    raise DtypeError(f"column {name!r} row {row} is {shown!r}, expected a moment", hint=HINT)


def _divided(counts: pa.Array, unit: int) -> pa.Array:
    """Whole seconds, rounded towards the past; Arrow itself rounds towards zero."""
    whole = pc.divide(counts, unit)
    is_cut = pc.less(pc.subtract(counts, pc.multiply(whole, unit)), 0)
    return pc.subtract(whole, is_cut.cast(pa.int64()))


def _seconds(texts: pa.Array) -> pa.Array:
    """Seconds of ISO 8601 text; null where there is none.

    What a moment is says the pattern alone. Arrow then reads what fits it, which cannot fail.
    """
    texts = pc.if_else(pc.match_substring_regex(texts, _TEXT), texts, None)
    if pc.any(pc.match_substring(texts, ".")).as_py():
        texts = pc.replace_substring_regex(texts, r"\.[0-9]+", "")
    is_zoned = pc.match_substring_regex(texts, _ZONE)
    zoned = pc.if_else(is_zoned, texts, None).cast(pa.timestamp("s", "UTC"))
    plain = pc.if_else(is_zoned, None, texts).cast(pa.timestamp("s"))
    return pc.coalesce(zoned.view(pa.int64()), plain.view(pa.int64()))
