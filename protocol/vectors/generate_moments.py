"""Writes `moments.json`: text that is a moment with its seconds, and text that is none.

Run it from anywhere: `python protocol/vectors/generate_moments.py`. A test fails when the file on
disk is not what this program writes. What each text says is written beside it, in numbers, so that
nothing that reads text can agree with itself.
"""
# ruff: noqa: INP001 - a program, not a package

from __future__ import annotations

import json
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent
EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - without a zone: UTC

# Text that is a moment: as it is written, what calendar and clock say, and minutes east of UTC.
MOMENTS: list[tuple[str, tuple[int, ...], int]] = [
    ("2021-05-31", (2021, 5, 31), 0),
    ("1970-01-01", (1970, 1, 1), 0),
    ("0001-01-01", (1, 1, 1), 0),
    ("9999-12-31", (9999, 12, 31), 0),
    ("2020-02-29", (2020, 2, 29), 0),
    ("2000-02-29", (2000, 2, 29), 0),
    ("0004-02-29", (4, 2, 29), 0),
    ("2021-02-28", (2021, 2, 28), 0),
    ("2021-04-30T10", (2021, 4, 30, 10), 0),
    ("2021-05-31T10:20", (2021, 5, 31, 10, 20), 0),
    ("2021-05-31T10:20:30", (2021, 5, 31, 10, 20, 30), 0),
    ("2021-05-31 10:20:30", (2021, 5, 31, 10, 20, 30), 0),
    ("2021-05-31T10:20:30Z", (2021, 5, 31, 10, 20, 30), 0),
    ("2021-05-31 10:20:30Z", (2021, 5, 31, 10, 20, 30), 0),
    ("2021-05-31T10Z", (2021, 5, 31, 10), 0),
    ("2021-05-31T10:20+02:00", (2021, 5, 31, 10, 20), 120),
    ("2021-05-31T10+02", (2021, 5, 31, 10), 120),
    ("2021-05-31T10:20:30+02:00", (2021, 5, 31, 10, 20, 30), 120),
    ("2021-05-31T10:20:30+02", (2021, 5, 31, 10, 20, 30), 120),
    ("2021-05-31T10:20:30+0530", (2021, 5, 31, 10, 20, 30), 330),
    ("2021-05-31T10:20:30-09:30", (2021, 5, 31, 10, 20, 30), -570),
    ("2021-05-31T10:20:30-00:00", (2021, 5, 31, 10, 20, 30), 0),
    ("2021-05-31T10:20:30+23:59", (2021, 5, 31, 10, 20, 30), 1439),
    ("0001-01-01T00:00:00+23:59", (1, 1, 1), 1439),
    ("9999-12-31T23:59:59-23:59", (9999, 12, 31, 23, 59, 59), -1439),
    ("2021-05-31T10:20:30.9", (2021, 5, 31, 10, 20, 30), 0),
    ("2021-05-31T10:20:30.000Z", (2021, 5, 31, 10, 20, 30), 0),
    ("2021-05-31 10:20:30.123456+00:00", (2021, 5, 31, 10, 20, 30), 0),
    ("2021-05-31T10:20:30.999999999-01", (2021, 5, 31, 10, 20, 30), -60),
    ("1969-12-31T23:59:59.5Z", (1969, 12, 31, 23, 59, 59), 0),
    ("1883-11-18T12:03:58", (1883, 11, 18, 12, 3, 58), 0),
]
# Text that is none.
NO_MOMENTS = [
    *("", " ", "yesterday", "NaN", "1622456430", "-1", "20210531", "2021-05", "2021", "2021-W22-1"),
    *("2021-151", "21-05-31", "02021-05-31", "-2021-05-31", "+2021-05-31", "0000-01-01"),
    *("2021-5-31", "2021-05-1", "2021-00-31", "2021-13-01", "2021-05-00", "2021-05-32"),
    *("2021-02-29", "1900-02-29", "2100-02-29", "2020-02-30", "2021-04-31", "2021-06-31"),
    *("2021-09-31", "2021-11-31", "2021/05/31", "31.05.2021", "2021-05-31Z", "2021-05-31+02:00"),
    *("2021-05-31T", "2021-05-31 ", " 2021-05-31", "2021-05-31\n", "2021-05-31T10:20:30Z\n"),
    *("2021-05-31t10:20:30Z", "2021-05-31T10:20:30z", "2021-05-31_10:20:30", "2021-05-31  10:20"),
    *(
        "2021-05-31T1",
        "2021-05-31T10:2",
        "2021-05-31T10:20:3",
        "2021-05-31T10:",
        "2021-05-31T102030",
    ),
    *("2021-05-31T24", "2021-05-31T24:00:00", "2021-05-31T10:60", "2021-05-31T23:59:60"),
    *("2021-05-31T10.5", "2021-05-31T10:20.5", "2021-05-31T10:20:30.", "2021-05-31T10:20:30,5"),
    *("2021-05-31T10:20:30.1234567890", "2021-05-31T10:20+02.5", "2021-05-31T10:20:30.5.5"),
    *("2021-05-31T10:20:30 Z", "2021-05-31T10:20:30ZZ", "2021-05-31T10:20:30UTC"),
    *(
        "2021-05-31T10:20:30+",
        "2021-05-31T10:20:30+2",
        "2021-05-31T10:20:30+02:",
        "2021-05-31T10+2:00",
    ),
    *("2021-05-31T10:20:30+02:0", "2021-05-31T10:20:30+020", "2021-05-31T10:20:30+24:00"),
    *("2021-05-31T10:20:30+02:60", "2021-05-31T10:20:30+02:00:00", "2021-05-31T10:20:30+02:00Z"),
    *(
        "2021-05-31T10:20:30[Europe/Berlin]",
        "\uff12\uff10\uff12\uff11-05-31",
        "2021\u201305\u201331",
        "2021-05-31T10:20:30\u221202:00",
    ),
]


def seconds(parts: tuple[int, ...], offset_minutes: int) -> int:
    """Gives the seconds since 1970-01-01 UTC of year, month, day, and what is said of the time."""
    year, month, day, *time = parts
    hour, minute, second = (*time, 0, 0, 0)[:3]
    midnight = datetime(year, month, day)  # noqa: DTZ001 - without a zone: UTC
    return (midnight - EPOCH) // timedelta(seconds=1) + (
        (hour * 60 + minute - offset_minutes) * 60 + second
    )


def text() -> str:
    """Gives the text of `moments.json`: one case on each line."""
    cases: list[dict[str, Any]] = [
        {"text": written, "seconds": seconds(parts, offset_minutes)}
        for written, parts, offset_minutes in MOMENTS
    ]
    cases += [{"text": written, "seconds": None} for written in NO_MOMENTS]
    return "[\n" + ",\n".join(json.dumps(case, ensure_ascii=False) for case in cases) + "\n]\n"


def main() -> None:
    """Writes the file anew."""
    (FOLDER / "moments.json").write_text(text(), encoding="utf-8")


if __name__ == "__main__":
    main()
