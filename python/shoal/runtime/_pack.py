"""Packs k scalar columns into the one `[k]` column that a model takes: by name, never by position.

A null among the features becomes what the binding says a missing value is; where it says nothing,
the null is refused by the feature's name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import pyarrow as pa

from shoal.errors import MissingColumnError
from shoal.values import Column, from_arrow, schema_of, to_arrow

if TYPE_CHECKING:
    from shoal.runtime._description import Description, InputBinding

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]


def packed(batch: pa.RecordBatch, description: Description) -> pa.RecordBatch:
    """The batch with features packed wherever the packed column itself is not there.

    Raises:
        MissingColumnError: some but not all features are there.
        DtypeError: a feature is not a number that fits the packed column.
        NullError: a feature is null and the binding states no value for that.
    """
    for binding in description.binding.inputs:
        names = set(batch.schema.names)
        if binding.features and binding.column not in names and names & set(binding.features):
            column = next(c for c in description.signature.inputs if c.name == binding.column)
            batch = _replaced(batch, binding, column)
    return batch


def _replaced(batch: pa.RecordBatch, binding: InputBinding, column: Column) -> pa.RecordBatch:
    features = binding.features or ()
    if absent := [name for name in features if name not in batch.schema.names]:
        message = f"column {absent[0]!r} is missing, a feature of the input {column.name!r}"
        raise MissingColumnError(message)
    values = np.stack([_feature(batch, name, binding, column) for name in features], axis=1)
    elements = values.reshape(-1).view(np.uint8).data
    wire = (column.name, column.dtype.value, list(values.shape), elements, None)
    array = to_arrow([wire], [column]).column(0)
    others = [name for name in batch.schema.names if name not in features]
    arrays = [batch.column(name) for name in others]
    return pa.RecordBatch.from_arrays([*arrays, array], names=[*others, column.name])


def _feature(batch: pa.RecordBatch, name: str, binding: InputBinding, column: Column) -> Array:
    declared = Column(name, column.dtype, nullable=binding.missing is not None)
    _, _, _, data, missing = from_arrow(batch.select([name]), [declared])[0]
    buffer: Any = data
    kind = schema_of([declared]).field(name).type.to_pandas_dtype()
    values: Array = np.frombuffer(buffer, dtype=kind)
    if missing is None:
        return values
    value: Any = float("nan") if binding.missing == "NaN" else binding.missing
    filled: Array = np.where(np.frombuffer(missing, np.uint8) != 0, value, values)
    return filled.astype(values.dtype)
