"""How a row is asked for, how the label is read from the answer, and the check of a server."""

from __future__ import annotations

import http.client
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmarks.serve._failure import BenchmarkError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

ANSWER = '{"prediction":[7]}'
"""What a server says to one row: `echo` answers this constant."""


@dataclass(frozen=True)
class Protocol:
    """One way to ask for the label of one row."""

    name: str
    path: str
    body: Callable[[Sequence[float]], str]
    label: Callable[[bytes], object]


def _plain_body(row: Sequence[float]) -> str:
    return json.dumps({"features": row}, separators=(",", ":"))


def _plain_label(answer: bytes) -> object:
    (label,) = json.loads(answer)["prediction"]
    return label


def _open_inference_body(row: Sequence[float]) -> str:
    tensor = {"name": "X", "shape": [1, len(row)], "datatype": "FP32", "data": row}
    return json.dumps({"inputs": [tensor]}, separators=(",", ":"))


def _open_inference_label(answer: bytes) -> object:
    (output,) = json.loads(answer)["outputs"]
    (label,) = output["data"]
    return label


PLAIN = Protocol("plain", "/predict", _plain_body, _plain_label)
OPEN_INFERENCE = Protocol(
    "open-inference", "/v2/models/digits/infer", _open_inference_body, _open_inference_label
)


def check(
    address: str, protocol: Protocol, rows: Sequence[Sequence[float]], labels: Sequence[int]
) -> None:
    """Asks for every row over one connection.

    Raises:
        BenchmarkError: An answer is not the label of the original model.
    """
    connection = http.client.HTTPConnection(address, timeout=10)
    headers = {"Content-Type": "application/json"}
    try:
        for row, expected in zip(rows, labels, strict=True):
            connection.request("POST", protocol.path, protocol.body(row), headers)
            response = connection.getresponse()
            answer = response.read()
            if response.status != http.HTTPStatus.OK or protocol.label(answer) != expected:
                message = f"{response.status} {answer[:300]!r}, expected the label {expected}"
                raise BenchmarkError(message)
    finally:
        connection.close()
