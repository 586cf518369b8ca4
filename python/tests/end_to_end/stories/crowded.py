"""A model whose rows cost more in company: beyond `CHEAP_ROWS` in one call, ten times as much."""

from __future__ import annotations

from threading import Event

import pyarrow as pa
import pyarrow.compute as pc

CHEAP_ROWS = 8
CHEAP_ROW_S = 0.0003
DEAR_ROW_S = 0.003


def answer(batch: pa.RecordBatch) -> pa.RecordBatch:
    each_s = CHEAP_ROW_S if batch.num_rows <= CHEAP_ROWS else DEAR_ROW_S
    Event().wait(batch.num_rows * each_s)
    return pa.record_batch({"double": pc.multiply(batch["value"], 2.0)})
