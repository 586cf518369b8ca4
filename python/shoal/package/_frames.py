"""Example rows in every form a caller has them: tables, frames, arrays, dictionaries, lists."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from shoal.errors import InvalidRequestError
from shoal.runtime import as_array

if TYPE_CHECKING:
    from shoal.package._rows import Array
    from shoal.values import Column


def is_frame(example: object) -> bool:
    """Whether the rows are a pandas DataFrame; pandas is not imported to find out."""
    return type(example).__module__.startswith("pandas") and hasattr(example, "columns")


def to_batch(example: Any, columns: tuple[Column, ...] = ()) -> pa.RecordBatch:
    """The rows as one table.

    Args:
        example: A RecordBatch, a Table, a DataFrame, a dictionary of columns; or, for a model of
            one input, an array or list of its records.
        columns: The inputs of the model, if they are known.

    Raises:
        InvalidRequestError: the rows are in none of these forms.
    """
    try:
        return _batch(example, columns)
    except (pa.ArrowException, TypeError, ValueError) as error:
        message = f"the example is not a table: {error}"
        hint = "Give a pyarrow table, a pandas frame, or a dictionary of columns."
        raise InvalidRequestError(message, hint=hint) from error


def _batch(example: Any, columns: tuple[Column, ...]) -> pa.RecordBatch:
    if isinstance(example, pa.RecordBatch):
        return example
    if isinstance(example, pa.Table):
        return example.combine_chunks().to_batches()[0]
    if is_frame(example):
        return pa.RecordBatch.from_pandas(example, preserve_index=False)
    if isinstance(example, Mapping):
        arrays = [as_array(column) for column in example.values()]
        return pa.RecordBatch.from_arrays(arrays, names=[str(name) for name in example])
    if len(columns) == 1:
        return pa.RecordBatch.from_arrays([as_array(np.asarray(example))], names=[columns[0].name])
    message = f"it is a {type(example).__name__}"
    raise TypeError(message)


def matrix_of(array: pa.Array) -> Array:
    """A column of number lists of one length as a matrix, (records, length)."""
    if isinstance(array, pa.FixedShapeTensorArray):
        values: Array = array.to_numpy_ndarray()
        return values
    return np.asarray(array.to_pylist(), dtype=array.type.value_type.to_pandas_dtype())
