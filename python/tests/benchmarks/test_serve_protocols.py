from __future__ import annotations

import json
import struct

import pytest

from benchmarks.serve._failure import BenchmarkError
from benchmarks.serve._protocols import (
    BINARY,
    GRPC,
    GRPC_HEADER,
    OPEN_INFERENCE,
    PLAIN,
    TABLE,
    Protocol,
    blocks,
    check,
)

ROWS = [[float(row), 2.5] for row in range(130)]
LABEL = b'{"outputs":[{"name":"label","shape":[1,1],"data":[7]}]}'
BINARY_LABEL = b'{"outputs":[{"name":"label"}]}' + struct.pack("<2q", 7, 8)


def grpc_answer(**raw: list[bytes]) -> bytes:
    from tritonclient.grpc import service_pb2

    reply = service_pb2.ModelInferResponse(**raw)
    reply.outputs.add(name="label")
    if not raw:
        reply.outputs[0].contents.int64_contents.append(7)
    message: bytes = reply.SerializeToString()
    return GRPC_HEADER.pack(0, len(message)) + message


@pytest.mark.parametrize(
    ("protocol", "answer", "labels"),
    [
        (PLAIN, b'{"prediction":[7]}', [7]),
        (TABLE, b"[7]", [7]),
        (OPEN_INFERENCE, LABEL, [7]),
        (BINARY, BINARY_LABEL, [7, 8]),
        (GRPC, grpc_answer(), [7]),
        (GRPC, grpc_answer(raw_output_contents=[struct.pack("<q", 9)]), [9]),
    ],
)
def test_labels_are_read_from_the_answer(
    protocol: Protocol, answer: bytes, labels: list[int]
) -> None:
    assert protocol.labels(answer) == labels


def test_a_binary_body_is_json_and_then_little_endian_numbers() -> None:
    body = BINARY.body(ROWS[:64])
    headers = BINARY.headers(body)
    length = int(headers["Inference-Header-Content-Length"])
    (tensor,) = json.loads(body[:length])["inputs"]
    assert tensor["shape"] == [64, 2]
    assert struct.unpack("<128f", body[length:])[:4] == (0.0, 2.5, 1.0, 2.5)


def test_a_grpc_body_carries_its_length_before_it() -> None:
    compressed, length = GRPC_HEADER.unpack(GRPC.body(ROWS[:1])[: GRPC_HEADER.size])
    assert (compressed, length) == (False, len(GRPC.body(ROWS[:1])) - GRPC_HEADER.size)
    assert GRPC.headers(b"") == {"Content-Type": "application/grpc", "TE": "trailers"}


def test_rows_that_fill_no_request_are_left_out() -> None:
    assert [len(block) for block in blocks(BINARY, ROWS)] == [64, 64]
    assert len(blocks(PLAIN, ROWS)) == 130


def test_a_check_with_too_few_rows_is_no_check() -> None:
    with pytest.raises(BenchmarkError, match="63 rows do not fill one request of binary"):
        check("127.0.0.1:1", BINARY, ROWS[:63], [0] * 63)
