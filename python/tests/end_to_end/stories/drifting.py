"""A model that doubles, but not where SHOAL_DRIFT is set: there its golden rows fail."""

from __future__ import annotations

import os

import pyarrow as pa
import pyarrow.compute as pc


def answer(batch: pa.RecordBatch) -> pa.RecordBatch:
    factor = 3.0 if os.environ.get("SHOAL_DRIFT") else 2.0
    return pa.record_batch({"double": pc.multiply(batch["value"], factor)})
