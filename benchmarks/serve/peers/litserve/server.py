"""The peer LitServe: `server.py MODEL PORT MAX_BATCH_SIZE BATCH_TIMEOUT_S`.

One worker on the processor, batching as LitServe's own documentation sets it up: `max_batch_size`,
`batch_timeout` in seconds, `decode_request` / `batch` / `predict` / `unbatch` / `encode_response`.
Runs in an environment of its own; answers POST /predict as the server under comparison does.
"""

from __future__ import annotations

import sys
from typing import Any

import litserve
import numpy as np
import onnxruntime


class Predict(litserve.LitAPI):
    """One ONNX session on one thread."""

    def __init__(self, model: str, max_batch_size: int, batch_timeout_s: float) -> None:
        super().__init__(max_batch_size=max_batch_size, batch_timeout=batch_timeout_s)
        self.model = model

    def setup(self, device: str) -> None:  # noqa: ARG002  (LitServe passes it)
        """Loads the model in the worker."""
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(self.model, options)
        self.input = self.session.get_inputs()[0].name
        self.label = self.session.get_outputs()[0].name

    def decode_request(self, request: dict[str, list[float]], **_: Any) -> np.ndarray:
        """One body as one row."""
        return np.array(request["features"], dtype=np.float32)

    def batch(self, inputs: list[np.ndarray]) -> np.ndarray:
        """Rows of several requests, one below the other."""
        return np.stack(inputs)

    def predict(self, x: np.ndarray, **_: Any) -> np.ndarray:
        """A label for each row; without batching LitServe gives a lone row."""
        rows = np.atleast_2d(x)
        (labels,) = self.session.run([self.label], {self.input: rows})
        return labels

    def unbatch(self, output: np.ndarray) -> list[np.ndarray]:
        """One answer for each request."""
        return [output[place : place + 1] for place in range(len(output))]

    def encode_response(self, output: np.ndarray, **_: Any) -> dict[str, list[int]]:
        """The answer as the server under comparison gives it."""
        return {"prediction": output.tolist()}


def main() -> None:
    """Serves until a signal ends it."""
    model, port, max_batch_size, batch_timeout_s = sys.argv[1:5]
    api = Predict(model, int(max_batch_size), float(batch_timeout_s))
    server = litserve.LitServer(api, accelerator="cpu", devices=1, workers_per_device=1)
    server.run(
        host="127.0.0.1",
        port=int(port),
        num_api_servers=1,
        log_level="warning",
        generate_client_file=False,
        access_log=False,
    )


if __name__ == "__main__":
    main()
