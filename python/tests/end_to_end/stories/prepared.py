"""A model that tells whether pandas was there before it was called for the first time."""

from __future__ import annotations

import sys

import pyarrow as pa

was_there: list[float] = []


def answer(batch: pa.RecordBatch) -> pa.RecordBatch:
    if not was_there:
        was_there.append(float("pandas" in sys.modules))
    return pa.record_batch({"double": was_there * batch.num_rows})
