"""Frames between server and worker: the golden ones, and a socket that delivers in pieces."""

from __future__ import annotations

import json
import socket
import struct
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.errors import BinaryError
from shoal.runtime._frames import (
    FIRST_READ_BYTES,
    Failure,
    Kind,
    header,
    pack_columns,
    read_header,
    receive,
    send,
    unpack_columns,
)
from shoal.values import Column, Dtype
from tests.vectors import generator

if TYPE_CHECKING:
    from collections.abc import Iterator

    from shoal.values import WireColumn

FOLDER = Path(__file__).parents[3] / "protocol" / "vectors" / "worker"
VECTORS: list[dict[str, Any]] = json.loads((FOLDER / "vectors.json").read_text(encoding="utf-8"))
TABLES = [vector for vector in VECTORS if "expect" in vector]
BAD = [vector for vector in VECTORS if vector.get("is_refused")]


def named(vector: dict[str, Any]) -> str:
    return str(vector["name"])


def frame(vector: dict[str, Any]) -> bytes:
    return (FOLDER / "frames" / f"{vector['name']}.bin").read_bytes()


def declared(vector: dict[str, Any]) -> list[Column]:
    return [Column(each["name"], Dtype(each["dtype"])) for each in vector.get("columns", [])]


def read(data: bytes, columns: list[Column]) -> list[WireColumn]:
    kind, body_bytes = read_header(data)
    assert body_bytes == len(data) - 16
    return unpack_columns(memoryview(data)[16:], columns) if kind is Kind.BATCH else []


def described(column: WireColumn) -> dict[str, Any]:
    _, _, shape, data, missing = column
    found: dict[str, Any] = {"shape": shape[1:]}
    if isinstance(data, list):
        found["strings_hex"] = [text.hex() for text in data]
    else:
        found["data_hex"] = bytes(data).hex()
    return found if missing is None else {**found, "missing_hex": bytes(missing).hex()}


def test_files_are_what_the_generator_writes() -> None:
    program = generator(FOLDER)
    vectors = program.build()
    on_disk = {file.name: file.read_bytes() for file in (FOLDER / "frames").iterdir()}
    assert vectors.frames == on_disk, "run protocol/vectors/worker/generate.py"
    assert program.index_text(vectors) == (FOLDER / "vectors.json").read_text(encoding="utf-8")


@pytest.mark.parametrize("vector", TABLES, ids=named)
def test_a_golden_frame_holds_its_columns_and_is_written_byte_for_byte(
    vector: dict[str, Any],
) -> None:
    columns = read(frame(vector), declared(vector))
    assert [described(column) for column in columns] == vector["expect"]
    assert all(column[2][0] == vector["rows"] for column in columns)
    body = b"".join(bytes(part) for part in pack_columns(columns))
    assert header(Kind.BATCH, len(body)) + body == frame(vector)


@pytest.mark.parametrize("vector", BAD, ids=named)
def test_a_bad_frame_is_refused(vector: dict[str, Any]) -> None:
    with pytest.raises(BinaryError):
        read(frame(vector), declared(vector))


def test_a_failure_without_a_remedy_has_no_hint() -> None:
    import msgspec

    assert msgspec.json.encode(Failure("c", "m")) == b'{"code":"c","message":"m"}'


GOOD_BODIES = [frame(vector)[16:] for vector in TABLES]


@given(st.integers(0, len(TABLES) - 1), st.integers(0, 200), st.binary(max_size=9))
def test_damaged_tables_are_read_or_refused_and_nothing_else(
    number: int, place: int, bytes_put: bytes
) -> None:
    body = bytearray(GOOD_BODIES[number])
    body[place : place + len(bytes_put)] = bytes_put
    try:
        unpack_columns(memoryview(bytes(body)), declared(TABLES[number]))
    except BinaryError:
        return


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    one, other = socket.socketpair()
    with one, other:
        yield one, other


@pytest.mark.parametrize("body_bytes", [0, 5, FIRST_READ_BYTES, 3_000_001])
def test_a_frame_of_any_size_arrives_whole(
    pair: tuple[socket.socket, socket.socket], body_bytes: int
) -> None:
    one, other = pair
    body = bytes(range(256)) * (body_bytes // 256 + 1)
    parts = [body[: body_bytes // 3], memoryview(body)[body_bytes // 3 : body_bytes]]
    sender = threading.Thread(target=send, args=(one, Kind.ANSWER, parts))
    sender.start()
    received = receive(other)
    sender.join()
    assert received is not None
    assert received[0] is Kind.ANSWER
    assert bytes(received[1]) == body[:body_bytes]
    assert received[1].readonly


def test_a_frame_that_comes_in_drops_arrives_whole(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    one, other = pair
    one.send(header(Kind.READY, 0)[:7])
    threading.Thread(target=one.send, args=(header(Kind.READY, 0)[7:],)).start()
    assert receive(other) is not None


def test_the_end_of_the_other_side_is_no_frame(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    one, other = pair
    one.send(header(Kind.ANSWER, 100) + bytes(10))
    one.close()
    assert receive(other) is None
    assert receive(other) is None


def test_a_second_frame_before_the_first_is_answered_is_refused(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    one, other = pair
    one.send(header(Kind.READY, 0) * 2)
    with pytest.raises(BinaryError, match="not been answered"):
        receive(other)


def test_numbers_are_looked_at_in_place() -> None:
    vector = next(each for each in TABLES if each["name"] == "several_columns")
    body = memoryview(frame(vector))[16:]
    data = unpack_columns(body, declared(vector))[0][3]
    assert isinstance(data, memoryview)
    assert data.obj is body.obj
    assert struct.unpack("<3f", data[:12]) == (0.0, 1.0, 2.0)
