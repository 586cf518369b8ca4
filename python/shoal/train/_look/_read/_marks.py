"""A mark of each record: 64 bits that are the same for equal records, on every machine.

Different records have different marks, but for a chance of one in 2^64 for each pair. Each column
is hashed by itself and mixed with its place; a missing value is one value, 0.0 and -0.0 are one.

Source: G. Steele, D. Lea, C. Flood, "Fast splittable pseudorandom number generators" (the mixing
function, as SplitMix64 has it); text by SipHash, as pandas has it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd
import pyarrow as pa

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Marks = NDArray[np.uint64]

GOLDEN: Final = 0x9E3779B97F4A7C15
FIRST: Final = np.uint64(0xBF58476D1CE4E5B9)
SECOND: Final = np.uint64(0x94D049BB133111EB)
MISSING: Final = np.uint64(0xD1B54A32D192ED03)
WORD: Final = 1 << 64


def marks_of(columns: Sequence[pa.Array], rows: int) -> Marks:
    """(rows,) the marks of records with these columns, in this order."""
    marks = np.zeros(rows, np.uint64)
    for place, values in enumerate(columns, start=1):
        salt = np.uint64(place * GOLDEN % WORD)
        marks = _mixed(marks ^ _mixed(_bits(values) + salt))
    return marks


def _mixed(bits: Marks) -> Marks:
    bits = (bits ^ (bits >> np.uint64(30))) * FIRST
    bits = (bits ^ (bits >> np.uint64(27))) * SECOND
    mixed: Marks = bits ^ (bits >> np.uint64(31))
    return mixed


def _bits(values: pa.Array) -> Marks:
    bits = np.full(len(values), MISSING)
    is_known = values.is_valid().to_numpy(zero_copy_only=False)
    bits[is_known] = _plain(values.drop_null())
    return bits


def _plain(values: pa.Array) -> Marks:
    """The bits of values, none of them missing."""
    if pa.types.is_null(values.type):
        return np.zeros(0, np.uint64)
    if pa.types.is_string(values.type):
        return _texts(values)
    if pa.types.is_date(values.type):
        values = values.cast(pa.int32())
    elif pa.types.is_timestamp(values.type):
        values = values.cast(pa.int64())
    found: NDArray[Any] = values.to_numpy(zero_copy_only=False)
    wide = found.astype(np.float64 if found.dtype.kind == "f" else np.int64)
    plain: Marks = (wide + 0 if found.dtype.kind == "f" else wide).view(np.uint64)
    return plain


def _texts(values: pa.Array) -> Marks:
    coded = values.dictionary_encode()
    different = coded.dictionary.to_numpy(zero_copy_only=False).astype(object)
    hashed: Marks = pd.util.hash_array(different, categorize=False)
    marks: Marks = hashed[coded.indices.to_numpy(zero_copy_only=False)]
    return marks
