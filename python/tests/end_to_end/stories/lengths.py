"""A model that sums rows of any length; one that begins with -1 waits for the file `open`.

`SHOAL_NOTES` is a directory: the waiting row leaves a file `reached` there.
"""

from __future__ import annotations

import os
from pathlib import Path

import pyarrow as pa

from .patience import wait_for

WAITS = -1.0

notes = Path(os.environ.get("SHOAL_NOTES", "/nonexistent"))


def answer(batch: pa.RecordBatch) -> pa.RecordBatch:
    rows = batch["values"].to_pylist()
    if any(row[:1] == [WAITS] for row in rows):
        waits()
    return pa.record_batch({"sum": [float(sum(row)) for row in rows]})


def waits() -> None:
    (notes / "reached").touch()
    wait_for(notes / "open")
