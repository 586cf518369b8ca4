"""How example rows reach a scikit-learn model and its export: the same numbers for both.

| rows | inputs of the package |
|---|---|
| a matrix, or a frame of numbers only | one column `[k]`, packed from features by name |
| a frame of numbers and text, or one whose columns are chosen by name | one column each, `[N,1]` |
| a frame of one column of moments | that column, `[N,1]` |
| texts | one column of text |

Floats are sealed as FP32, so the original is asked with the numbers rounded to FP32 too.
A matrix of FP32 holds no moments: beside other columns they have to be chosen by name.
Columns are chosen by the names that the model was fitted on, never by position.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from shoal.errors import InvalidRequestError, UnsupportedModelError
from shoal.package._frames import matrix_of, to_batch
from shoal.package._scikit._estimator import selects_by_name, takes_text
from shoal.package._scikit._example import (
    chosen,
    frame_of,
    is_exact,
    plain,
    refuse_inexact,
    refuse_other_width,
    with_seconds,
)
from shoal.package._scikit._texts import texts_of, variants_of
from shoal.runtime import InputBinding
from shoal.values import Column, Dtype, with_moments

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from shoal.package._rows import Array

    Missing = Mapping[str, str | int | float]

_DTYPES = {"f": Dtype.FP32, "i": Dtype.INT64, "u": Dtype.INT64, "b": Dtype.BOOL}
_ARROW = {Dtype.FP32: pa.float32(), Dtype.INT64: pa.int64(), Dtype.BOOL: pa.bool_()}


@dataclass(frozen=True)
class Inputs:
    """Example rows, once for the export and once for the original; `given` counts the caller's."""

    columns: tuple[Column, ...]
    bindings: tuple[InputBinding, ...]
    batch: pa.RecordBatch
    original: Any
    given: int


def inputs_of(model: Any, example: Any, missing: Missing, moments: Collection[str] = ()) -> Inputs:
    """Reads example rows for a fitted model.

    Args:
        model: A fitted estimator.
        example: A matrix, a frame, a table, a dictionary of columns or a list of texts.
        missing: What a null becomes, by the name of its column; floats become NaN without it.
        moments: Columns that hold moments; the original is asked with their seconds.

    Raises:
        InputError: the rows are not those of the model; the message names the column or the row.
        UnsupportedModelError: a text is missing and nothing says what it becomes.
    """
    inputs = _read(model, example, missing, moments)
    return replace(inputs, columns=with_moments(inputs.columns, moments))


def _read(model: Any, example: Any, missing: Missing, moments: Collection[str]) -> Inputs:
    if takes_text(model):
        return _text(texts_of(example))
    if isinstance(example, pa.RecordBatch | pa.Table):
        batch = to_batch(example)
        if batch.num_columns == 1 and hasattr(batch.column(0).type, "value_type"):
            return _matrix(model, matrix_of(batch.column(0)), name=batch.schema.names[0])
    frame = frame_of(example, moments, missing)
    if frame is None:
        return _matrix(model, np.asarray(example))
    frame = plain(with_seconds(chosen(model, frame), moments, missing))
    kinds = {kind.kind for kind in frame.dtypes}
    if kinds <= set("fiub") and not selects_by_name(model):
        held = [str(name) for name in frame.columns if name in moments]
        if not held or frame.shape[1] > 1:
            _refuse_moments(held)
            return _numbers(model, frame)
    return _frame(frame, missing)


def _refuse_moments(held: list[str]) -> None:
    if held:
        message = (
            f"the model takes its columns as one matrix of FP32, where {held[0]!r} is no input"
        )
        hint = (
            "Let the model choose columns by name, with a ColumnTransformer: each is an input then."
        )
        raise UnsupportedModelError(message, hint=hint)


def with_floats(inputs: Inputs) -> Inputs | None:
    """The same rows with whole numbers declared as floats; None where that changes nothing.

    Converters take columns together only if they have one type, and impute whole numbers wrongly.
    A column that FP32 does not hold exactly stays as it is.
    """
    arrays, columns = list(inputs.batch.columns), list(inputs.columns)
    for at in whole_numbers(inputs):
        values = inputs.batch.column(at).to_numpy(zero_copy_only=False)
        if is_exact(values):
            arrays[at] = pa.array(values.astype(np.float32))
            columns[at] = Column(columns[at].name, Dtype.FP32)
    if tuple(columns) == inputs.columns:
        return None
    batch = pa.RecordBatch.from_arrays(arrays, names=inputs.batch.schema.names)
    return replace(inputs, columns=tuple(columns), batch=batch)


def whole_numbers(inputs: Inputs) -> list[int]:
    """The places of the columns that are declared as whole numbers, and hold no moments."""
    return [
        at
        for at, column in enumerate(inputs.columns)
        if column.dtype is Dtype.INT64 and not column.moment
    ]


def _numbers(model: Any, frame: Any) -> Inputs:
    """A frame of numbers as one matrix; the original gets each column in its own type."""
    for name in frame.columns:
        refuse_inexact(str(name), frame[name].to_numpy())
    names = tuple(map(str, frame.columns))
    inputs = _matrix(model, frame.to_numpy(dtype=np.float64), features=names)
    if not hasattr(model, "feature_names_in_"):
        return inputs
    original = frame.copy()
    for name in frame.columns:
        original[name] = _rounded(frame[name])
    return replace(inputs, original=original)


def _matrix(
    model: Any, values: Array, *, name: str = "X", features: tuple[str, ...] | None = None
) -> Inputs:
    if values.ndim != 2 or values.dtype.kind not in "fiub":  # noqa: PLR2004 - records, features
        message = f"the example has {values.ndim} dimensions of {values.dtype}"
        hint = "Give a matrix of numbers (records, features), or a frame with named columns."
        raise InvalidRequestError(message, hint=hint)
    named = getattr(model, "feature_names_in_", None)
    features = tuple(map(str, named)) if named is not None else features
    refuse_other_width(model, values.shape[1])
    refuse_inexact(name, values)
    rounded = values.astype(np.float32)
    is_missing = bool(np.isnan(rounded).any())
    width = values.shape[1]
    column = Column(name, Dtype.FP32, (width,), nullable=is_missing)
    binding = InputBinding(
        column=name,
        tensor=name,
        rank=2,
        missing="NaN" if is_missing else None,
        features=features,
    )
    array = pa.FixedSizeListArray.from_arrays(pa.array(rounded.ravel()), width)
    batch = pa.RecordBatch.from_arrays([array], names=[name])
    original: Any = rounded.astype(values.dtype) if values.dtype.kind == "f" else values
    if named is not None:
        import pandas as pd

        original = pd.DataFrame(original, columns=list(named))
    return Inputs((column,), (binding,), batch, original, batch.num_rows)


def _text(given: list[str]) -> Inputs:
    texts = [*given, *variants_of(given)]
    column = Column("text", Dtype.BYTES)
    binding = InputBinding(column="text", tensor="text", rank=1)
    batch = pa.RecordBatch.from_arrays([pa.array(texts, pa.string())], names=["text"])
    return Inputs((column,), (binding,), batch, texts, len(given))


def _frame(frame: Any, missing: Missing) -> Inputs:
    columns, bindings, arrays, original = [], [], [], frame.copy()
    for name in frame.columns:
        array, value = _frame_column(str(name), frame[name], missing)
        original[name] = _original(frame[name], array, value)
        dtype = Dtype.BYTES if array.type == pa.string() else _dtype(array.type)
        columns.append(Column(str(name), dtype, nullable=value is not None))
        bindings.append(InputBinding(column=str(name), tensor=str(name), rank=2, missing=value))
        arrays.append(array)
    batch = pa.RecordBatch.from_arrays(arrays, names=[column.name for column in columns])
    return Inputs(tuple(columns), tuple(bindings), batch, original, len(frame))


def _frame_column(
    name: str, series: Any, missing: Missing
) -> tuple[pa.Array, str | int | float | None]:
    """One column as Arrow, and what its nulls become; None where it takes none."""
    is_null = series.isna().to_numpy(dtype=bool)
    kind = series.dtype.kind
    value = missing.get(name)
    if kind in _DTYPES:
        # Whole numbers with gaps reach scikit-learn as floats.
        dtype = Dtype.FP32 if is_null.any() and kind != "f" else _DTYPES[kind]
        if value is None and is_null.any():
            value = "NaN"
        filled = series.fillna(0) if is_null.any() else series
        numbers = filled.to_numpy().astype(_ARROW[dtype].to_pandas_dtype())
        return pa.array(numbers, mask=is_null), value
    if value is None and is_null.any():
        message = f"the column {name!r} holds a missing text, and nothing says what it becomes"
        hint = f"Give it a value: Settings(missing={{{name!r}: 'unknown'}})."
        raise UnsupportedModelError(message, hint=hint)
    texts = [None if null else str(text) for null, text in zip(is_null, series, strict=True)]
    return pa.array(texts, pa.string()), value


def _original(series: Any, array: pa.Array, value: str | float | None) -> Any:
    """The column as the original model gets it: rounded as the export's, stated values filled."""
    rounded = _rounded(series)
    return rounded if value in {None, "NaN"} or not array.null_count else rounded.fillna(value)


def _rounded(series: Any) -> Any:
    return series.astype(np.float32).astype(series.dtype) if series.dtype.kind == "f" else series


def _dtype(kind: pa.DataType) -> Dtype:
    return next(dtype for dtype, arrow in _ARROW.items() if arrow == kind)
