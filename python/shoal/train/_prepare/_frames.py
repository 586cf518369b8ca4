"""Records as scikit-learn takes them, the same when a model is fitted and when it is sealed.

- Numbers, and true and false, are floats that FP32 holds, since that is what a package takes; a
  missing one is NaN, infinite ones are refused.
- Categories and texts are texts; a missing one is empty.
- Dates are whole seconds since 1970-01-01 UTC, as a package takes moments (`shoal.values`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from shoal.errors import DtypeError, InvalidRequestError, MissingColumnError, NullError
from shoal.train._prepare._description import Categorical, Date, Numeric, Preparation, Text
from shoal.train._prepare._steps import NO_TEXT
from shoal.values import in_seconds

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from shoal.train._prepare._description import Feature


def frame_of(records: pa.Table, preparation: Preparation) -> pd.DataFrame:
    """The columns that a preparation names, in its order.

    Raises:
        MissingColumnError: a column is not there.
        DtypeError: a column is not of the kind that is said, or a number is infinite.
        NullError: a date is missing, and nothing says what it becomes.
    """
    for name in preparation.columns:
        if name not in records.column_names:
            there = ", ".join(records.column_names)
            raise MissingColumnError(f"there is no column {name!r}; there are {there}")
    columns = {
        name: _column(name, records.column(name).combine_chunks(), feature)
        for name, feature in preparation.columns.items()
    }
    return pd.DataFrame(columns)


def kept(records: pa.Table, preparation: Preparation) -> NDArray[np.bool_]:
    """Which records are trained on: those that lack nothing where `missing` is `drop`."""
    found = np.ones(records.num_rows, np.bool_)
    for name, feature in preparation.columns.items():
        if feature.missing == "drop":
            values = records.column(name)
            found &= np.asarray(pc.is_valid(values).combine_chunks().to_pylist(), np.bool_)
    return found


def nulls_of(preparation: Preparation) -> dict[str, str | int | float]:
    """What a package makes of a missing value, by column; one that is not here is refused."""
    found: dict[str, str | int | float] = {}
    for name, feature in preparation.columns.items():
        if feature.missing == "drop":
            continue
        if isinstance(feature, Numeric):
            found[name] = "NaN"
        elif isinstance(feature, Categorical | Text):
            found[name] = NO_TEXT
        elif feature.missing != "refuse":
            found[name] = _seconds_of(name, feature.missing)
    return found


def moments_of(preparation: Preparation) -> list[str]:
    """The columns that hold moments."""
    return [name for name, feature in preparation.columns.items() if isinstance(feature, Date)]


def _column(name: str, values: pa.Array, feature: Feature) -> Any:
    if isinstance(feature, Numeric):
        return numbers_of(name, values)
    if isinstance(feature, Date):
        return seconds_of(name, values, feature)
    return texts_of(name, values).to_numpy(zero_copy_only=False).astype(object)


def texts_of(name: str, values: pa.Array) -> pa.Array:
    """Categories and texts, without nulls.

    Raises:
        DtypeError: they are none.
    """
    if pa.types.is_dictionary(values.type):
        values = values.dictionary_decode()
    if not (pa.types.is_string(values.type) or pa.types.is_large_string(values.type)):
        values = _cast(name, values, pa.string(), "text")
    return values.fill_null(NO_TEXT)


def numbers_of(name: str, values: pa.Array, *, first_row: int = 0) -> NDArray[np.float64]:
    """(rows,) numbers that FP32 holds; `first_row` is what messages count from.

    Raises:
        DtypeError: they are none, or one is infinite.
    """
    if pa.types.is_boolean(values.type):
        values = values.cast(pa.uint8())
    try:
        numbers = doubles_of(values)
    except (pa.ArrowException, ValueError) as error:
        message = f"column {name!r} is {values.type}, expected numbers: {error}"
        raise DtypeError(message) from error
    with np.errstate(over="ignore"):
        single = numbers.astype(np.float32)
    if (infinite := np.flatnonzero(np.isinf(single))).size:
        row = int(infinite[0])
        message = (
            f"column {name!r} row {first_row + row} is {numbers[row]}, "
            "expected a number that FP32 holds, or null"
        )
        raise DtypeError(message, hint="Replace infinite numbers, or make them null.")
    return single.astype(np.float64)


def doubles_of(values: pa.Array | pa.ChunkedArray) -> NDArray[np.float64]:
    """(rows,) numbers, NaN where missing; whole ones beyond 2^53 become the nearest double.

    FP32, in which a model takes them, rounds far more than that.

    Raises:
        ArrowException: they are no numbers.
    """
    found: NDArray[np.float64] = np.asarray(values.cast(pa.float64(), safe=False))
    return found


def seconds_of(
    name: str, values: pa.Array, feature: Date, *, first_row: int = 0
) -> NDArray[np.int64]:
    """(rows,) seconds since 1970-01-01 UTC; `first_row` is what messages count from.

    Raises:
        DtypeError: they are no dates.
        NullError: one is missing, and nothing says what it becomes.
    """
    seconds = in_seconds(values, name)
    if not (pa.types.is_integer(seconds.type) or pa.types.is_null(seconds.type)):
        raise DtypeError(f"column {name!r} is {values.type}, expected dates")
    seconds = _cast(name, seconds, pa.int64(), "dates")
    if feature.missing not in {"refuse", "drop"}:
        seconds = seconds.fill_null(_seconds_of(name, feature.missing))
    elif seconds.null_count and feature.missing == "refuse":
        row = int(np.flatnonzero(np.asarray(seconds.is_null().to_pylist()))[0])
        message = (
            f"column {name!r} row {first_row + row} has no date, and nothing says what it becomes"
        )
        raise NullError(message, hint="Say missing='1970-01-01' or another date, or 'drop'.")
    found: NDArray[np.int64] = seconds.fill_null(0).to_numpy(zero_copy_only=False)
    return found


def _cast(name: str, values: pa.Array, kind: pa.DataType, expected: str) -> pa.Array:
    try:
        return values.cast(kind)
    except (pa.ArrowException, ValueError) as error:
        message = f"column {name!r} is {values.type}, expected {expected}: {error}"
        raise DtypeError(message) from error


def _seconds_of(name: str, text: str) -> int:
    try:
        seconds: int = in_seconds(pa.array([text]), name)[0].as_py()
    except DtypeError as error:
        message = f"column {name!r}: missing is {text!r}, expected a date such as 1970-01-01"
        raise InvalidRequestError(message) from error
    return seconds
