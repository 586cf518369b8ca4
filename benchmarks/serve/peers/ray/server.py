"""The peer Ray Serve: `server.py MODEL PORT MAX_BATCH_SIZE WAIT_S MAX_ONGOING_REQUESTS`.

One replica with `@serve.batch`, as Ray's own documentation sets it up: `max_batch_size` requests,
`batch_wait_timeout_s`, and `max_ongoing_requests` above the batch size, or no batch can be full.
Runs in an environment of its own; answers POST /predict as the server under comparison does.
"""

from __future__ import annotations

import logging
import signal
import sys
import tempfile
from pathlib import Path

import numpy as np
import onnxruntime
import ray
from ray import serve
from starlette.requests import Request  # noqa: TC002  (Ray reads the annotation)

QUIET = {"enable_access_log": False, "log_level": "WARNING"}


def deployment(max_batch_size: int, wait_s: float, max_ongoing_requests: int) -> serve.Deployment:
    """The model behind Ray's batching; not yet running."""

    @serve.deployment(
        num_replicas=1, max_ongoing_requests=max_ongoing_requests, logging_config=QUIET
    )
    class Predict:
        """One ONNX session on one thread."""

        def __init__(self, model: str) -> None:
            options = onnxruntime.SessionOptions()
            options.intra_op_num_threads = 1
            options.inter_op_num_threads = 1
            self.session = onnxruntime.InferenceSession(model, options)
            self.input = self.session.get_inputs()[0].name
            self.label = self.session.get_outputs()[0].name

        @serve.batch(max_batch_size=max_batch_size, batch_wait_timeout_s=wait_s)
        async def labels(self, features: list[list[float]]) -> list[int]:
            """One label for each request."""
            rows = np.array(features, dtype=np.float32)
            return self.session.run([self.label], {self.input: rows})[0].tolist()

        async def __call__(self, request: Request) -> dict[str, list[int]]:
            """One body, one answer."""
            body = await request.json()
            return {"prediction": [await self.labels(body["features"])]}

    return Predict


def main() -> None:
    """Serves until a signal ends it."""
    model, port, max_batch_size, wait_s, max_ongoing_requests = sys.argv[1:6]
    ray.init(
        num_cpus=2,
        include_dashboard=False,
        logging_level=logging.WARNING,
        object_store_memory=80 * 2**20,
        _temp_dir=str(Path(tempfile.gettempdir(), "r")),
        _node_ip_address="127.0.0.1",
    )
    serve.start(
        http_options={"host": "127.0.0.1", "port": int(port)},
        logging_config=QUIET,
    )
    predict = deployment(int(max_batch_size), float(wait_s), int(max_ongoing_requests))
    try:
        serve.run(predict.bind(model), route_prefix="/predict")
        # Ray sets a handler of its own, which leaves its other processes behind.
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
        signal.pause()
    finally:
        serve.shutdown()
        ray.shutdown()


if __name__ == "__main__":
    main()
