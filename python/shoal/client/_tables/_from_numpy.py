"""numpy -> columns, the first dimension being the record.

- Numbers and booleans keep their type; other byte orders become little-endian.
- Texts (`U`) are UTF8 and bytes (`S`) BYTES. Objects are read as a list of Python values.
- `datetime64[D]` is DATE; `datetime64` of any other unit has no zone and is refused.
- In a masked array a record is missing if all of it is masked. NaN is a number, not a missing one.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from shoal.client._tables._column import Column, Kind, of_numpy, of_records
from shoal.client._tables._dtypes import MAX_DIMENSIONS, dtype_of_numpy, numpy_dtype
from shoal.client._tables._moments import ZONE_HINT, check_years
from shoal.errors import DtypeError, NullError, ShapeError, ZoneError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


def column_of_array(name: str, values: npt.NDArray[Any]) -> Column:
    """Makes a column of an array that is nothing more than that; see `column_of_numpy`."""
    kind = _kind_of(values.dtype, values.shape[1:]) if values.ndim else None
    return column_of_numpy(name, values) if kind is None else of_numpy(name, kind, values)


def column_of_numpy(name: str, values: Any) -> Column:
    """Makes a column of an array of shape `[rows, *shape]`, or of what numpy makes one of.

    Raises:
        DtypeError: The type has no dtype of the protocol.
        ShapeError: It has no dimension, or more than 9.
        ZoneError: It is `datetime64`, which has no zone.
        NullError: A part of a record is masked.
    """
    import numpy as np

    array = values if isinstance(values, np.ndarray) else np.asarray(values)
    if not 0 <= array.ndim - 1 <= MAX_DIMENSIONS:
        raise ShapeError(
            f"column {name!r} has {array.ndim} dimensions, expected 1 to {MAX_DIMENSIONS + 1}, "
            "records first",
            hint="a single record is an array of one: array[None]",
        )
    dtype = dtype_of_numpy(array.dtype)
    if dtype is None:
        return _of_other(name, array)
    missing = _mask(name, array)
    held = np.ma.getdata(array).astype(numpy_dtype(dtype), copy=False)
    if missing is not None and missing.any():
        held = held.copy()
        held[missing] = 0
    return of_numpy(name, Kind(dtype, array.shape[1:]), held, missing)


@lru_cache(1024)
def _kind_of(type_: np.dtype[Any], shape: tuple[int, ...]) -> Kind | None:
    """Gives what records of a numpy type are that is held as it is; None for all others."""
    dtype = dtype_of_numpy(type_) if type_.isnative else None
    return None if dtype is None or len(shape) > MAX_DIMENSIONS else Kind(dtype, shape)


def _of_other(name: str, array: npt.NDArray[Any]) -> Column:
    if array.dtype.kind == "M":
        return _days(name, array)
    if array.dtype.kind in "USO":
        return _objects(name, array)
    raise DtypeError(
        f"column {name!r} is {array.dtype} in numpy, which is no dtype of the protocol",
        hint="convert it with astype: to float64, an integer, or text",
    )


def _objects(name: str, array: npt.NDArray[Any]) -> Column:
    import numpy as np

    from shoal.client._tables._from_python import column_of_list

    missing = _mask(name, array)
    records = np.ma.getdata(array).tolist()
    if missing is not None:
        records = [None if gone else each for each, gone in zip(records, missing, strict=True)]
    if records:
        return column_of_list(name, records)
    dtype = {"U": "UTF8", "S": "BYTES"}.get(array.dtype.kind, "MIXED")
    return of_records(name, Kind(dtype, array.shape[1:]), [])


def _days(name: str, array: npt.NDArray[Any]) -> Column:
    import numpy as np

    if array.dtype != np.dtype("datetime64[D]"):
        raise ZoneError(f"column {name!r} is {array.dtype}, times without a zone", hint=ZONE_HINT)
    if array.ndim > 1:
        raise ShapeError(f"column {name!r} holds dates of shape {array.shape[1:]}, expected []")
    missing = np.isnat(np.ma.getdata(array)) | np.ma.getmaskarray(array)
    days = np.where(missing, 0, np.ma.getdata(array).astype(np.int64))
    check_years(name, "DATE", "", days)
    return of_numpy(name, Kind("DATE"), days.astype(numpy_dtype("DATE")), missing)


def _mask(name: str, array: npt.NDArray[Any]) -> npt.NDArray[np.bool_] | None:
    """Gives which records are missing of a masked array; None for any other."""
    import numpy as np

    if not isinstance(array, np.ma.MaskedArray):
        return None
    masked = np.ma.getmaskarray(array).reshape(len(array), math.prod(array.shape[1:]))
    whole: npt.NDArray[np.bool_] = np.logical_and(masked.all(axis=1), masked.shape[1] > 0)
    if (masked.any(axis=1) != whole).any():
        raise NullError(f"column {name!r} has a record of which a part is masked, expected all")
    return whole
