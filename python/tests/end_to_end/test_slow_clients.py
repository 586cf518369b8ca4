"""Clients that are slow or silent are dropped by their timeouts, and nobody else notices."""

from __future__ import annotations

import socket
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from tests.end_to_end.driver import DEADLINE_S, asked_meanwhile, poll, serving

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.end_to_end.driver import Served
    from tests.end_to_end.models import Sealed

SLOW_CLIENTS = 300
TIMEOUT_MS = 400
LONG_MS = 60_000
HEAD = b"POST /predict HTTP/1.1\r\nHost: x\r\n"
BODY = HEAD + b"Content-Length: 1000\r\n\r\n{"
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


def patient(**timeouts_ms: int) -> tuple[str, ...]:
    """Arguments with which only the timeouts that are named are short."""
    names = ("header", "body", "idle", "write")
    chosen = {name: timeouts_ms.get(name, LONG_MS) for name in names}
    pairs = [(f"--{name}-timeout-ms", str(value)) for name, value in chosen.items()]
    return tuple(word for pair in pairs for word in pair)


def connected(address: str) -> socket.socket:
    host, port = address.split(":")
    return socket.create_connection((host, int(port)), timeout=DEADLINE_S)


def is_dropped(client: socket.socket) -> bool:
    """Whether the server has hung up; waits for it, without a word to the server."""
    try:
        while client.recv(65536):
            pass
    except ConnectionResetError:
        pass
    return True


def dropped(served: Served, reason: str) -> float:
    return served.counted(f'shoal_connections_dropped_total{{reason="{reason}_timeout"}}')


@pytest.fixture
def hurried(digits: Sealed) -> Iterator[Served]:
    """A server whose every timeout is short."""
    short = dict.fromkeys(("header", "body", "idle", "write"), TIMEOUT_MS)
    with serving(digits.path, arguments=patient(**short)) as served:
        yield served


def test_hundreds_of_slow_clients_harm_nobody_and_are_dropped(
    hurried: Served, digits: Sealed
) -> None:
    kinds = {"header": HEAD, "body": BODY, "idle": b""}
    body = {"features": digits.rows[0]}

    def ask() -> object:
        return hurried.ask("POST", "/predict", body).json()

    with ExitStack() as stack, asked_meanwhile(ask, {"prediction": digits.labels[:1]}):
        slow = []
        for words in (SLOW_CLIENTS // len(kinds)) * list(kinds.values()):
            slow.append(stack.enter_context(connected(hurried.http)))
            slow[-1].sendall(words)
        assert all(is_dropped(client) for client in slow)
    counts = [dropped(hurried, reason) for reason in kinds]
    assert (sum(counts), min(counts) > 0) == (SLOW_CLIENTS, True)


@pytest.mark.parametrize("reason", ["header", "body"])
def test_a_trickle_of_bytes_buys_no_time(digits: Sealed, reason: str) -> None:
    arguments = (*patient(**{reason: TIMEOUT_MS}), "--slowest-body-bytes-per-s", "1000")
    with serving(digits.path, arguments=arguments) as served, connected(served.http) as client:
        client.sendall({"header": HEAD, "body": BODY}[reason])
        client.settimeout(0.02)
        trickle = {"header": b"X", "body": b" "}[reason]
        ends_at = time.monotonic() + DEADLINE_S
        while time.monotonic() < ends_at:
            try:
                client.sendall(trickle)
                if not client.recv(100):
                    break
            except TimeoutError:
                continue
            except (BrokenPipeError, ConnectionResetError):
                break
        else:
            pytest.fail("the trickle went on")
        assert dropped(served, reason) == 1


def test_a_body_at_the_slowest_rate_is_answered_after_its_timeout(digits: Sealed) -> None:
    arguments = (*patient(body=TIMEOUT_MS), "--slowest-body-bytes-per-s", "10")
    with serving(digits.path, arguments=arguments) as served, connected(served.http) as client:
        text = b'{"features": ' + str(digits.rows[0]).encode() + b"}"
        client.sendall(HEAD + f"Content-Length: {len(text)}\r\n\r\n".encode() + text[:100])
        client.settimeout(3 * TIMEOUT_MS / 1000)
        with pytest.raises(TimeoutError):  # the server waits as well
            client.recv(1)
        client.sendall(text[100:])
        assert client.recv(100).startswith(b"HTTP/1.1 200")


def test_a_client_that_never_reads_its_answer_is_dropped(hurried: Served) -> None:
    with connected(hurried.http) as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        question = b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"
        client.settimeout(0)

        def is_given_up() -> bool:
            try:
                client.send(question * 100)
            except BlockingIOError:
                pass
            except (BrokenPipeError, ConnectionResetError):
                return True
            return dropped(hurried, "write") == 1

        poll(is_given_up, "the client was given up")
    poll(lambda: dropped(hurried, "write") == 1, "it is counted")


def test_a_connection_that_goes_on_asking_is_kept(hurried: Served) -> None:
    with connected(hurried.http) as client:
        ends_at = time.monotonic() + 4 * TIMEOUT_MS / 1000
        count = 0
        while time.monotonic() < ends_at:
            client.sendall(b"GET /v2/health/live HTTP/1.1\r\nHost: x\r\n\r\n")
            assert client.recv(1000).startswith(b"HTTP/1.1 200")
            count += 1
        assert count > 1


def test_the_time_of_the_model_is_not_the_clients(gated: Path, tmp_path: Path) -> None:
    short = dict.fromkeys(("header", "body", "idle", "write"), 50)
    arguments = ("--allow-code", *patient(**short))
    body = {"features": {"value": 21.0}}
    with (
        serving(gated, arguments=arguments, SHOAL_GATE=str(tmp_path)) as served,
        ThreadPoolExecutor(1) as pool,
    ):
        answer = pool.submit(served.ask, "POST", "/predict", body)
        poll((tmp_path / "reached").exists, "the model was reached")
        with connected(served.http) as silent:  # by now every timeout has passed
            assert is_dropped(silent)
        (tmp_path / "open").touch()
        assert answer.result(DEADLINE_S).json() == {"prediction": [42.0]}


@pytest.mark.parametrize("words", [b"", b"P", PREFACE], ids=["silent", "a letter", "no settings"])
def test_grpc_drops_a_client_that_does_not_begin(hurried: Served, words: bytes) -> None:
    with connected(hurried.grpc) as client:
        client.sendall(words)
        assert is_dropped(client)
    assert dropped(hurried, "header") == 1


def test_grpc_drops_a_client_that_gives_no_sign_of_life(hurried: Served) -> None:
    settings = b"\0\0\0\x04\0\0\0\0\0"  # an empty SETTINGS frame (RFC 9113, section 6.5)
    with connected(hurried.grpc) as client:
        client.sendall(PREFACE + settings)
        assert is_dropped(client)
