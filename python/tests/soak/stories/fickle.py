"""A model that doubles; a row of its misdeeds makes it raise, hang, or end its process."""

from __future__ import annotations

import os
from threading import Event

import pyarrow as pa
import pyarrow.compute as pc

RAISES, HANGS, ENDS = -1.0, -2.0, -3.0


def answer(batch: pa.RecordBatch) -> pa.RecordBatch:
    rows = set(batch["value"].to_pylist())
    if RAISES in rows:
        raise ValueError("this row has no double")
    if HANGS in rows:
        Event().wait()
    if ENDS in rows:
        os._exit(3)
    return pa.record_batch({"double": pc.multiply(batch["value"], 2.0)})
