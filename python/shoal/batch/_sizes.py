"""How many bytes a record has, whatever holds it and however it was sliced.

A number, a boolean or a time has the bytes of its type (a boolean 1); a string or binary value
its bytes and 4 more; a list its items and 4 more; a struct or mapping its values. A null has what
its type has, a null string 4. What a batch shares (dictionaries, validity) is not counted.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

if TYPE_CHECKING:
    from numpy.typing import NDArray

OFFSET_BYTES = 4  # where a value of variable length ends
OBJECT_BYTES = 8  # a number, a time or None of Python, as a 64-bit value


def record_bytes_of_arrow(batch: pa.RecordBatch) -> NDArray[np.int64]:
    """Gives the bytes of each record of a batch."""
    total = np.zeros(batch.num_rows, dtype=np.int64)
    for column in batch.columns:
        total += _value_bytes(column)
    return total


def record_bytes_of_list(records: list[Any]) -> NDArray[np.int64]:
    """Gives the bytes of each record of a list, counted as Arrow would hold it."""
    return np.fromiter(map(_object_bytes, records), dtype=np.int64, count=len(records))


def _value_bytes(array: pa.Array) -> NDArray[np.int64]:
    kind = array.type
    if isinstance(kind, pa.BaseExtensionType):
        array, kind = array.storage, array.storage.type
    if pa.types.is_struct(kind):
        return record_bytes_of_arrow(pa.RecordBatch.from_struct_array(array))
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_map(kind):
        return _list_bytes(array)
    if pa.types.is_fixed_size_list(kind):
        return _fixed_list_bytes(array)
    try:
        width = max(kind.bit_width // 8, 1)  # a boolean is one bit
    except ValueError:  # a type of no fixed width
        return _text_bytes(array)
    return np.full(len(array), width, dtype=np.int64)


def _fixed_list_bytes(array: pa.FixedSizeListArray) -> NDArray[np.int64]:
    width = array.type.list_size
    items = _value_bytes(array.values)  # all of them, whatever the slice
    start = array.offset * width
    sums: NDArray[np.int64] = items[start : start + len(array) * width].reshape(-1, width).sum(1)
    return sums


def _list_bytes(array: pa.Array) -> NDArray[np.int64]:
    ends = array.offsets.to_numpy(zero_copy_only=False).astype(np.int64)
    items = array.values if not pa.types.is_map(array.type) else _entries(array)
    sums = np.concatenate([[0], np.cumsum(_value_bytes(items))])
    lengths: NDArray[np.int64] = np.diff(sums[ends]) + OFFSET_BYTES
    return lengths


def _entries(array: pa.MapArray) -> pa.StructArray:
    return pa.StructArray.from_arrays([array.keys, array.items], names=["key", "item"])


def _text_bytes(array: pa.Array) -> NDArray[np.int64]:
    """Gives the bytes of strings and binary; of rarer types, their share of the whole."""
    try:
        lengths = pc.binary_length(array).fill_null(0).to_numpy(zero_copy_only=False)
    except pa.ArrowNotImplementedError:
        each = -(-array.nbytes // max(len(array), 1))
        return np.full(len(array), each, dtype=np.int64)
    return np.asarray(lengths).astype(np.int64) + OFFSET_BYTES


def _object_bytes(value: Any) -> int:
    if isinstance(value, str):
        return len(value.encode()) + OFFSET_BYTES
    if isinstance(value, (bytes, bytearray)):
        return len(value) + OFFSET_BYTES
    if isinstance(value, (np.ndarray, np.generic)):
        return int(value.nbytes)
    if isinstance(value, Mapping):
        return sum(map(_object_bytes, value.values()))
    if isinstance(value, (list, tuple)):
        return sum(map(_object_bytes, value)) + OFFSET_BYTES
    return 1 if isinstance(value, bool) else OBJECT_BYTES
