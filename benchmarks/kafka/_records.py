"""What is sent and what is answered: a time in nanoseconds, then 64 pixels, or a label."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

PIXELS = 64
ASKED = np.dtype([("due_ns", "<i8"), ("pixels", "<f4", (PIXELS,))])
ANSWERED = np.dtype([("due_ns", "<i8"), ("label", "<i8")])


def asked(records: pa.RecordBatch) -> pa.RecordBatch:
    """Columns of raw records of Kafka."""
    values = records.column("value")
    rows = np.frombuffer(b"".join(values.to_pylist()), ASKED)
    pixels = pa.array(np.ascontiguousarray(rows["pixels"]).ravel(), pa.float32())
    return pa.RecordBatch.from_pydict(
        {
            "due_ns": pa.array(rows["due_ns"], pa.int64()),
            "X": pa.FixedSizeListArray.from_arrays(pixels, PIXELS),
        }
    )


def answered(records: pa.RecordBatch) -> pa.RecordBatch:
    """Raw records of Kafka, of answers."""
    rows = np.empty(records.num_rows, ANSWERED)
    rows["due_ns"] = records.column("due_ns").to_numpy()
    rows["label"] = records.column("label").to_numpy()
    buffers = [None, pa.py_buffer(rows.tobytes())]
    fixed = pa.Array.from_buffers(pa.binary(ANSWERED.itemsize), len(rows), buffers)
    return pa.RecordBatch.from_pydict({"value": fixed.cast(pa.binary())})
