"""Moments and days: Python and ISO 8601 <-> whole numbers since 1970-01-01 UTC.

Rules:

- A moment has a zone: one without is refused, as text and as `datetime`.
- Text is `YYYY-MM-DDThh:mm:ss`, with at most nine digits of a fraction, and `Z`, `+hh:mm` or
  `-hh:mm`. What is finer than the unit is cut off towards the past.
- Years are 0001 to 9999, of the Gregorian calendar; second 60 does not exist.

Source: protocol/protocol.md, "Tables", "In JSON".
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta, timezone, tzinfo
from functools import cache
from typing import TYPE_CHECKING, Any

from shoal.client._tables._dtypes import UNITS
from shoal.errors import DtypeError, ZoneError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import numpy.typing as npt

EPOCH_DAY = date(1970, 1, 1).toordinal()
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
LAST_DAY = date.max.toordinal() - EPOCH_DAY
FIRST_DAY = date.min.toordinal() - EPOCH_DAY
DAY_SECONDS = 86_400
FRACTION_DIGITS = {"s": 0, "ms": 3, "us": 6, "ns": 9}
ZONE_HINT = (
    "say which zone it was read off: datetime(..., tzinfo=ZoneInfo('Europe/Berlin')) or UTC; "
    "in pandas and pyarrow tz_localize and assume_timezone do so for a column"
)

_SHOWN_CHARACTERS = 40
_TEXT = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(?:\.(\d{1,9}))?(Z|([+-])(\d\d):(\d\d))?",
    re.ASCII,
)
_DAY = re.compile(r"(\d{4})-(\d\d)-(\d\d)", re.ASCII)
_OFFSET = re.compile(r"([+-])(\d\d):(\d\d)", re.ASCII)


def counts_of_datetimes(name: str, values: Sequence[Any]) -> tuple[list[int | None], str, str]:
    """Gives moments as whole numbers, their unit, and the zone they share, or UTC.

    Args:
        name: Of the column, for the message.
        values: `datetime`, also those of pandas; None is missing.

    Raises:
        ZoneError: One has no zone.
    """
    held = [value for value in values if value is not None]
    for value in held:
        if value.utcoffset() is None:
            raise ZoneError(
                f"column {name!r} holds {str(value)!r}, a time without a zone", hint=ZONE_HINT
            )
    zones = {zone_name(value.tzinfo) for value in held}
    zone = zones.pop() if len(zones) == 1 else "UTC"
    unit = "ns" if any(getattr(value, "nanosecond", 0) for value in held) else "us"
    return [None if value is None else _count(value, unit) for value in values], unit, zone


def days_of_dates(values: Sequence[date | None]) -> list[int | None]:
    """Gives days as whole numbers from 1970-01-01; None is missing."""
    return [None if value is None else value.toordinal() - EPOCH_DAY for value in values]


def read_moment(name: str, text: str, unit: str) -> int:
    """Gives a moment of ISO 8601 text as a whole number of the unit.

    Raises:
        ZoneError: It has no zone.
        DtypeError: It is no moment, or not within what 64 bits hold.
    """
    found = _TEXT.fullmatch(text)
    if found is None or (seconds := _seconds(found)) is None:
        raise _no_moment(name, text, "YYYY-MM-DDThh:mm:ss with Z or an offset")
    if found[8] is None:
        raise ZoneError(f"column {name!r} holds {text!r}, a time without a zone", hint=ZONE_HINT)
    digits = FRACTION_DIGITS[unit]
    fraction = (found[7] or "").ljust(9, "0")[:digits]
    count = seconds * UNITS[unit] + int(fraction or "0")
    if not FIRST_DAY <= seconds // DAY_SECONDS <= LAST_DAY:
        raise _no_moment(name, text, "the years 1 to 9999 in UTC")
    if not -(2**63) <= count < 2**63:
        raise _no_moment(name, text, f"a moment that 64 bits hold in {unit}")
    return count


def read_day(name: str, text: str) -> int:
    """Gives a day of text `YYYY-MM-DD` as a whole number from 1970-01-01.

    Raises:
        DtypeError: It is no day.
    """
    found = _DAY.fullmatch(text)
    day = None if found is None else _day(found[1], found[2], found[3])
    if day is None:
        raise _no_moment(name, text, "YYYY-MM-DD")
    return day


def check_years(name: str, dtype: str, unit: str, counts: npt.NDArray[Any]) -> None:
    """Refuses moments and days that are not within the years 1 to 9999, in UTC.

    Args:
        name: Of the column, for the message.
        dtype: `TIMESTAMP`, `DATE`, or another one, of which all is well.
        unit: Of TIMESTAMP.
        counts: Whole numbers from 1970-01-01, those of missing records 0.

    Raises:
        DtypeError: Says which one is not.
    """
    if dtype not in {"TIMESTAMP", "DATE"} or not counts.size:
        return
    per_day = 1 if dtype == "DATE" else DAY_SECONDS * UNITS[unit]
    for count in (int(counts.min()), int(counts.max())):
        if not FIRST_DAY <= count // per_day <= LAST_DAY:
            raise DtypeError(
                f"column {name!r} holds {count} {unit or 'days'} from 1970-01-01, expected the "
                "years 1 to 9999"
            )


def write_moments(name: str, counts: Iterable[int], unit: str) -> list[str]:
    """Gives moments as ISO 8601 in UTC, with as many digits of a fraction as the unit has.

    Raises:
        DtypeError: A year is not within 1 to 9999.
    """
    scale, digits = UNITS[unit], FRACTION_DIGITS[unit]
    texts = []
    for count in counts:
        seconds, fraction = divmod(count, scale)
        day, second = divmod(seconds, DAY_SECONDS)
        minute, hour = second // 60 % 60, second // 3600
        tail = f".{fraction:0{digits}d}" if digits else ""
        texts.append(f"{write_day(name, day)}T{hour:02d}:{minute:02d}:{second % 60:02d}{tail}Z")
    return texts


def write_day(name: str, day: int) -> str:
    """Gives a day from 1970-01-01 as `YYYY-MM-DD`.

    Raises:
        DtypeError: The year is not within 1 to 9999.
    """
    if not FIRST_DAY <= day <= LAST_DAY:
        raise DtypeError(
            f"column {name!r} holds the day {day} from 1970-01-01, which JSON cannot say: "
            "expected the years 1 to 9999",
            hint="use encoding='arrow'",
        )
    return date.fromordinal(day + EPOCH_DAY).isoformat()


@cache
def zone_of(zone: str) -> tzinfo:
    """Gives the zone of a name of the IANA database, or of an offset.

    Raises:
        DtypeError: This system does not know the name.
    """
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

    if zone in {"UTC", "Z"}:
        return UTC
    if offset := _OFFSET.fullmatch(zone):
        return timezone(timedelta(minutes=_minutes(*offset.groups())))
    try:
        return ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise DtypeError(
            f"the zone {zone!r} is not in the time zone database of this system: {error}",
            hint="to_numpy and to_arrow need no database",
        ) from error


def zone_name(zone: tzinfo | None) -> str:
    """Gives the name or the offset of a zone; UTC for one that has neither."""
    name = getattr(zone, "key", None) or getattr(zone, "zone", None)
    if name:
        return str(name)
    offset = None if zone is None else zone.utcoffset(None)
    if not offset:
        return "UTC"
    minutes = round(offset.total_seconds() / 60)
    sign = "-" if minutes < 0 else "+"
    return f"{sign}{abs(minutes) // 60:02d}:{abs(minutes) % 60:02d}"


def _count(value: datetime, unit: str) -> int:
    """Gives the unit's whole number, exactly; a moment of pandas may have nanoseconds."""
    past = value - EPOCH
    micros = (past.days * DAY_SECONDS + past.seconds) * 10**6 + past.microseconds
    if unit == "us":
        return micros
    return micros * 1000 + int(getattr(value, "nanosecond", 0))


def _seconds(found: re.Match[str]) -> int | None:
    """Gives the seconds of a text, the fraction left out; None where it is no moment."""
    day = _day(found[1], found[2], found[3])
    hour, minute, second = int(found[4]), int(found[5]), int(found[6])
    if day is None or hour > 23 or minute > 59 or second > 59:  # noqa: PLR2004 - the clock's
        return None
    offset = 0
    if found[9]:
        if int(found[10]) > 23 or int(found[11]) > 59:  # noqa: PLR2004 - the clock's
            return None
        offset = _minutes(found[9], found[10], found[11]) * 60
    return day * DAY_SECONDS + hour * 3600 + minute * 60 + second - offset


def _minutes(sign: str, hours: str, minutes: str) -> int:
    return (int(hours) * 60 + int(minutes)) * (-1 if sign == "-" else 1)


def _day(year: str, month: str, day: str) -> int | None:
    try:
        return date(int(year), int(month), int(day)).toordinal() - EPOCH_DAY
    except ValueError:
        return None  # the caller says which text it was


def _no_moment(name: str, text: str, expected: str) -> DtypeError:
    return DtypeError(f"column {name!r} holds {text[:_SHOWN_CHARACTERS]!r}, expected {expected}")
