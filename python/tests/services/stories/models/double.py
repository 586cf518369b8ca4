"""Doubles, fails when a value is below zero, and writes down what it was asked into `calls`."""

from __future__ import annotations

import os
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc


def answer(batch: pa.RecordBatch) -> pa.RecordBatch:
    values = batch["value"].to_pylist()
    if any(value < 0 for value in values):
        raise ValueError("a value below zero has no double here")
    calls = Path(os.environ.get("SHOAL_NOTES", "/nonexistent"), "calls")
    if calls.exists():
        with calls.open("a", encoding="utf-8") as file:
            file.writelines(f"{value!r}\n" for value in values)
    return pa.record_batch({"double": pc.multiply(batch["value"], 2.0)})
