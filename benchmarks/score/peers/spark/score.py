"""Spark over the same file, warm: `score.py FILE MODEL OUTPUT`.

`mapInArrow` is Spark's own way to hand record batches to Python; its workers are kept, and the
first pass over the file, which is not counted, starts them and the compiler of the virtual machine.
"""

from __future__ import annotations

import json
import os
import sys
import time
from typing import TYPE_CHECKING, Any

from pyspark.sql import SparkSession

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa

MODEL = sys.argv[2]
CALL_ROWS = 512
SESSIONS: dict[str, Any] = {}


def session() -> Any:
    """The session of this worker."""
    if MODEL not in SESSIONS:
        import onnxruntime as ort

        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        SESSIONS[MODEL] = ort.InferenceSession(MODEL, options, providers=["CPUExecutionProvider"])
    return SESSIONS[MODEL]


def answers(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """The answers beside the ids."""
    import numpy as np
    import pyarrow as pa

    model = session()
    name = model.get_inputs()[0].name
    for batch in batches:
        values = batch.column("X").flatten().to_numpy().reshape(-1, 64)
        parts = [
            model.run(None, {name: values[start : start + CALL_ROWS]})
            for start in range(0, len(values), CALL_ROWS)
        ]
        label, probabilities = (np.concatenate(column) for column in zip(*parts, strict=True))
        lists = pa.FixedSizeListArray.from_arrays(pa.array(probabilities.ravel()), 10)
        columns = [batch.column("id"), pa.array(label), lists.cast(pa.list_(pa.float32()))]
        yield pa.RecordBatch.from_arrays(columns, names=["id", "label", "probabilities"])


def main() -> None:
    file, _model, output = sys.argv[1:]
    spark = (
        SparkSession.builder.master("local[2]")
        .config("spark.ui.enabled", "false")
        .config("spark.driver.bindAddress", "127.0.0.1")
        .config("spark.driver.host", "127.0.0.1")
        .config("spark.driver.memory", "4g")
        .config("spark.sql.files.maxPartitionBytes", "16m")
        .getOrCreate()
    )
    spark.sparkContext.setLogLevel("ERROR")
    rows = spark.read.parquet(file)
    schema = "id long, label long, probabilities array<float>"
    for turn in range(2):
        began = time.perf_counter()
        rows.mapInArrow(answers, schema).write.parquet(f"{output}/{turn}")
        wall_s = time.perf_counter() - began
    count = spark.read.parquet(f"{output}/1").count()
    print(json.dumps({"wall_s": wall_s, "cpu_s": 0.0, "rows": count, "peak_bytes": 0}))
    spark.stop()


if __name__ == "__main__":
    os.environ["PYSPARK_PYTHON"] = sys.executable
    main()
