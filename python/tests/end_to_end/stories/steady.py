"""A model whose call takes as long whatever its rows: what a remote or accelerated one is like."""

from __future__ import annotations

import time

import pyarrow as pa

CALL_S = 0.02


def answer(batch: pa.RecordBatch) -> pa.RecordBatch:
    ends_at = time.perf_counter() + CALL_S
    while time.perf_counter() < ends_at:
        pass
    return pa.record_batch({"double": [2.0 * row for row in batch["value"].to_pylist()]})
