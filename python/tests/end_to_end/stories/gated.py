"""A model that leaves a mark when it is reached, and answers once a file appears: SHOAL_GATE."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pyarrow as pa

POLL_S = 0.005
PATIENCE_S = 30.0


def answer(batch: pa.RecordBatch) -> pa.RecordBatch:
    gate = os.environ.get("SHOAL_GATE")
    if gate:
        Path(gate, "reached").touch()
        ends_at = time.monotonic() + PATIENCE_S
        while not Path(gate, "open").exists() and time.monotonic() < ends_at:
            time.sleep(POLL_S)
    return pa.record_batch({"double": [2.0 * value for value in batch["value"].to_pylist()]})
