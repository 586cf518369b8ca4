"""Envelopes of tasks as wrk sends them: of one task or of 64, each of one row, in JSON or protobuf.

Protobuf is written and read here by hand, so that no client of the project agrees with itself.

Source: protocol/protocol.md, "Tasks"; protobuf.dev/programming-guides/encoding.
"""

from __future__ import annotations

import json
import struct
from typing import TYPE_CHECKING

from benchmarks.serve._protocols import MODEL, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from benchmarks.serve._protocols import Rows

TASKS = 64
PATH = "/v1/tasks"
LABEL = "label"
VARINT, DELIMITED = 0, 2
PAYLOAD_BITS, MORE = 7, 0x80


def _json_body(rows: Rows) -> bytes:
    tasks = [_json_task(row) for row in rows]
    return json.dumps({"tasks": tasks}, separators=(",", ":")).encode()


def _json_task(row: Sequence[float]) -> Mapping[str, object]:
    column = {"name": "X", "dtype": "FP32", "shape": [len(row)], "data": row}
    return {"model": MODEL, "table": {"columns": [column]}, "outputs": [LABEL]}


def _json_labels(answer: bytes) -> list[int]:
    results = json.loads(answer)["results"]
    return [label for result in results for label in result["table"]["columns"][0]["data"]]


def _varint(number: int) -> bytes:
    low, rest = number & (MORE - 1), number >> PAYLOAD_BITS
    return bytes([low | MORE]) + _varint(rest) if rest else bytes([low])


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3 | VARINT) + _varint(value)


def _message(field: int, *parts: bytes) -> bytes:
    content = b"".join(parts)
    return _varint(field << 3 | DELIMITED) + _varint(len(content)) + content


def _protobuf_body(rows: Rows) -> bytes:
    return b"".join(_protobuf_task(row) for row in rows)


def _protobuf_task(row: Sequence[float]) -> bytes:
    values = struct.pack(f"<{len(row)}f", *row)
    names = (_message(1, b"X"), _message(2, b"FP32"))
    column = _message(2, *names, _message(3, _varint(len(row))), _message(4, values))
    table = _message(4, _number(1, 1), column)
    return _message(2, _message(2, MODEL.encode()), table, _message(6, LABEL.encode()))


def _read_varint(message: bytes, place: int) -> tuple[int, int]:
    number = shift = 0
    while message[place] & MORE:
        number |= (message[place] & (MORE - 1)) << shift
        place, shift = place + 1, shift + PAYLOAD_BITS
    return number | message[place] << shift, place + 1


def _parts(message: bytes, wanted: int) -> Iterator[bytes]:
    """The contents of a field; the fields beside it are numbers or have a length."""
    place = 0
    while place < len(message):
        tag, place = _read_varint(message, place)
        size, place = _read_varint(message, place)
        if tag & 7 == DELIMITED:
            if tag >> 3 == wanted:
                yield message[place : place + size]
            place += size


def _protobuf_labels(answer: bytes) -> list[int]:
    tables = [table for result in _parts(answer, 1) for table in _parts(result, 5)]
    values = b"".join(v for table in tables for c in _parts(table, 2) for v in _parts(c, 4))
    return list(struct.unpack(f"<{len(values) // 8}q", values))


def _protobuf_headers(_: bytes) -> dict[str, str]:
    return {"Content-Type": "application/x-protobuf"}


ONE_JSON = Protocol("tasks-json-1", "json", PATH, _json_body, _json_labels)
MANY_JSON = Protocol("tasks-json-64", "json", PATH, _json_body, _json_labels, TASKS)
MANY_PROTOBUF = Protocol(
    "tasks-protobuf-64",
    "binary",
    PATH,
    _protobuf_body,
    _protobuf_labels,
    TASKS,
    _protobuf_headers,
)
PROTOCOLS = {each.name: each for each in (ONE_JSON, MANY_JSON, MANY_PROTOBUF)}
