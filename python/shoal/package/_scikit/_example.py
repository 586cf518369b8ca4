"""Puts the example of an estimator in order: a frame of plain columns, chosen by name.

- A model fitted on named columns gets exactly these, in its order, whatever order they come in.
- Numbers that pandas keeps with gaps of its own become floats with NaN, as scikit-learn sees them.
- Text is text: a date or a list is never turned into text unasked.
- Moments are whole seconds; a missing one is what the package says that it becomes.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from shoal.errors import (
    DtypeError,
    DuplicateColumnError,
    InvalidRequestError,
    MissingColumnError,
    NullError,
    UnexpectedColumnError,
)
from shoal.package._frames import is_frame, to_batch
from shoal.values import in_seconds

if TYPE_CHECKING:
    from shoal.package._rows import Array

EXACT = 2**24
"""The largest whole number up to which FP32 holds every one."""


def frame_of(
    example: Any, moments: Collection[str], missing: Mapping[str, str | int | float]
) -> Any:
    """The rows as a pandas frame, where they have columns with names; else None.

    Moments of tables are put into seconds before: in a frame, whole numbers with gaps are floats.

    Raises:
        DtypeError: a text is no moment.
        NullError: a moment is missing, and nothing says what it becomes.
        DuplicateColumnError: two columns share a name.
        InvalidRequestError: the columns are not of one length.
    """
    if isinstance(example, Mapping):
        example = to_batch(example)
    if isinstance(example, pa.RecordBatch | pa.Table):
        refuse_duplicates(example.schema.names)
        return _table_with_seconds(to_batch(example), moments, missing).to_pandas()
    if not is_frame(example):
        return None
    refuse_duplicates([str(name) for name in example.columns])
    return example


def refuse_duplicates(names: list[str]) -> None:
    """Raises DuplicateColumnError, naming the first column that comes twice."""
    for at, name in enumerate(names):
        if name in names[:at]:
            message = f"the example has two columns {name!r}"
            raise DuplicateColumnError(message)


def chosen(model: Any, frame: Any) -> Any:
    """The columns that the model was fitted on, by name; all where it knows no names.

    Raises:
        MissingColumnError: the example lacks one.
        UnexpectedColumnError: the example has another one.
    """
    names = getattr(model, "feature_names_in_", None)
    if names is None:
        refuse_other_width(model, frame.shape[1])
        return frame
    hint = f"The model was fitted on: {', '.join(map(str, names))}."
    if absent := [name for name in names if name not in frame.columns]:
        message = f"the example lacks the column {absent[0]!r}, which the model was fitted on"
        raise MissingColumnError(message, hint=hint)
    if others := [name for name in frame.columns if name not in set(names)]:
        message = f"the example has the column {others[0]!r}, which the model was not fitted on"
        raise UnexpectedColumnError(message, hint=hint)
    return frame[list(names)]


def refuse_other_width(model: Any, width: int) -> None:
    """Raises InvalidRequestError where the model was fitted on another number of features."""
    expected = getattr(model, "n_features_in_", width)
    if width != expected:
        message = f"the example has {width} features, the model was fitted on {expected}"
        raise InvalidRequestError(message)


def plain(frame: Any) -> Any:
    """The same frame with every number in a type of numpy; gaps make it a float.

    Raises:
        DtypeError: a column holds neither numbers, booleans nor text.
    """
    changed = frame.copy()
    for name in frame.columns:
        changed[name] = _plain_column(str(name), frame[name])
    return changed


def with_seconds(
    frame: Any, moments: Collection[str], missing: Mapping[str, str | int | float]
) -> Any:
    """The same frame with its moments as whole seconds since 1970-01-01 UTC.

    Raises:
        DtypeError: a text is no moment, or the values of a column are of several kinds.
        NullError: a moment is missing, and nothing says what it becomes.
    """
    changed = frame.copy()
    for name in frame.columns:
        if name in moments:
            seconds = in_seconds(_arrow(str(name), frame[name]), str(name))
            changed[name] = _without_nulls(seconds, str(name), missing.get(name))
    return changed


def _table_with_seconds(
    batch: pa.RecordBatch, moments: Collection[str], missing: Mapping[str, str | int | float]
) -> pa.RecordBatch:
    for at, name in enumerate(batch.schema.names):
        seconds = in_seconds(batch.column(at), name) if name in moments else None
        if seconds is not None and pa.types.is_integer(seconds.type):
            whole = _without_nulls(seconds, name, missing.get(name))
            batch = batch.set_column(at, name, pa.array(whole))
    return batch


def _arrow(name: str, series: Any) -> pa.Array:
    try:
        return pa.Array.from_pandas(series)
    except pa.ArrowException as error:
        raise DtypeError(f"the column {name!r} holds no moments: {error}") from error


def _without_nulls(seconds: pa.Array, name: str, value: str | float | None) -> Array:
    if seconds.null_count and not isinstance(value, int):
        row = int(np.flatnonzero(seconds.is_null())[0])
        message = f"column {name!r} row {row} has no moment, and nothing says what it becomes"
        hint = f"Say so in whole seconds: Settings(missing={{{name!r}: 0}})."
        raise NullError(message, hint=hint)
    filled = seconds.fill_null(value) if seconds.null_count else seconds
    found: Array = filled.to_numpy(zero_copy_only=False)
    return found


def refuse_inexact(name: str, values: Array) -> None:
    """Raises DtypeError for whole numbers that FP32 does not hold, naming their column."""
    if values.dtype.kind in "iu" and values.size and _largest(values) > EXACT:
        message = f"the column {name!r} holds whole numbers above 2**24, which FP32 cannot hold"
        hint = "Subtract an offset before fitting, or cast the column to float: it is then rounded."
        raise DtypeError(message, hint=hint)


def is_exact(values: Array) -> bool:
    """Whether FP32 holds each of these whole numbers."""
    return not values.size or _largest(values) <= EXACT


def _largest(values: Array) -> int:
    return max(int(values.max()), -int(values.min()))


def _plain_column(name: str, series: Any) -> Any:
    kind = series.dtype.kind
    if kind in "fiub":
        return series if isinstance(series.dtype, np.dtype) else _without_gaps(name, series)
    if kind not in "OUST":
        raise _no_number(name, str(series.dtype))
    for row, value in enumerate(series[series.notna()]):
        if not isinstance(value, str):
            raise _no_number(name, f"a {type(value).__name__} (value {row})")
    return series


def _without_gaps(name: str, series: Any) -> Any:
    if series.isna().any():
        if series.dtype.kind in "iu":
            refuse_inexact(name, series.dropna().to_numpy(dtype=np.int64))
        return series.astype("float64")
    return series.astype({"f": np.float64, "b": np.bool_}.get(series.dtype.kind, np.int64))


def _no_number(name: str, found: str) -> DtypeError:
    message = f"the column {name!r} holds {found}, neither numbers, booleans nor text"
    return DtypeError(
        message, hint="Turn it into numbers or text, or leave it out, before fitting too."
    )
