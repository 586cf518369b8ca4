"""The model `words`: how many letters a text has, and what it is in capitals."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc


def answer(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Answers texts, one by one."""
    word = batch["word"]
    letters = pc.cast(pc.utf8_length(word), pa.int64())
    return pa.record_batch({"letters": letters, "shouted": pc.utf8_upper(word)})
