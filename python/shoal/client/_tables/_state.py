"""A column whose dtype is stated instead of read off its values.

Whole numbers are checked against the dtype's range, numbers become FP16, FP32 or FP64 by rounding,
and nothing else is converted: no text to numbers, no numbers to text, no booleans to either.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from shoal.client._tables._column import Column, Kind, check_shape, of_records
from shoal.client._tables._dtypes import (
    FLOATS,
    INTEGER_RANGES,
    check_dtype,
    numpy_dtype,
)
from shoal.client._tables._from_python import check_integers, column_from
from shoal.errors import DtypeError

if TYPE_CHECKING:
    from collections.abc import Sequence

_MIXABLE = frozenset({"BOOL", "INT64", "FP64", "UTF8", "MIXED"})


def column(values: Any, dtype: str, *, shape: Sequence[int] | None = None) -> Column:
    """Makes a column of a stated dtype; a dict of columns gives it its name.

    Args:
        values: A list, or an array of numpy, pandas or Arrow. None is a missing record.
        dtype: Such as `INT8`, `FP32`, `UTF8` or `MIXED`.
        shape: The shape of one record; needed only where there is no record to read it off.

    Raises:
        DtypeError: A value is none of the dtype, or beyond it.
        ShapeError: Records have different shapes.
    """
    check_dtype("", dtype)
    found = column_from("", values)
    wanted = tuple(shape) if shape is not None else found.shape
    check_shape("", dtype, wanted)
    is_empty = found.dtype == "MIXED" and (found.missing or b"").count(1) == found.rows
    if is_empty and dtype != "TIMESTAMP":
        return of_records("", Kind(dtype, wanted), [None] * found.rows)
    if found.dtype == dtype:
        return found
    return _converted(found, dtype)


def _converted(found: Column, dtype: str) -> Column:
    kind = Kind(dtype, found.shape)
    if dtype in FLOATS and found.dtype in {*FLOATS, *_WHOLE}:
        return _rounded(found, kind)
    if dtype in _WHOLE and found.dtype in _WHOLE:
        check_integers("", dtype, found.flat())
        return Column("", kind, found.rows, flat=found.flat(), missing=found.missing)
    if dtype == "MIXED" and found.dtype in _MIXABLE and not found.shape:
        missing = found.missing or bytes(found.rows)
        held = [None if gone else v for v, gone in zip(found.flat(), missing, strict=True)]
        return Column("", kind, found.rows, flat=held, missing=found.missing)
    if dtype in FLOATS and found.dtype == "MIXED" and _are_numbers(found.flat()):
        numbers = [None if value is None else float(value) for value in found.flat()]
        return _rounded(of_records("", Kind("FP64"), numbers), kind)
    raise DtypeError(f"the values are {found.dtype}, expected {dtype}")


def _rounded(found: Column, kind: Kind) -> Column:
    import numpy as np

    from shoal.client._tables._column import of_numpy

    values = found.elements()
    with np.errstate(over="ignore"):
        rounded = values.astype(numpy_dtype(kind.dtype))
    if (np.isinf(rounded) & np.isfinite(values)).any():
        raise DtypeError(f"a number is too large for {kind.dtype}")
    mask = None if found.missing is None else np.frombuffer(found.missing, np.bool_)
    return of_numpy("", kind, rounded, mask)


def _are_numbers(values: list[Any]) -> bool:
    return all(value is None or type(value) in {int, float} for value in values)


_WHOLE = INTEGER_RANGES.keys() - {"TIMESTAMP", "DATE"}
