"""Which rows belong together: a number for each distinct key, in the order of first meeting."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from shoal.errors import DtypeError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


def group_rows(keys: Sequence[pa.Array], rows: int) -> tuple[pa.Int32Array, NDArray[np.int64]]:
    """Gives each row's group, and the first row of each group; without keys, one group.

    Null is a key like any other; NaN is one key; 0.0 and -0.0 are one.

    Raises:
        DtypeError: A key is of a type whose values cannot be compared.
    """
    if not keys:
        return pa.array(np.zeros(rows, np.int32)), np.zeros(1, np.int64)
    codes, _ = _codes(keys[0])
    for key in keys[1:]:
        column, size = _codes(key)
        # Numbered anew after each key, so that products of sizes stay within int64.
        codes, _ = _codes(pa.array(codes * size + column))
    # Numbers were given in the order of meeting: a first row has one above all before it.
    firsts = np.flatnonzero(np.diff(np.maximum.accumulate(codes), prepend=-1))
    return pa.array(codes.astype(np.int32)), firsts


def unpacked(array: pa.Array) -> pa.Array:
    """Gives the values of a dictionary column; any other column as it is."""
    if pa.types.is_dictionary(array.type):
        return array.cast(array.type.value_type)
    return array


def _codes(key: pa.Array) -> tuple[NDArray[np.int64], int]:
    """Numbers distinct values, null among them, as they are met, and says how many there are."""
    key = unpacked(key)
    if pa.types.is_floating(key.type):
        key = pc.add(key, pa.scalar(0, key.type))
    try:
        coded = key.dictionary_encode(null_encoding="encode")
    except pa.ArrowNotImplementedError as cause:
        raise DtypeError(
            f"records cannot be grouped by a column of {key.type}",
            hint="group by a number, a string, a time or a boolean",
        ) from cause
    codes: NDArray[np.int64] = coded.indices.to_numpy(zero_copy_only=False).astype(np.int64)
    return codes, len(coded.dictionary)
