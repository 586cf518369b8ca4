"""Records as a package takes them, and answers as it gives them, of models that are not sealed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from shoal.train._prepare._description import Date, Numeric
from shoal.train._prepare._frames import frame_of

if TYPE_CHECKING:
    from shoal.train._prepare._description import Preparation
    from shoal.train._search._search import Fitted


def packaged(records: pa.Table, preparation: Preparation) -> pa.RecordBatch:
    """The columns of a package's signature: FP32 numbers, text, and dates as seconds; with nulls.

    Raises:
        InputError: see `frame_of`.
    """
    frame = frame_of(records, preparation)
    columns = {}
    for name, feature in preparation.columns.items():
        kind = pa.string()
        if isinstance(feature, Numeric):
            kind = pa.float32()
        elif isinstance(feature, Date):
            kind = pa.int64()
        lacks = pc.is_null(records.column(name), nan_is_null=isinstance(feature, Numeric))
        is_missing = np.asarray(lacks.combine_chunks().to_pylist(), np.bool_)
        columns[name] = pa.array(frame[name].to_numpy(), kind, mask=is_missing, from_pandas=False)
    return pa.RecordBatch.from_pydict(columns)


def answers_of(fitted: Fitted, records: pa.Table) -> pa.Table:
    """What a model answers, in the columns that its package would have.

    Raises:
        InputError: see `frame_of`.
    """
    frame = frame_of(records, fitted.preparation)
    answers = fitted.pipeline.predict(frame)
    if fitted.task == "regression":
        return pa.table({"prediction": np.asarray(answers, np.float64)})
    columns: dict[str, Any] = {"label": pa.array([str(each) for each in answers])}
    if hasattr(fitted.pipeline, "predict_proba"):
        columns["probabilities"] = _rows(fitted.pipeline.predict_proba(frame))
    elif hasattr(fitted.pipeline, "decision_function"):
        columns["scores"] = _rows(fitted.pipeline.decision_function(frame))
    return pa.table(columns)


def _rows(values: Any) -> pa.Array:
    numbers = np.asarray(values, np.float64)
    if numbers.ndim == 1:  # of two classes: how much it is the second one
        numbers = np.column_stack([-numbers, numbers])
    return pa.FixedSizeListArray.from_arrays(pa.array(numbers.ravel()), numbers.shape[1])
