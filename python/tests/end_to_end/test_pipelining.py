"""Several requests in one send: every one that was accepted is answered, whatever follows it."""

from __future__ import annotations

import json
import socket
from typing import TYPE_CHECKING

import pytest

from tests.end_to_end.driver import DEADLINE_S

if TYPE_CHECKING:
    from tests.end_to_end.driver import Served
    from tests.end_to_end.models import Sealed


def post(path: str, body: bytes) -> bytes:
    return f"POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


def good(digits: Sealed, row: int) -> bytes:
    return post("/predict", json.dumps({"features": digits.rows[row]}).encode())


def exchange(served: Served, sent: bytes, until: bytes) -> bytes:
    """What comes back until it ends with `until`, or the server closes."""
    host, port = served.http.split(":")
    received = b""
    with socket.create_connection((host, int(port)), timeout=DEADLINE_S) as connection:
        connection.sendall(sent)
        while not received.endswith(until) and (piece := connection.recv(65536)):
            received += piece
    return received


def test_requests_sent_together_are_answered_in_their_order(one: Served, digits: Sealed) -> None:
    sent = b"".join(good(digits, row) for row in range(8))
    answers = [json.dumps({"prediction": [digits.labels[row]]}).encode() for row in range(8)]
    received = exchange(one, sent, answers[-1].replace(b" ", b""))
    found = [part.rpartition(b"\r\n\r\n")[2] for part in received.split(b"HTTP/1.1 200 OK")[1:]]
    assert [json.loads(body) for body in found] == [json.loads(answer) for answer in answers]


@pytest.mark.parametrize(
    ("behind", "then"),
    [(b"hello\r\n\r\n", b"400 Bad Request"), (post("/nowhere", b"x" * 100), b"404 Not Found")],
    ids=["no HTTP", "an unknown route"],
)
def test_an_answer_is_not_lost_to_what_comes_behind(
    one: Served, digits: Sealed, behind: bytes, then: bytes
) -> None:
    received = exchange(one, good(digits, 0) + behind, b"nothing ends so")
    assert b"200 OK" in received
    assert b'{"prediction":[%d]}' % digits.labels[0] in received
    assert then in received


def test_half_of_the_next_request_holds_no_answer_back(one: Served, digits: Sealed) -> None:
    answer = b'{"prediction":[%d]}' % digits.labels[0]
    assert exchange(one, good(digits, 0) + b"POST /predict HTT", answer).endswith(answer)


def test_a_reply_before_the_body_was_read_says_that_it_closes(one: Served) -> None:
    received = exchange(one, post("/nowhere", b"x" * 100), b"nothing ends so")
    assert b"connection: close" in received.lower()


def test_a_body_in_chunks_keeps_the_connection(one: Served, digits: Sealed) -> None:
    body = json.dumps({"features": digits.rows[0]}).encode()
    head = b"POST /predict HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    chunked = head + b"%x\r\n" % len(body) + body + b"\r\n0\r\n\r\n"
    answer = b'{"prediction":[%d]}' % digits.labels[0]
    received = exchange(one, chunked + good(digits, 0) + b"x\r\n\r\n", b"nothing ends so")
    assert received.count(answer) == 2
