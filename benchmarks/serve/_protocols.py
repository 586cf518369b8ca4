"""How rows are asked for, how the labels are read from the answer, and the check of a server.

Over gRPC the load generator sees status 200 whatever the call ended with, so the check, made with
gRPC's own client and the same bytes, looks at the status of the call; and a window counts as valid
only if the bytes received are those of as many right answers (`_h2load`).
"""

from __future__ import annotations

import http.client
import json
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from benchmarks.serve._failure import BenchmarkError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    Rows = Sequence[Sequence[float]]

ANSWER = '{"prediction":[7]}'
"""What a server says to one row: `echo` answers this constant."""

BLOCK_ROWS = 64
"""Rows of one request of binary tensors."""

MODEL = "digits"
"""Every model of the benchmark answers under this name, so that the paths are the same."""

GRPC_METHOD = "/inference.GRPCInferenceService/ModelInfer"
GRPC_HEADER = struct.Struct(">BI")
"""Before each message: whether it is compressed, and its length."""

NOT_COMPRESSED = 0

WITHIN_S = 10.0
JSON_TYPE = {"Content-Type": "application/json"}
Form = Literal["json", "binary", "grpc"]


@dataclass(frozen=True)
class Protocol:
    """One way to ask for the labels of `rows` rows with one request."""

    name: str
    form: Form
    path: str
    body: Callable[[Rows], bytes]
    labels: Callable[[bytes], list[int]]
    rows: int = 1
    headers: Callable[[bytes], Mapping[str, str]] = lambda _: JSON_TYPE
    """Headers of a request with this body, beside its length."""

    @property
    def is_text(self) -> bool:
        """Whether a body is one line of text."""
        return self.form == "json"


def _compact(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _plain_body(rows: Rows) -> bytes:
    (row,) = rows
    return _compact({"features": row})


def _plain_labels(answer: bytes) -> list[int]:
    return list(json.loads(answer)["prediction"])


def _table_body(rows: Rows) -> bytes:
    return _compact({"features": rows})


def _table_labels(answer: bytes) -> list[int]:
    return list(json.loads(answer))


def _open_inference_body(rows: Rows) -> bytes:
    flat = [number for row in rows for number in row]
    tensor = {"name": "X", "shape": [len(rows), len(rows[0])], "datatype": "FP32", "data": flat}
    return _compact({"inputs": [tensor]})


def _open_inference_labels(answer: bytes) -> list[int]:
    outputs = json.loads(answer)["outputs"]
    (label,) = (output for output in outputs if output["name"] == "label")
    return list(label["data"])


def _raw(rows: Rows) -> bytes:
    """Little-endian numbers of four bytes, row after row."""
    flat = [number for row in rows for number in row]
    return struct.pack(f"<{len(flat)}f", *flat)


def _integers(raw: bytes) -> list[int]:
    return list(struct.unpack(f"<{len(raw) // 8}q", raw))


def _binary_body(rows: Rows) -> bytes:
    raw = _raw(rows)
    shape = [len(rows), len(rows[0])]
    size = {"binary_data_size": len(raw)}
    tensor = {"name": "X", "shape": shape, "datatype": "FP32", "parameters": size}
    wanted = {"name": "label", "parameters": {"binary_data": True}}
    return _compact({"inputs": [tensor], "outputs": [wanted]}) + raw


def _json_length(body: bytes) -> int:
    """How many bytes of a binary body are its leading JSON."""
    return json.JSONDecoder().raw_decode(body.decode("latin-1"))[1]


def _binary_headers(body: bytes) -> dict[str, str]:
    length = {"Inference-Header-Content-Length": str(_json_length(body))}
    return {"Content-Type": "application/octet-stream", **length}


def _binary_labels(answer: bytes) -> list[int]:
    return _integers(answer[_json_length(answer) :])


def _grpc_body(rows: Rows) -> bytes:
    from tritonclient.grpc import service_pb2

    request = service_pb2.ModelInferRequest(model_name=MODEL)
    request.inputs.add(name="X", datatype="FP32", shape=[len(rows), len(rows[0])])
    request.outputs.add(name="label")
    request.raw_input_contents.append(_raw(rows))
    message: bytes = request.SerializeToString()
    return GRPC_HEADER.pack(NOT_COMPRESSED, len(message)) + message


def _grpc_labels(answer: bytes) -> list[int]:
    from tritonclient.grpc import service_pb2

    reply = service_pb2.ModelInferResponse.FromString(answer[GRPC_HEADER.size :])
    if reply.raw_output_contents:
        return _integers(reply.raw_output_contents[0])
    return list(reply.outputs[0].contents.int64_contents)


def _grpc_headers(_: bytes) -> dict[str, str]:
    return {"Content-Type": "application/grpc", "TE": "trailers"}


PLAIN = Protocol("plain", "json", "/predict", _plain_body, _plain_labels)
TABLE = Protocol("table", "json", "/predict", _table_body, _table_labels)
INFER = f"/v2/models/{MODEL}/infer"
OPEN_INFERENCE = Protocol(
    "open-inference", "json", INFER, _open_inference_body, _open_inference_labels
)
BINARY = Protocol(
    "binary", "binary", INFER, _binary_body, _binary_labels, BLOCK_ROWS, _binary_headers
)
GRPC = Protocol("grpc", "grpc", GRPC_METHOD, _grpc_body, _grpc_labels, headers=_grpc_headers)
PROTOCOLS = (PLAIN, TABLE, OPEN_INFERENCE, BINARY, GRPC)


def blocks(protocol: Protocol, rows: Rows) -> list[Rows]:
    """`rows` in requests of the protocol's size; what does not fill one is left out."""
    size = protocol.rows
    return [rows[start : start + size] for start in range(0, len(rows) - size + 1, size)]


def check(address: str, protocol: Protocol, rows: Rows, labels: Sequence[int]) -> None:
    """Asks for every row over one connection.

    Raises:
        BenchmarkError: An answer is not the label of the original model.
    """
    asked = blocks(protocol, rows)
    if not asked:
        raise BenchmarkError(f"{len(rows)} rows do not fill one request of {protocol.name}")
    with _asking(address, protocol) as ask:
        for place, block in enumerate(asked):
            first = place * protocol.rows
            expected = list(labels[first : first + protocol.rows])
            answer = ask(protocol.body(block))
            if protocol.labels(answer) != expected:
                message = f"{answer[:300]!r}, expected the labels {expected}"
                raise BenchmarkError(f"{protocol.name}: {message}")


def ask_once(address: str, protocol: Protocol, body: bytes) -> bytes:
    """One answer over a connection of its own; over gRPC with the five bytes before it.

    Raises:
        BenchmarkError: The answer is not a success.
    """
    with _asking(address, protocol) as ask:
        return ask(body)


class _Http:
    """Asks over one connection of HTTP."""

    def __init__(self, address: str, protocol: Protocol) -> None:
        self.connection = http.client.HTTPConnection(address, timeout=WITHIN_S)
        self.protocol = protocol

    def __enter__(self) -> Callable[[bytes], bytes]:
        return self.ask

    def __exit__(self, *_: object) -> None:
        self.connection.close()

    def ask(self, body: bytes) -> bytes:
        headers = dict(self.protocol.headers(body))
        self.connection.request("POST", self.protocol.path, body, headers)
        response = self.connection.getresponse()
        answer = response.read()
        if response.status != http.HTTPStatus.OK:
            raise BenchmarkError(f"{self.protocol.name}: {response.status} {answer[:300]!r}")
        return answer


class _Grpc:
    """Asks with gRPC's own client, which looks at the status in the trailers."""

    def __init__(self, address: str, protocol: Protocol) -> None:
        import grpc

        self.failure = grpc.RpcError
        self.channel: Any = grpc.insecure_channel(address)
        self.call = self.channel.unary_unary(protocol.path)

    def __enter__(self) -> Callable[[bytes], bytes]:
        return self.ask

    def __exit__(self, *_: object) -> None:
        self.channel.close()

    def ask(self, body: bytes) -> bytes:
        try:
            message: bytes = self.call(body[GRPC_HEADER.size :], timeout=WITHIN_S)
        except self.failure as error:
            raise BenchmarkError(f"gRPC: {error.code()} {error.details()}") from error
        return GRPC_HEADER.pack(NOT_COMPRESSED, len(message)) + message


def _asking(address: str, protocol: Protocol) -> _Http | _Grpc:
    kind = _Grpc if protocol.form == "grpc" else _Http
    return kind(address, protocol)
