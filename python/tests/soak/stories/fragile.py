"""A model that doubles, raises when a row is below zero, and writes down which rows it answered.

It writes to the file SHOAL_LEDGER, from the moment somebody makes that file.
"""

from __future__ import annotations

import os
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc


def answer(batch: pa.RecordBatch) -> pa.RecordBatch:
    if pc.min(batch["value"]).as_py() < 0:
        raise ValueError("a value below zero has no double here")
    ledger = os.environ.get("SHOAL_LEDGER", "")
    if ledger and Path(ledger).exists():
        with Path(ledger).open("a", encoding="utf-8") as file:
            file.writelines(f"{value:.0f}\n" for value in batch["value"].to_pylist())
    return pa.record_batch({"double": pc.multiply(batch["value"], 2.0)})
