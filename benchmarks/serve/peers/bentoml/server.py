"""The peer BentoML: `server.py MODEL PORT MAX_LATENCY_MS`, or without batching `... 0`.

A batchable API as BentoML's own documentation sets it up: one argument whose first dimension is the
batch, `max_batch_size` rows, `max_latency_ms`; BentoML learns by itself how long to wait. One
worker.
Runs in an environment of its own; answers POST /predict, where a body is a batch of one row.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import bentoml
import numpy as np
import onnxruntime

MAX_BATCH_ROWS = 64
MODEL_VARIABLE, LATENCY_VARIABLE = "BENCHMARK_MODEL", "BENCHMARK_LATENCY_MS"
LATENCY_MS = int(os.environ.get(LATENCY_VARIABLE, "0"))
BATCHING = (
    {"batchable": True, "max_batch_size": MAX_BATCH_ROWS, "max_latency_ms": LATENCY_MS}
    if LATENCY_MS
    else {}
)


@bentoml.service(
    name="digits", workers=1, traffic={"timeout": 60}, logging={"access": {"enabled": False}}
)
class Predict:
    """One ONNX session on one thread."""

    def __init__(self) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(os.environ[MODEL_VARIABLE], options)
        self.input = self.session.get_inputs()[0].name
        self.label = self.session.get_outputs()[0].name

    @bentoml.api(route="/predict", **BATCHING)
    def predict(self, features: np.ndarray) -> np.ndarray:
        """One label for each row."""
        rows = features.astype(np.float32)
        return self.session.run([self.label], {self.input: rows})[0]


def main() -> None:
    """Becomes `bentoml serve`, which ends at a signal."""
    model, port, latency_ms = sys.argv[1:4]
    program = str(Path(sys.executable).with_name("bentoml"))
    folder = str(Path(__file__).parent)
    environment = {
        **os.environ,
        MODEL_VARIABLE: model,
        LATENCY_VARIABLE: latency_ms,
        "BENTOML_DO_NOT_TRACK": "True",
        "BENTOML_HOME": os.environ.get("TMPDIR", folder),
    }
    address = ("--host", "127.0.0.1", "--port", port)
    words = [program, "serve", "server:Predict", "--working-dir", folder, *address]
    os.execve(program, words, environment)  # noqa: S606  (its own command, of this environment)


if __name__ == "__main__":
    main()
