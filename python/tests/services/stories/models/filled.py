"""Gives back its values; one that is missing is -1, as the package says."""

from __future__ import annotations

import pyarrow as pa


def answer(batch: pa.RecordBatch) -> pa.RecordBatch:
    return pa.record_batch({"seen": batch["value"]})
