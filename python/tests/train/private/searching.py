"""Searches bytes for records: as floats of four and eight bytes, and as text.

- A number of eight bytes, or written with at least nine digits, is a trace by itself.
- Shorter ones are found anywhere by chance: two neighbours of four bytes are a trace together, and
  so are most numbers of a record, each written out somewhere.
"""

from __future__ import annotations

import gzip
import re
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

_DIGITS = 9
_MOST = 0.8
_NUMBER = re.compile(rb"-?\d+(?:\.\d+)?(?:e[-+]?\d+)?")


def bytes_below(place: Path) -> bytes:
    """All bytes of all files of a folder, such as a package; what is compressed also unpacked."""
    files = [path.read_bytes() for path in sorted(place.rglob("*")) if path.is_file()]
    packed = [gzip.decompress(data) for data in files if data.startswith(b"\x1f\x8b")]
    return b"\0".join([*files, *packed])


def records_in(data: bytes, rows: NDArray[np.float64]) -> list[int]:
    """The places of the records of which the bytes hold a trace."""
    written = {float(text) for text in _NUMBER.findall(data)}
    return [
        place
        for place, row in enumerate(rows)
        if any(each in data for each in _traces(row)) or _is_written(row, written)
    ]


def _traces(row: NDArray[np.float64]) -> Iterator[bytes]:
    for one, other in pairwise(row.astype("<f4")):
        if one != other:
            yield one.tobytes() + other.tobytes()
    for number in row:
        if float(number) != round(float(number), 2):  # few bits of a short number are set
            yield np.asarray(number, "<f8").tobytes()
        for text in (repr(float(number)), repr(float(np.float32(number)))):
            if sum(letter.isdigit() for letter in text.lstrip("-0.")) >= _DIGITS:
                yield text.encode()


def _is_written(row: NDArray[np.float64], written: set[float]) -> bool:
    found = [{float(number), float(np.float32(number))} & written for number in row]
    return sum(map(bool, found)) >= _MOST * len(row)
