"""One part of a round, in a process of its own: `python _parts.py NAME FILE MODEL OUTPUT`.

MODEL is the ONNX file, and for `score` the package.

Prints one JSON object: seconds of wall clock and of processor after the imports, the rows, and the
peak of memory.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnxruntime as ort
import pyarrow as pa
import pyarrow.parquet as pq

if TYPE_CHECKING:
    from collections.abc import Callable

READ_ROWS = 16_384
KERNEL_ROWS = 512
HAND_ROWS = (512, 4096)


def read(file: str, _model: str, _output: str) -> int:
    """Decodes every row, and does nothing with it."""
    rows = 0
    with pq.ParquetFile(file, pre_buffer=False) as source:
        for batch in source.iter_batches(READ_ROWS, use_threads=False):
            rows += batch.num_rows
    return rows


def kernel(file: str, model: str, _output: str) -> int:
    """Answers as many rows as there are, of a few that are at hand."""
    rows: int = pq.read_metadata(file).num_rows
    session = _session(model)
    values = np.random.default_rng(0).random((KERNEL_ROWS, 64), np.float32)
    name = session.get_inputs()[0].name
    for _ in range(rows // KERNEL_ROWS):
        session.run(None, {name: values})
    return rows


def write(file: str, _model: str, output: str) -> int:
    """Writes as many answers as there are rows."""
    rows: int = pq.read_metadata(file).num_rows
    random = np.random.default_rng(0)
    schema = _answers(random, 1).schema
    answers = pa.Table.from_batches([_answers(random, READ_ROWS) for _ in range(16)])
    with pq.ParquetWriter(output, schema) as writer:
        for start in range(0, rows, answers.num_rows):
            writer.write_table(answers.slice(0, min(answers.num_rows, rows - start)))
    return rows


def _answers(random: np.random.Generator, rows: int) -> pa.RecordBatch:
    probabilities = pa.array(random.random(rows * 10, np.float32))
    return pa.record_batch(
        {
            "id": np.arange(rows),
            "label": random.integers(0, 10, rows),
            "probabilities": pa.FixedSizeListArray.from_arrays(probabilities, 10),
        }
    )


def score(file: str, package: str, output: str) -> int:
    """The call that the command makes."""
    from shoal import pipeline

    return pipeline.score(package, file, output).rows


def hand(batch_rows: int) -> Callable[[str, str, str], int]:
    """What an engineer would write: a thread for each core, a row group at a time."""

    def run(file: str, model: str, output: str) -> int:
        Path(output).mkdir()
        groups = pq.read_metadata(file).num_row_groups
        with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
            return sum(
                pool.map(
                    lambda group: _group(file, model, output, group, batch_rows), range(groups)
                )
            )

    return run


def _group(file: str, model: str, output: str, group: int, batch_rows: int) -> int:
    session = _session(model)
    name = session.get_inputs()[0].name
    writer, rows = None, 0
    with pq.ParquetFile(file) as source:
        for batch in source.iter_batches(READ_ROWS, row_groups=[group], use_threads=False):
            values = batch.column("X").flatten().to_numpy().reshape(-1, 64)
            parts = [
                session.run(None, {name: values[start : start + batch_rows]})
                for start in range(0, len(values), batch_rows)
            ]
            label, probabilities = (np.concatenate(column) for column in zip(*parts, strict=True))
            columns: dict[str, Any] = {
                "id": batch.column("id"),
                "label": label,
                "probabilities": pa.FixedSizeListArray.from_arrays(
                    pa.array(probabilities.ravel()), 10
                ),
            }
            table = pa.Table.from_batches([pa.record_batch(columns)])
            writer = writer or pq.ParquetWriter(f"{output}/{group:04}.parquet", table.schema)
            writer.write_table(table)
            rows += len(values)
    if writer is not None:
        writer.close()
    return rows


def _session(model: str) -> Any:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    return ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])


PARTS: dict[str, Callable[[str, str, str], int]] = {
    "read": read,
    "kernel": kernel,
    "write": write,
    "score": score,
    **{f"hand-{rows}": hand(rows) for rows in HAND_ROWS},
}


def main() -> None:
    name, *arguments = sys.argv[1:]
    if name == "score":
        import shoal.pipeline._dataset._score  # noqa: F401 - as the imports of the loop by hand
    else:
        import pandas as pd  # noqa: F401 - Arrow imports it with the first array of numbers
    began, used = time.perf_counter(), time.process_time()
    rows = PARTS[name](*arguments)
    answer = {
        "wall_s": time.perf_counter() - began,
        "cpu_s": time.process_time() - used,
        "rows": rows,
        "peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    }
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
