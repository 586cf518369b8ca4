"""The clients of the quickstart, against a small server that splits its answers or hangs up."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

import pytest

from shoal.quickstart import _clients

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

ROWS = [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]


async def read_request(reader: asyncio.StreamReader) -> list[float]:
    head = await reader.readuntil(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
    features: list[float] = json.loads(await reader.readexactly(length))["features"]
    return features


async def echo_in_pieces(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answers the first number of each row, one byte of the answer at a time."""
    try:
        while True:
            body = json.dumps({"prediction": [(await read_request(reader))[0]]}).encode()
            head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n\r\n".encode()
            for byte in head + body:
                writer.write(bytes([byte]))
                await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()


async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await read_request(reader)
    writer.close()


async def asked(handler: Handler, *, connections: int, total: int) -> list[_clients.Answer]:
    async with await asyncio.start_server(handler, "127.0.0.1", 0) as server:
        host, port = server.sockets[0].getsockname()
        asking = _clients.ask(f"{host}:{port}", ROWS, connections=connections, total=total)
        _, answers = await asking
        server.close()
    return answers


def test_every_request_is_answered_in_the_order_of_asking() -> None:
    answers = asyncio.run(asked(echo_in_pieces, connections=4, total=20))
    values = [json.loads(answer.body)["prediction"][0] for answer in answers]
    assert values == [ROWS[number % 3][0] for number in range(20)]
    assert all(answer.status == 200 and answer.elapsed_ns > 0 for answer in answers)


def test_lost_connection_ends_the_run() -> None:
    with pytest.raises(ConnectionError, match="closed a connection"):
        asyncio.run(asked(hang_up, connections=2, total=20))


@pytest.mark.parametrize("cut", range(len(b"HTTP/1.1 404 No\r\nCONTENT-LENGTH: 2\r\n\r\nab")))
def test_answer_with_bytes_missing_is_none_yet(cut: int) -> None:
    whole = b"HTTP/1.1 404 No\r\nCONTENT-LENGTH: 2\r\n\r\nab"
    assert _clients.parse(whole[:cut]) is None
    assert _clients.parse(whole) == (404, "ab")
