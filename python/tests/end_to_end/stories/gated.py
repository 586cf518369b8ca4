"""A model that leaves a mark when it is reached, and answers once a file appears: SHOAL_GATE."""

from __future__ import annotations

import os
from pathlib import Path

import pyarrow as pa

from .patience import wait_for


def answer(batch: pa.RecordBatch) -> pa.RecordBatch:
    gate = os.environ.get("SHOAL_GATE")
    if gate:
        Path(gate, "reached").touch()
        wait_for(Path(gate, "open"))
    return pa.record_batch({"double": [2.0 * value for value in batch["value"].to_pylist()]})
