"""The peer MLServer: `server.py MODEL HTTP_PORT GRPC_PORT METRICS_PORT MAX_BATCH_TIME_S WORKERS`.

Adaptive batching as MLServer's own documentation sets it up: `max_batch_size` requests,
`max_batch_time` in seconds (0 for both is its default: no batching), `parallel_workers` processes
(0: inference in the process of the server). Settings are given as the objects that its JSON files
are read into. Runs in an environment of its own; answers the Open Inference Protocol at
/v2/models/digits/infer, over HTTP and gRPC.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import mlserver
import onnxruntime
from mlserver.codecs import NumpyCodec

MAX_BATCH_REQUESTS = 64


class Predict(mlserver.MLModel):
    """One ONNX session on one thread."""

    async def load(self) -> bool:
        """Loads the model in the process that runs it."""
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(self.settings.parameters.uri, options)
        self.rows = self.session.get_inputs()[0].name
        self.label = self.session.get_outputs()[0].name
        return True

    async def predict(self, payload: mlserver.types.InferenceRequest) -> object:
        """One label for each row of the batch."""
        rows = NumpyCodec.decode_input(payload.inputs[0])
        (labels,) = self.session.run([self.label], {self.rows: rows})
        output = NumpyCodec.encode_output("label", labels.reshape(-1, 1))
        return mlserver.types.InferenceResponse(model_name=self.name, outputs=[output])


def main() -> None:
    """Serves until a signal ends it."""
    model, http_port, grpc_port, metrics_port, batch_time_s, workers = sys.argv[1:7]
    settings = mlserver.Settings(
        debug=False,
        host="127.0.0.1",
        http_port=int(http_port),
        grpc_port=int(grpc_port),
        metrics_port=int(metrics_port),
        parallel_workers=int(workers),
        load_models_at_startup=False,
    )
    batching = float(batch_time_s) > 0
    model_settings = mlserver.ModelSettings(
        name="digits",
        implementation=Predict,
        max_batch_size=MAX_BATCH_REQUESTS if batching else 0,
        max_batch_time=float(batch_time_s),
        parameters=mlserver.settings.ModelParameters(uri=model),
    )
    asyncio.run(serve(settings, model_settings))


async def serve(settings: mlserver.Settings, model_settings: mlserver.ModelSettings) -> None:
    """What `mlserver start` does, with one model."""
    server = mlserver.MLServer(settings)
    await server.start([model_settings])


if __name__ == "__main__":
    # The worker processes import the model by its module's name.
    sys.path.insert(0, str(Path(__file__).parent))
    main()
