"""Searches bytes for records: as floats of four and eight bytes, and as text.

A whole record is searched, and each number of it that has at least six digits: shorter ones are
found anywhere by chance.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

_DIGITS = 6


def bytes_below(place: Path) -> bytes:
    """All bytes of all files of a folder, such as a package."""
    return b"\0".join(path.read_bytes() for path in sorted(place.rglob("*")) if path.is_file())


def records_in(data: bytes, rows: NDArray[np.float64]) -> list[int]:
    """The places of the records of which the bytes hold a trace."""
    return [place for place, row in enumerate(rows) if any(each in data for each in traces(row))]


def traces(row: NDArray[np.float64]) -> Iterator[bytes]:
    """What a record looks like in bytes: whole, and number by number."""
    for kind in ("<f4", "<f8"):
        yield row.astype(kind).tobytes()
    for number in row:
        for kind, text in (("<f4", repr(float(np.float32(number)))), ("<f8", repr(float(number)))):
            if sum(letter.isdigit() for letter in text.lstrip("-0.")) >= _DIGITS:
                yield np.asarray(number, kind).tobytes()
                yield text.encode()
