"""Arrow -> wire columns.

Rules:

- Columns are found by name; each declared one must be there once, and no other.
- A value is never changed silently: see `shoal.values._wire.cast` for what may become what. Nothing
  else is converted: no text to numbers, no floats to whole numbers, no booleans to either.
- A missing record is allowed where the column is nullable; inside a record nothing may be missing.
- One wire column has one shape. A table whose records differ in shape is cut into groups of one
  shape first (`split_by_shape`), and the answers are put back in order (`join_groups`).
- A column of moments also takes timestamps, dates and ISO 8601 text (`shoal.values._moments`).
- In a column whose shape varies, a missing record has length 0. So a record's shape depends on
  that record only, and never on its neighbours.
- Buffers are passed on without a copy where the type is the declared one and nothing is missing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from shoal.errors import DtypeError, NullError, ShapeError, ShoalError
from shoal.values._moments import in_seconds
from shoal.values._signature import Column, Dtype
from shoal.values._wire import (
    Elements,
    Mask,
    Rows,
    WireColumn,
    as_buffer,
    as_missing,
    cast,
    match_names,
    numpy_dtype,
    refuse_missing,
    scatter,
    scatter_bytes,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

_SHOWN_CHARACTERS = 40


class _Place(NamedTuple):
    """Where values come from, so that an error can name column and row."""

    column: Column
    rows: Rows  # of each record that is not missing

    def row(self, index: int, *, count: int) -> int:
        """Gives the row that item `index` of `count` items belongs to."""
        return int(self.rows[index // (count // len(self.rows))])


def from_arrow(batch: pa.RecordBatch | pa.Table, columns: Sequence[Column]) -> list[WireColumn]:
    """Gives the columns of a table as the native core and the network take them.

    Args:
        batch: Records of one shape; its columns may be in any order, chunked, sliced or
            dictionary-encoded. Shapes are read from FixedSizeList, List (and its large and view
            forms, lengths checked) and `arrow.fixed_shape_tensor`.
        columns: What the columns have to be.

    Returns:
        One wire column for each declared column, in declared order.

    Raises:
        DuplicateColumnError, MissingColumnError, UnexpectedColumnError: The names differ.
        DtypeError: A type cannot be read as the declared one, or a value does not fit it, such as
            a text that is no moment.
        ShapeError: Shapes differ from the declared one, or, where it varies, from each other.
        NullError: A value is missing where it may not be.
    """
    match_names(batch.schema.names, columns)
    return [_read_column(as_array(batch.column(column.name)), column) for column in columns]


def as_array(values: pa.Array | pa.ChunkedArray) -> pa.Array:
    """Gives one plain array: chunks joined, dictionaries and run-ends decoded."""
    array = values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values
    if isinstance(array, pa.ExtensionArray) and not is_tensor(array.type):
        array = array.storage
    if pa.types.is_run_end_encoded(array.type):
        array = pc.run_end_decode(array)
    return array.dictionary_decode() if pa.types.is_dictionary(array.type) else array


def is_tensor(kind: pa.DataType) -> bool:
    """Whether a type is `arrow.fixed_shape_tensor`."""
    return isinstance(kind, pa.FixedShapeTensorType)


def is_list(kind: pa.DataType) -> bool:
    """Whether a type is any kind of list."""
    return any(
        check(kind)
        for check in (
            pa.types.is_list,
            pa.types.is_large_list,
            pa.types.is_fixed_size_list,
            pa.types.is_list_view,
            pa.types.is_large_list_view,
        )
    )


def tensor_shape(kind: pa.FixedShapeTensorType) -> list[int]:
    """Gives the shape of the tensors of a type.

    Raises:
        ShapeError: The type permutes its dimensions. Arrow's own reader (26.0) and its format
            disagree about permutations that are not their own inverse, so none is guessed.
    """
    order = kind.permutation
    if order is not None and order != sorted(order):
        raise ShapeError(
            f"a tensor of shape {kind.shape} has its dimensions in the order {order}, "
            "expected no permutation",
            hint="make the array contiguous first, with numpy.ascontiguousarray",
        )
    return list(kind.shape)


def mask_of(array: pa.Array) -> Mask:
    """Gives True for each missing record; no copy is made of what is not needed."""
    if array.null_count == 0:
        return np.zeros(len(array), dtype=np.bool_)
    mask: Mask = array.is_null().to_numpy(zero_copy_only=False)
    return mask


def _read_column(array: pa.Array, column: Column) -> WireColumn:
    if column.moment:
        array = in_seconds(array, column.name)
    missing, rows = _missing(array, column)
    place = _Place(column, rows)
    held = array if missing is None else array.drop_null()
    if pa.types.is_null(held.type):
        dims = [max(dim, 0) for dim in column.shape]
        leaf = _no_values(column.dtype)
    else:
        leaf, dims = _peel(held, place)
    if missing is not None and column.is_variable and len(place.rows):
        dims = _same_length(dims, place)
    shape = [len(array), *dims]
    if column.dtype is Dtype.BYTES:
        texts = scatter_bytes(_read_bytes(leaf, place), shape, place.rows)
        return column.name, column.dtype.value, shape, texts, missing
    elements = scatter(_read_elements(leaf, place), shape, place.rows)
    return column.name, column.dtype.value, shape, as_buffer(elements), missing


def _missing(array: pa.Array, column: Column) -> tuple[bytes | None, Rows]:
    """Which records are missing, as a wire column says it, and the rows of the others."""
    if array.null_count == 0:
        return None, range(len(array))
    mask = mask_of(array)
    if not column.nullable:
        refuse_missing(column.name, mask)
    return as_missing(mask), np.flatnonzero(~mask)


def _no_values(dtype: Dtype) -> pa.Array:
    """Gives an empty array of a type that reads as the dtype."""
    if dtype is Dtype.BYTES:
        return pa.nulls(0, pa.binary())
    return pa.nulls(0, pa.from_numpy_dtype(numpy_dtype(dtype)))


def _same_length(dims: list[int], place: _Place) -> list[int]:
    """Refuses missing records beside others in a column of varying shape, unless both are empty."""
    own = [0 if want == -1 else dim for dim, want in zip(dims, place.column.shape, strict=True)]
    if own != dims:
        raise _ragged(
            place.column, f"row {int(place.rows[0])} has shape {dims}, a missing one {own}"
        )
    return dims


def _ragged(column: Column, found: str) -> ShoalError:
    return ShapeError(
        f"column {column.name!r} has records of different shapes: {found}",
        hint="cut the table with shoal.values.split_by_shape first",
    )


def _peel(array: pa.Array, place: _Place) -> tuple[pa.Array, list[int]]:
    """Takes the lists off, level by level.

    Args:
        array: Records, none of them missing.
        place: Where they come from.

    Returns:
        The elements in one flat array, and the shape of one record.
    """
    dims: list[int] = []
    want = list(place.column.shape)
    while len(dims) < len(want):
        left = want[len(dims) :]
        if is_tensor(array.type):
            array, more = _open_tensor(array, place, left)
        elif is_list(array.type):
            more = [_one_length(array, place, dims)]
            array = array.flatten()
        else:
            break
        dims += more
        array = _without_nulls(as_array(array), place)
    fits = len(dims) == len(want) and not is_list(array.type) and not is_tensor(array.type)
    if not fits:
        raise ShapeError(
            f"column {place.column.name!r} has records of {_depth(array, dims)} dimensions in "
            f"Arrow, expected {len(want)} for shape {want}"
        )
    return array, dims


def _depth(array: pa.Array, dims: list[int]) -> int:
    depth, kind = len(dims), array.type
    while is_list(kind) or is_tensor(kind):
        depth += len(kind.shape) if is_tensor(kind) else 1
        kind = kind.value_type
    return depth


def _one_length(array: pa.Array, place: _Place, dims: list[int]) -> int:
    """Gives the length that all lists share, checked against the declared dimension."""
    column = place.column
    want = column.shape[len(dims)]
    if pa.types.is_fixed_size_list(array.type) and want in (-1, array.type.list_size):
        return int(array.type.list_size)
    lengths = _lengths(array)
    length = want if want != -1 else int(lengths[0]) if len(lengths) else 0
    other = np.flatnonzero(lengths != length)
    if not len(other):
        return length
    index = int(other[0])
    row = place.row(index, count=len(array))
    if want == -1:
        raise _ragged(column, f"row {row} has length {lengths[index]}, an earlier one {length}")
    raise ShapeError(
        f"column {column.name!r} row {row} has length {lengths[index]} in dimension "
        f"{len(dims)}, expected {want} for shape {list(column.shape)}"
    )


def _lengths(array: pa.Array) -> Elements:
    """The length of each list; none of them is missing."""
    if pa.types.is_list(array.type) or pa.types.is_large_list(array.type):
        return np.diff(np.from_dlpack(array.offsets))
    lengths: Elements = pc.list_value_length(array).to_numpy(zero_copy_only=False)
    return lengths


def _open_tensor(
    array: pa.FixedShapeTensorArray, place: _Place, want: list[int]
) -> tuple[pa.Array, list[int]]:
    shape = tensor_shape(array.type)
    fits = len(shape) <= len(want) and all(
        expected in (-1, dim) for dim, expected in zip(shape, want, strict=False)
    )
    if not fits:
        raise ShapeError(
            f"column {place.column.name!r} holds tensors of shape {shape}, expected {want}"
        )
    return array.storage.flatten(), shape


def _without_nulls(array: pa.Array, place: _Place) -> pa.Array:
    if array.null_count == 0:
        return array
    index = int(mask_of(array).argmax())
    column = place.column
    raise NullError(
        f"column {column.name!r} row {place.row(index, count=len(array))} has a null inside its "
        f"record of shape {list(column.shape)}, expected values only",
        hint="only a whole record may be missing",
    )


def _read_elements(leaf: pa.Array, place: _Place) -> Elements:
    column = place.column
    kind = leaf.type
    if not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind)):
        raise _wrong_type(leaf, column)
    source = _elements(leaf)
    try:
        elements, refused = cast(source, column.dtype)
    except TypeError:
        raise _wrong_type(leaf, column) from None
    if refused is not None:
        row = place.row(refused, count=len(source))
        raise DtypeError(
            f"column {column.name!r} row {row} is {source[refused]!s}, "
            f"expected a value that {column.dtype} holds",
            hint=f"declare a wider dtype than {column.dtype}, or correct the value",
        )
    return elements


def _elements(leaf: pa.Array) -> Elements:
    """The elements without a copy, but for booleans, which Arrow packs into bits.

    By DLPack, because Arrow's `to_numpy` imports pandas wherever it is installed.
    """
    if pa.types.is_boolean(leaf.type):
        return np.asarray(leaf.cast(pa.uint8())).view(np.bool_)
    return np.from_dlpack(leaf)


def _read_bytes(leaf: pa.Array, place: _Place) -> list[bytes]:
    try:
        plain = leaf.cast(pa.large_binary()) if _is_bytes(leaf.type) else None
    except pa.ArrowInvalid as error:
        raise DtypeError(f"column {place.column.name!r} cannot be read as bytes: {error}") from None
    if plain is None:
        raise _wrong_type(leaf, place.column)
    texts: list[bytes] = plain.to_pylist()
    return texts


def _is_bytes(kind: pa.DataType) -> bool:
    return any(
        check(kind)
        for check in (
            pa.types.is_string,
            pa.types.is_large_string,
            pa.types.is_string_view,
            pa.types.is_binary,
            pa.types.is_large_binary,
            pa.types.is_binary_view,
            pa.types.is_fixed_size_binary,
        )
    )


def _wrong_type(leaf: pa.Array, column: Column) -> ShoalError:
    shown = ""
    if len(leaf):
        shown = f" (the first value is {str(leaf[0].as_py())[:_SHOWN_CHARACTERS]!r})"
    return DtypeError(
        f"column {column.name!r} is {leaf.type} in Arrow{shown}, expected {column.dtype}",
        hint="convert the column first; only exact conversions happen by themselves",
    )
