"""A gRPC client that takes no answer, or does not finish a message, holds nothing for long."""

from __future__ import annotations

import socket
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import grpc
import numpy as np
import pytest
from tritonclient.grpc import service_pb2, service_pb2_grpc

from tests.end_to_end import http2
from tests.end_to_end.driver import DEADLINE_S, poll, serving
from tests.end_to_end.http2 import DATA, END_STREAM, HEADERS, Speaker
from tests.end_to_end.test_limits import code_of
from tests.end_to_end.test_slow_clients import TIMEOUT_MS, dropped, patient

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.end_to_end.driver import Served
    from tests.end_to_end.models import Sealed

ROWS = 4000
HALF = 20_000


def question(rows: int) -> Any:
    request = service_pb2.ModelInferRequest(model_name="digits")
    request.inputs.add(name="X", datatype="FP32", shape=[rows, 64])
    request.raw_input_contents.append(np.zeros((rows, 64), np.float32).tobytes())
    return request


def asked(rows: int) -> bytes:
    message = question(rows).SerializeToString()
    return bytes(message)


@pytest.fixture
def impatient(digits: Sealed) -> Iterator[Served]:
    """A server that waits for no client to take its answer, but for everything else."""
    with serving(digits.path, arguments=patient(write=TIMEOUT_MS)) as served:
        yield served


def answers_others(served: Served, digits: Sealed) -> bool:
    reply = served.ask("POST", "/predict", {"features": digits.rows[0]})
    return bool(reply.json() == {"prediction": digits.labels[:1]})


@pytest.mark.parametrize("window", [0, 1], ids=["shut", "a crack"])
def test_a_grpc_client_that_opens_no_window_is_given_up(
    impatient: Served, digits: Sealed, window: int
) -> None:
    with Speaker(impatient.grpc, window=window) as client:
        for number in range(20):
            client.ask(2 * number + 1, "ModelInfer", asked(1))
        frames = client.hear_until_closed()
    answered = {frame.stream for frame in frames if frame.kind == HEADERS}
    assert len(answered) == 20  # each answer was made, and waited for its client
    assert sum(len(frame.payload) for frame in frames if frame.kind == DATA) == 20 * window
    assert dropped(impatient, "write") == 1
    poll(lambda: impatient.counted("shoal_connections") == 1, "the connection is gone")
    assert answers_others(impatient, digits)


def test_a_grpc_client_that_reads_nothing_is_given_up(impatient: Served, digits: Sealed) -> None:
    with Speaker(impatient.grpc, window=http2.LARGEST_WINDOW, receive_bytes=4096) as client:
        client.widen(0, http2.LARGEST_WINDOW - http2.FIRST_WINDOW)
        count = 0

        def is_given_up() -> bool:  # it asks until the socket takes no more answers
            nonlocal count
            with suppress(OSError):
                client.ask(2 * count + 1, "ModelInfer", asked(60))
                count += 1
            return dropped(impatient, "write") == 1

        poll(is_given_up, "the client was given up")
    poll(lambda: impatient.counted("shoal_connections") == 1, "the connection is gone")
    assert answers_others(impatient, digits)


def test_an_answer_waits_for_its_window_and_comes_whole(impatient: Served) -> None:
    with Speaker(impatient.grpc, window=0) as client:
        client.ask(1, "ModelInfer", asked(2))
        while (frame := client.hear()) and frame.kind != HEADERS:
            pass
        for _ in range(4):  # not at once, but each time a little
            client.widen(1, 50)
            while (frame := client.hear()) and frame.kind != DATA:
                pass
        client.widen(1, 10_000)
        frames = client.hear_until_end(1)
    assert (frames[-1].kind, frames[-1].flags & END_STREAM) == (HEADERS, END_STREAM)
    assert dropped(impatient, "write") == 0


def test_a_grpc_client_that_takes_its_large_answers_is_kept(impatient: Served) -> None:
    options = [("grpc.max_receive_message_length", -1)]
    with grpc.insecure_channel(impatient.grpc, options=options) as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        ends_at = time.monotonic() + 4 * TIMEOUT_MS / 1000
        count = 0
        while time.monotonic() < ends_at:
            answer = stub.ModelInfer(question(ROWS))
            sizes = [len(column) for column in answer.raw_output_contents]
            assert sizes == [8 * ROWS, 4 * 10 * ROWS]  # above the 64 KiB of one piece
            count += 1
    assert count > 1
    assert dropped(impatient, "write") == 0


def test_a_stream_on_which_the_server_has_nothing_to_say_is_kept(impatient: Served) -> None:
    with grpc.insecure_channel(impatient.grpc) as channel:
        # grpc.health.v1 without its generated code: field 1 of the answer is the status, 1 serving.
        watched = channel.unary_stream("/grpc.health.v1.Health/Watch")(b"", timeout=DEADLINE_S)
        assert next(watched) == b"\x08\x01"
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        ends_at = time.monotonic() + 4 * TIMEOUT_MS / 1000
        while time.monotonic() < ends_at:
            assert stub.ServerLive(service_pb2.ServerLiveRequest()).live
        assert watched.is_active()
    assert dropped(impatient, "write") == 0


@contextmanager
def cut(address: str, *, after_bytes: int) -> Iterator[str]:
    """The address of a proxy that lets so much through to the server, and every answer back."""
    host, port = address.split(":")
    with (
        socket.create_server(("127.0.0.1", 0)) as door,
        socket.create_connection((host, int(port))) as server,
        ThreadPoolExecutor(2) as pool,
    ):

        def carry(source: socket.socket, target: socket.socket, left: int) -> None:
            while left > 0 and (data := source.recv(min(left, 65536))):
                target.sendall(data)
                left -= len(data)

        def stand_between() -> None:
            client, _ = door.accept()
            with client, suppress(OSError):
                there = pool.submit(carry, client, server, after_bytes)
                carry(server, client, 2**40)
                there.result()

        between = pool.submit(stand_between)
        yield f"127.0.0.1:{door.getsockname()[1]}"
        server.shutdown(socket.SHUT_RDWR)
        between.result(DEADLINE_S)


def test_half_a_grpc_message_is_refused_by_name_when_its_time_is_over(digits: Sealed) -> None:
    arguments = (*patient(body=TIMEOUT_MS), "--slowest-body-bytes-per-s", "1000000")
    with serving(digits.path, arguments=arguments) as served:
        with (
            cut(served.grpc, after_bytes=HALF) as address,
            grpc.insecure_channel(address) as channel,
        ):
            stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
            with pytest.raises(grpc.RpcError) as caught:
                stub.ModelInfer(question(1000), timeout=DEADLINE_S)
        assert code_of(caught.value) == ("INVALID_ARGUMENT", "invalid_request")
        assert "did not arrive in its time" in (caught.value.details() or "")
        assert dropped(served, "body") == 1
        assert served.counted("shoal_bodies_bytes") == 0


def test_half_a_grpc_message_ends_its_own_call_and_no_other(digits: Sealed) -> None:
    with (
        serving(digits.path, arguments=patient(body=TIMEOUT_MS)) as served,
        Speaker(served.grpc, window=http2.FIRST_WINDOW) as client,
    ):
        client.ask(1, "ModelInfer", asked(1), sent=100)
        assert [frame.kind for frame in client.hear_until_end(1)] == [HEADERS]  # a refusal alone
        assert dropped(served, "body") == 1
        client.ask(3, "ModelInfer", asked(1))
        kinds = [frame.kind for frame in client.hear_until_end(3)]
        assert kinds == [HEADERS, DATA, HEADERS]
