"""Tensors as raw bytes: the binary tensor extension over HTTP, and raw contents over gRPC.

Rules:

- Little-endian, row by row, no padding. BOOL is one byte, 0 or 1, and nothing else.
- A BYTES element is its length as an unsigned 32-bit number, then its bytes.
- Raw bytes have no null: a column with a missing record is refused here.

Source: Open Inference Protocol v2, "Binary Tensor Data Extension" and "Raw Tensor Contents".
"""

from __future__ import annotations

import math
import struct
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from shoal.errors import BinaryError, DtypeError, NullError
from shoal.values._signature import Dtype, read_dtype
from shoal.values._wire import Buffer, WireColumn, check_data, missing_mask, numpy_dtype

if TYPE_CHECKING:
    from collections.abc import Sequence

_LENGTH = struct.Struct("<I")


class TensorHead(NamedTuple):
    """What has to be known of a tensor before its bytes are read; the shape has records first."""

    name: str
    dtype: Dtype
    shape: list[int]


def to_binary(wire: WireColumn) -> Buffer:
    """Gives the raw bytes of a wire column; numbers are not copied.

    Raises:
        NullError: A record is missing.
        BinaryError: The data does not have the length its shape asks for.
    """
    name, _, _, data, missing = wire
    check_data(wire)
    if missing is not None and missing_mask(missing).any():
        row = int(missing_mask(missing).argmax())
        raise NullError(
            f"column {name!r} row {row} is null, which binary does not carry",
            hint="fill it in before, or send this column in JSON",
        )
    if not isinstance(data, list):
        return data
    return b"".join(part for text in data for part in (_LENGTH.pack(len(text)), text))


def from_binary(data: Buffer, head: Sequence[object]) -> WireColumn:
    """Reads the raw bytes of one tensor.

    Args:
        data: Exactly the bytes of this tensor; numbers are not copied.
        head: Name, dtype and shape (records first).

    Raises:
        BinaryError: There are too few bytes, or too many, for this dtype and shape.
        DtypeError: The dtype does not exist, or a byte of BOOL is neither 0 nor 1.
    """
    name, dtype, shape = TensorHead._make(head)
    kind = read_dtype(dtype)
    if kind is Dtype.BYTES:
        return name, kind.value, shape, _read_texts(memoryview(data), name, math.prod(shape)), None
    held, needed = memoryview(data).nbytes, math.prod(shape) * numpy_dtype(kind).itemsize
    if held != needed:
        raise BinaryError(
            f"column {name!r} has {held} bytes, expected {needed} for {kind} of shape {shape}"
        )
    if kind is Dtype.BOOL:
        _check_booleans(data, name)
    return name, kind.value, shape, data, None


def _check_booleans(data: Buffer, name: str) -> None:
    values = np.frombuffer(data, dtype=np.uint8)
    wrong = np.flatnonzero(values > 1)
    if len(wrong):
        raise DtypeError(
            f"column {name!r} has byte {values[wrong[0]]} at element {wrong[0]}, "
            "expected 0 or 1 for BOOL"
        )


def _read_texts(data: memoryview, name: str, count: int) -> list[bytes]:
    texts: list[bytes] = []
    at = 0
    for index in range(count):
        start = at + _LENGTH.size
        if start > len(data):
            raise BinaryError(f"column {name!r} ends before the length of element {index}")
        (length,) = _LENGTH.unpack_from(data, at)
        at = start + length
        if at > len(data):
            raise BinaryError(
                f"column {name!r} element {index} announces {length} bytes, "
                f"expected at most the {len(data) - start} that are left"
            )
        texts.append(bytes(data[start:at]))
    if at != len(data):
        raise BinaryError(f"column {name!r} has {len(data) - at} bytes after its {count} elements")
    return texts
