"""The peer mosec: `server.py MODEL WAIT_MS --address 127.0.0.1 --port PORT`.

One worker with dynamic batching, the way mosec's own documentation sets it up: `max_batch_size` for
the rows, `max_wait_time` in milliseconds, mosec's own JSON on both sides.
Runs in an environment of its own; answers POST /predict as the server under comparison does.
"""

from __future__ import annotations

import os
import sys

import numpy as np
import onnxruntime
from mosec import Server, Worker

MAX_BATCH_ROWS = 64
MODEL_VARIABLE = "BENCHMARK_MODEL"


class Predict(Worker):
    """One ONNX session on one thread; called with up to `MAX_BATCH_ROWS` decoded bodies."""

    def __init__(self) -> None:
        super().__init__()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(os.environ[MODEL_VARIABLE], options)
        self.input = self.session.get_inputs()[0].name
        self.label = self.session.get_outputs()[0].name

    def forward(self, data: list[dict[str, list[float]]]) -> list[dict[str, list[int]]]:
        """One answer for each body, in their order."""
        rows = np.array([body["features"] for body in data], dtype=np.float32)
        (labels,) = self.session.run([self.label], {self.input: rows})
        return [{"prediction": [label]} for label in labels.tolist()]


def main() -> None:
    """Serves until a signal ends it."""
    os.environ[MODEL_VARIABLE] = sys.argv[1]
    wait_ms = int(sys.argv[2])
    server = Server()
    server.append_worker(
        Predict, num=1, max_batch_size=MAX_BATCH_ROWS, max_wait_time=wait_ms, route="/predict"
    )
    server.run()


if __name__ == "__main__":
    main()
