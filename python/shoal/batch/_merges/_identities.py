"""What a sketch hashes: values that are equal are one, in whatever type they arrive.

- A number is the first of a 64-bit integer, a double and a text that holds it exactly: the integer
  1, the float 1.0 and the decimal 1.00 are one value; -0.0 and 0.0 are one, every NaN is one.
- A time or a duration is its nanoseconds, so that seconds and microseconds are alike.
- Text is itself, and binary the text it encodes; where it encodes none, a 64-bit hash of it.

Types widen from micro-batch to micro-batch, a sketch that was made before does not: hence this.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final, TypeAlias

import pyarrow as pa

from shoal.batch._groups import group_rows
from shoal.batch._merges._columns import (
    has_order,
    is_half_width,
    is_number,
    is_temporal,
    numbers,
)

if TYPE_CHECKING:
    from decimal import Decimal

    import numpy as np
    from numpy.typing import NDArray

Identity: TypeAlias = int | float | str

NANOSECONDS: Final = {"s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}
NANOSECONDS_PER_DAY: Final = 86_400 * NANOSECONDS["s"]
LEAST, BEYOND = -(2**63), 2**63  # int64
HASH_BYTES: Final = 8


def has_identity(found: pa.DataType) -> bool:
    """Says whether values of this type can be counted as distinct."""
    return has_order(found)


def distinct_rows(
    array: pa.Array, group: NDArray[np.int64]
) -> tuple[list[Identity], NDArray[np.int64]]:
    """Gives each distinct value of each group once, and its group. The array has no nulls."""
    values = pa.array(numbers(array)) if is_number(array.type) else array
    _, firsts = group_rows([pa.array(group), values], len(values))
    return identities_of(values.take(pa.array(firsts))), group[firsts]


def identities_of(array: pa.Array) -> list[Identity]:
    """Gives what stands for each value; the array has no nulls."""
    found = array.type
    if is_temporal(found):
        width = pa.int32() if is_half_width(found) else pa.int64()
        factor = _nanoseconds(found)
        return [_whole(count * factor) for count in array.view(width).to_pylist()]
    values = array.to_pylist()
    if pa.types.is_uint64(found):
        return [_whole(value) for value in values]
    if pa.types.is_floating(found):
        return [_float(value) for value in values]
    if pa.types.is_decimal(found):
        return [_decimal(value) for value in values]
    if pa.types.is_integer(found):
        return list(values)
    return [_text(value) for value in values]


def _nanoseconds(found: pa.DataType) -> int:
    """Gives how long one unit of a temporal type is."""
    if pa.types.is_date32(found):
        return NANOSECONDS_PER_DAY
    return NANOSECONDS["ms" if pa.types.is_date64(found) else found.unit]


def _whole(number: int) -> Identity:
    if LEAST <= number < BEYOND:
        return number
    return float(number) if float(number) == number else str(number)


def _float(number: float) -> Identity:
    return int(number) if number.is_integer() and LEAST <= number < BEYOND else number


def _decimal(number: Decimal) -> Identity:
    if number == int(number):
        return _whole(int(number))
    return float(number) if number == float(number) else f"{number:f}".rstrip("0")


def _text(value: str | bytes) -> Identity:
    try:
        text = value.decode() if isinstance(value, bytes) else value
    except UnicodeDecodeError:
        text = ""
    # The package passes over an empty text: it does not count as a value.
    return text or _hash(value if isinstance(value, bytes) else value.encode())


def _hash(value: bytes) -> int:
    digest = hashlib.blake2b(value, digest_size=HASH_BYTES).digest()
    return int.from_bytes(digest, "little", signed=True)
