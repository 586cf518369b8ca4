"""Makes a table of whatever a Python model gives back.

A table stays one; a dictionary of Arrow arrays, numpy arrays or lists becomes one. Whether it is
the declared table is for the comparison with the signature to say.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from shoal.errors import ModelError
from shoal.values import no_records


def as_batch(answer: object) -> pa.RecordBatch:
    """The answer as one record batch.

    Raises:
        ModelError: the answer is nothing that can be a table.
    """
    try:
        return _table(answer)
    except (pa.ArrowException, TypeError, ValueError) as error:
        message = f"the model's answer is not a table: {error}"
        raise ModelError(message) from error


def as_array(column: Any) -> pa.Array:
    """A column of numbers or text, one item per record, as an Arrow array.

    A numpy array of more than one dimension becomes one list, or one tensor, per record.
    """
    if isinstance(column, pa.ChunkedArray):
        return column.combine_chunks()
    if isinstance(column, pa.Array):
        return column
    if isinstance(column, list) and not any(isinstance(item, np.ndarray) for item in column):
        return pa.array(column)
    values = np.asarray(column)
    if values.ndim == 1:
        return pa.array(values.tolist() if values.dtype.kind in "OSU" else values)
    if values.ndim == 2:  # noqa: PLR2004 - one list per record
        return pa.FixedSizeListArray.from_arrays(pa.array(values.ravel()), values.shape[1])
    return pa.FixedShapeTensorArray.from_numpy_ndarray(np.ascontiguousarray(values))


def _table(answer: object) -> pa.RecordBatch:
    if isinstance(answer, pa.RecordBatch):
        return answer
    if isinstance(answer, pa.Table):
        batches = answer.combine_chunks().to_batches()
        return batches[0] if batches else no_records(answer.schema)
    if isinstance(answer, Mapping):
        arrays = [as_array(column) for column in answer.values()]
        return pa.RecordBatch.from_arrays(arrays, names=[str(name) for name in answer])
    message = f"it is a {type(answer).__name__}, expected a RecordBatch or a dictionary of columns"
    raise TypeError(message)
