"""Which of 256 buckets a key belongs to: fixed for good, so that any number of workers share them.

The number depends on the values of a key alone: not on the process, the machine, or which other
keys there are. A worker takes a run of neighbouring buckets, and may take another one tomorrow.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

BUCKETS = 256
# Odd multipliers of the finalizer of SplitMix64 (Steele, Lea, Flood, OOPSLA 2014).
FIRST, SECOND = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
GOLDEN = np.uint64(0x9E3779B97F4A7C15)
# The base of the polynomial over the bytes of a text; odd, so that no byte is lost modulo 2^64.
BASE = np.uint64(0x100000001B3)
# What times are, by their width in bits.
WIDTHS = {32: pa.int32(), 64: pa.int64()}
NULL = np.uint64(0x6E756C6C)


def buckets_of(keys: Sequence[pa.Array], rows: int) -> NDArray[np.uint8]:
    """The bucket of each row's key, which may have several columns; 0 where there is none."""
    total = np.zeros(rows, np.uint64)
    for key in keys:
        total = _mixed(total * GOLDEN + _hashed(key))
    return (total >> np.uint64(56)).astype(np.uint8) if keys else np.zeros(rows, np.uint8)


def _hashed(key: pa.Array) -> NDArray[np.uint64]:
    if pa.types.is_dictionary(key.type):
        key = key.cast(key.type.value_type)
    if pa.types.is_null(key.type):
        return np.full(len(key), NULL)
    missing = pc.is_null(key).to_numpy(zero_copy_only=False)
    if pa.types.is_floating(key.type):
        # 0.0 and -0.0 are one key, and every NaN is the same.
        values = pc.add(key.cast(pa.float64()), 0.0).fill_null(0.0).to_numpy(zero_copy_only=False)
        bits = np.where(np.isnan(values), np.nan, values).view(np.uint64)
    elif pa.types.is_boolean(key.type):
        bits = _integers(key.cast(pa.uint8()))
    elif pa.types.is_primitive(key.type) and not pa.types.is_decimal(key.type):
        bits = _integers(key)
    else:
        bits = _texts(key.cast(pa.large_binary()))
    return np.where(missing, NULL, _mixed(bits))


def _integers(key: pa.Array) -> NDArray[np.uint64]:
    """The same number has the same bucket in every width."""
    plain = key if pa.types.is_integer(key.type) else key.view(WIDTHS[key.type.bit_width])
    numbers: NDArray[Any] = plain.fill_null(0).to_numpy(zero_copy_only=False)
    return numbers if numbers.dtype == np.uint64 else numbers.astype(np.int64).view(np.uint64)


def _texts(key: pa.Array) -> NDArray[np.uint64]:
    """A polynomial over the bytes of each text."""
    key = key.fill_null(b"")
    _, offsets, data = key.buffers()
    ends = np.frombuffer(offsets, np.int64)[key.offset : key.offset + len(key) + 1]
    size = int(ends[-1] - ends[0])
    if not size:
        return np.zeros(len(key), np.uint64)
    bytes_ = np.frombuffer(data, np.uint8)[ends[0] : ends[-1]].astype(np.uint64) + np.uint64(1)
    starts, lengths = ends[:-1] - ends[0], np.diff(ends)
    place = np.arange(size) - np.repeat(starts, lengths)
    terms = bytes_ * _powers(int(lengths.max()))[place]
    sums = np.zeros(len(key), np.uint64)
    filled = lengths > 0
    sums[filled] = np.add.reduceat(terms, starts[filled])
    return sums


def _powers(count: int) -> NDArray[np.uint64]:
    return np.cumprod(np.full(count, BASE), dtype=np.uint64)


def _mixed(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    values = (values ^ (values >> np.uint64(30))) * FIRST
    values = (values ^ (values >> np.uint64(27))) * SECOND
    return values ^ (values >> np.uint64(31))
