"""The peer PyTriton, NVIDIA Triton with a Python function.

Usage: `server.py MODEL HTTP_PORT GRPC_PORT METRICS_PORT DELAY_US`. Dynamic batching as its
documentation sets it up: `max_batch_size` rows, `max_queue_delay_microseconds`.
Runs in an environment of its own, made with the system's Python: Triton loads its shared library.
Answers the Open Inference Protocol at /v2/models/digits/infer.
"""

from __future__ import annotations

import sys

import numpy as np
import onnxruntime
from pytriton.decorators import batch
from pytriton.model_config import DynamicBatcher, ModelConfig, Tensor
from pytriton.triton import Triton, TritonConfig

MAX_BATCH_ROWS = 64


def session_of(path: str) -> onnxruntime.InferenceSession:
    """One ONNX session on one thread."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(path, options)


def main() -> None:
    """Serves until a signal ends it."""
    session = session_of(sys.argv[1])
    rows, label = session.get_inputs()[0].name, session.get_outputs()[0].name
    http_port, grpc_port, metrics_port, delay_us = map(int, sys.argv[2:6])

    @batch
    def predict(X: np.ndarray) -> dict[str, np.ndarray]:  # noqa: N803  (Triton passes inputs by name)
        (labels,) = session.run([label], {rows: X})
        return {"label": labels.reshape(-1, 1)}

    addresses = dict.fromkeys(("http_address", "grpc_address", "metrics_address"), "127.0.0.1")
    ports = {"http_port": http_port, "grpc_port": grpc_port, "metrics_port": metrics_port}
    config = ModelConfig(
        max_batch_size=MAX_BATCH_ROWS,
        batcher=DynamicBatcher(max_queue_delay_microseconds=delay_us),
    )
    with Triton(config=TritonConfig(**addresses, **ports)) as triton:
        triton.bind(
            model_name="digits",
            infer_func=predict,
            inputs=[Tensor(name="X", dtype=np.float32, shape=(64,))],
            outputs=[Tensor(name="label", dtype=np.int64, shape=(1,))],
            config=config,
        )
        triton.serve()


if __name__ == "__main__":
    main()
