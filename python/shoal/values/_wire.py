"""Wire columns: what crosses into the native core and onto the network.

A wire column is the plain tuple `(name, dtype, shape, data, missing)`:

- `dtype` is a name of the Open Inference Protocol; `shape` has the records first.
- `data` holds the elements row by row, little-endian, without padding; BOOL is one byte, 0 or 1.
  For BYTES it is a list with one `bytes` for each element.
- A column of scalars has shape `[N]`; `[N,1]`, as models often write it, is taken for it.
- `missing` is None, or one byte for each record, 1 where it is missing. What stands in `data` for a
  missing record is zero (for BYTES, empty) and means nothing.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt

from shoal.errors import (
    BinaryError,
    DtypeError,
    MissingColumnError,
    NullError,
    ShapeError,
    UnexpectedColumnError,
)
from shoal.values._signature import Column, Dtype, check_unique, read_dtype

if TYPE_CHECKING:
    from collections.abc import Sequence

Buffer: TypeAlias = bytes | bytearray | memoryview
WireColumn: TypeAlias = tuple[str, str, list[int], Buffer | list[bytes], Buffer | None]
Mask: TypeAlias = npt.NDArray[np.bool_]
Elements: TypeAlias = npt.NDArray[Any]
Rows: TypeAlias = Elements | range

_NUMPY_DTYPES = {
    Dtype.BOOL: np.dtype("|b1"),
    Dtype.UINT8: np.dtype("|u1"),
    Dtype.UINT16: np.dtype("<u2"),
    Dtype.UINT32: np.dtype("<u4"),
    Dtype.UINT64: np.dtype("<u8"),
    Dtype.INT8: np.dtype("|i1"),
    Dtype.INT16: np.dtype("<i2"),
    Dtype.INT32: np.dtype("<i4"),
    Dtype.INT64: np.dtype("<i8"),
    Dtype.FP16: np.dtype("<f2"),
    Dtype.FP32: np.dtype("<f4"),
    Dtype.FP64: np.dtype("<f8"),
}


def numpy_dtype(dtype: Dtype) -> np.dtype[Any]:
    """Gives the little-endian numpy type of every dtype but BYTES."""
    return _NUMPY_DTYPES[dtype]


def match_columns(wire: Sequence[WireColumn], columns: Sequence[Column]) -> list[WireColumn]:
    """Checks wire columns against what was declared, and puts them in declared order.

    Args:
        wire: Columns in any order.
        columns: What they have to be.

    Raises:
        DuplicateColumnError, MissingColumnError, UnexpectedColumnError: The names differ.
        DtypeError: A dtype differs from the declared one.
        ShapeError: A shape does not fit, or the columns differ in their number of records.
        NullError: A record is missing in a column that is not nullable.
        BinaryError: The data does not have the length the shape asks for.
    """
    match_names([column[0] for column in wire], columns)
    found = {column[0]: column for column in wire}
    matched = [_without_one(found[column.name], column) for column in columns]
    for one, declared in zip(matched, columns, strict=True):
        check_column(one, declared)
    records = matched[0][2][0] if matched else 0
    for name, _, shape, _, _ in matched:
        if shape[0] != records:
            raise ShapeError(
                f"column {name!r} has {shape[0]} records, "
                f"expected {records} as in column {matched[0][0]!r}"
            )
    return matched


def _without_one(wire: WireColumn, column: Column) -> WireColumn:
    name, dtype, shape, data, missing = wire
    is_one = not column.shape and len(shape) > 1 and list(shape[1:]) == [1]
    return (name, dtype, list(shape[:1]), data, missing) if is_one else wire


def match_names(names: Sequence[str], columns: Sequence[Column]) -> None:
    """Refuses names that are not exactly the declared ones, in any order.

    Raises:
        DuplicateColumnError, MissingColumnError, UnexpectedColumnError: Names the first culprit.
    """
    check_unique(names, "the data")
    declared = [column.name for column in columns]
    hint = f"the columns are: {', '.join(declared)}"
    for name in declared:
        if name not in names:
            raise MissingColumnError(f"column {name!r} is missing, got {list(names)}", hint=hint)
    for name in names:
        if name not in declared:
            raise UnexpectedColumnError(f"column {name!r} is not one of {declared}", hint=hint)


def check_column(wire: WireColumn, column: Column) -> None:
    """Checks one wire column against its declaration; see `match_columns` for what it raises."""
    name, dtype, shape, _, missing = wire
    if read_dtype(dtype) is not column.dtype:
        raise DtypeError(f"column {name!r} is {dtype}, expected {column.dtype}")
    fits = len(shape) == 1 + len(column.shape) and all(
        want in (-1, dim) for dim, want in zip(shape[1:], column.shape, strict=True)
    )
    if not fits or min(shape) < 0:
        raise ShapeError(
            f"column {name!r} has shape {list(shape)}, expected {[-1, *column.shape]}",
            hint="the first dimension is the records; -1 stands for any length",
        )
    check_data(wire)
    if missing is not None and not column.nullable:
        refuse_missing(name, missing_mask(missing))


def check_data(wire: WireColumn) -> None:
    """Refuses data or a mask of missing records that does not have the length its shape asks for.

    Raises:
        BinaryError: Says both lengths.
    """
    name, dtype, shape, data, missing = wire
    elements = math.prod(shape)
    width = 1 if dtype == Dtype.BYTES else numpy_dtype(read_dtype(dtype)).itemsize
    held = len(data) if isinstance(data, list) else memoryview(data).nbytes
    if held != elements * width:
        unit = "elements" if dtype == Dtype.BYTES else "bytes"
        raise BinaryError(
            f"column {name!r} has {held} {unit} of data, expected {elements * width} "
            f"for {dtype} of shape {list(shape)}"
        )
    if missing is not None and memoryview(missing).nbytes != shape[0]:
        raise BinaryError(
            f"column {name!r} says for {memoryview(missing).nbytes} records whether they are "
            f"missing, expected {shape[0]}"
        )


def refuse_missing(name: str, mask: Mask) -> None:
    """Refuses a mask that has any record missing.

    Raises:
        NullError: Names the first missing record.
    """
    if mask.any():
        raise NullError(
            f"column {name!r} row {int(mask.argmax())} is null, expected a value",
            hint="fill it in before, or declare the column nullable",
        )


def missing_mask(missing: Buffer) -> Mask:
    """Gives the mask of missing records as numpy booleans."""
    return _as_booleans(missing)


def as_missing(mask: Mask) -> bytes | None:
    """Gives the mask as a wire column carries it; None where nothing is missing."""
    return mask.astype(np.uint8).tobytes() if mask.any() else None


def elements_of(wire: WireColumn) -> Elements:
    """Views the data of a wire column as numpy, in its shape; any dtype but BYTES.

    Nothing is copied, except that BOOL becomes True and False. The view may be read-only.
    """
    _, dtype, shape, data, _ = wire
    kind = read_dtype(dtype)
    if isinstance(data, list):
        raise DtypeError(f"column {wire[0]!r} is {dtype} and holds a list, expected a buffer")
    if kind is Dtype.BOOL:
        return _as_booleans(data).reshape(shape)
    elements: Elements = np.frombuffer(data, dtype=numpy_dtype(kind))
    return elements.reshape(shape)


def as_buffer(elements: Elements) -> memoryview:
    """Gives the bytes of elements, row by row; copies only what is not laid out so already."""
    return np.ascontiguousarray(elements).reshape(-1).view(np.uint8).data


def scatter(elements: Elements, shape: list[int], rows: Rows) -> Elements:
    """Puts the elements of the records that are there at their rows, and zero at the others.

    Args:
        elements: Those of `len(rows)` records, in any shape; the same object where none is missing.
        shape: Of the whole tensor, records first.
        rows: The row of each record that is there.
    """
    if len(rows) == shape[0]:
        return elements
    spread = np.zeros(shape, dtype=elements.dtype)
    spread[rows] = elements.reshape(len(rows), *shape[1:])
    return spread


def scatter_bytes(texts: list[bytes], shape: list[int], rows: Rows) -> list[bytes]:
    """Does for BYTES what `scatter` does for numbers; a missing record is empty texts."""
    if len(rows) == shape[0]:
        return texts
    per_record = math.prod(shape[1:])
    spread = [b""] * (shape[0] * per_record)
    for at, row in enumerate(map(int, rows)):
        own = texts[at * per_record : (at + 1) * per_record]
        spread[row * per_record : (row + 1) * per_record] = own
    return spread


def cast(elements: Elements, dtype: Dtype) -> tuple[Elements, int | None]:
    """Changes elements to a dtype of the same kind, or whole numbers to floats, where values allow.

    - Whole numbers keep their value, or are refused. As floats they are refused above
      2**11 (FP16), 2**24 (FP32) and 2**53 (FP64), where floats stop being exact.
    - Floats are rounded to the nearest value the dtype has, ties to even, as the same number
      written in JSON would be. One that would become infinite is refused.

    Args:
        elements: Of any shape.
        dtype: Any but BYTES.

    Returns:
        The elements, the same object where nothing changes, and the flat index of the first one
        that was refused, or None.

    Raises:
        TypeError: The kinds differ: no value could be kept.
    """
    target = numpy_dtype(dtype)
    if elements.dtype == target:
        return elements, None
    kinds = _kind(elements.dtype) + _kind(target)
    if kinds == "ff":
        return _round_floats(elements, target)
    if kinds == "ii":
        info = np.iinfo(target)
        return elements.astype(target), _first((elements < info.min) | (elements > info.max))
    if kinds == "if":
        limit = 2 ** (np.finfo(target).nmant + 1)
        return elements.astype(target), _first((elements < -limit) | (elements > limit))
    raise TypeError(f"{elements.dtype} does not become {dtype}")


def _round_floats(elements: Elements, target: np.dtype[Any]) -> tuple[Elements, int | None]:
    with np.errstate(over="ignore", under="ignore"):
        rounded = elements.astype(target)
    if rounded.dtype.itemsize >= elements.dtype.itemsize:
        return rounded, None
    return rounded, _first(np.isinf(rounded) & np.isfinite(elements))


def _as_booleans(data: Buffer) -> Mask:
    # Not a view: a byte that is neither 0 nor 1 would be a boolean that is neither.
    booleans: Mask = np.frombuffer(data, dtype=np.uint8) != 0
    return booleans


def _kind(dtype: np.dtype[Any]) -> str:
    """Gives "i" for whole numbers, "f" for floats, and another letter for anything else."""
    return "i" if dtype.kind in "iu" else dtype.kind


def _first(refused: Mask) -> int | None:
    return int(refused.argmax()) if refused.any() else None
