"""Gives back its values, and once more with -1 where one is missing."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc


def answer(batch: pa.RecordBatch) -> pa.RecordBatch:
    value = batch["value"]
    return pa.record_batch({"seen": pc.fill_null(value, -1.0), "same": value})
