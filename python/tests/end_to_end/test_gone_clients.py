"""Clients that leave in the middle: nobody beside them notices, and each is counted."""

from __future__ import annotations

import json
import socket
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import grpc
from tritonclient.grpc import service_pb2, service_pb2_grpc

from tests.end_to_end.driver import DEADLINE_S, asked_meanwhile, poll, serving

if TYPE_CHECKING:
    from pathlib import Path

    from tests.end_to_end.driver import Served
    from tests.end_to_end.models import Sealed

BODY = json.dumps({"features": {"value": 21.0}}).encode()
HEAD = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n"


def sent(served: Served, words: bytes) -> socket.socket:
    host, port = served.http.split(":")
    client = socket.create_connection((host, int(port)), timeout=DEADLINE_S)
    client.sendall(words)
    return client


def test_clients_gone_while_the_model_runs_are_counted_and_their_batch_mates_answered(
    gated: Path, tmp_path: Path
) -> None:
    request = service_pb2.ModelInferRequest(model_name="gated")
    column = request.inputs.add(name="value", datatype="FP64", shape=[1])
    column.contents.fp64_contents.append(2.0)
    with (
        serving(gated, arguments=("--allow-code",), SHOAL_GATE=str(tmp_path)) as served,
        grpc.insecure_channel(served.grpc) as channel,
        ThreadPoolExecutor(4) as pool,
    ):
        first = pool.submit(served.ask, "POST", "/predict", BODY)
        poll((tmp_path / "reached").exists, "the model was reached")
        with ExitStack() as leaving:
            for _ in range(5):
                leaving.enter_context(sent(served, HEAD % len(BODY) + BODY))
            stub: Any = service_pb2_grpc.GRPCInferenceServiceStub(channel)
            over_grpc = stub.ModelInfer.future(request)
            staying = [pool.submit(served.ask, "POST", "/predict", BODY) for _ in range(3)]
            poll(lambda: served.waiting_rows() == 9, "all wait for the model")
        over_grpc.cancel()
        poll(lambda: served.counted("shoal_abandoned_total") == 6, "those that left are counted")
        poll(lambda: served.waiting_rows() == 3, "and their rows are not run")
        (tmp_path / "open").touch()
        answers = [each.result(DEADLINE_S).json() for each in (first, *staying)]
        assert answers == [{"prediction": [42.0]}] * 4


def test_clients_gone_in_the_middle_of_a_body_harm_nobody(one: Served, digits: Sealed) -> None:
    def refused() -> float:
        return one.counted('shoal_rejected_total{reason="invalid_request"}') + one.counted(
            "shoal_abandoned_total"
        )

    def ask() -> object:
        return one.ask("POST", "/predict", {"features": digits.rows[0]}).json()

    before = refused()
    with asked_meanwhile(ask, {"prediction": digits.labels[:1]}), ExitStack() as leaving:
        for _ in range(50):
            leaving.enter_context(sent(one, HEAD % 1000 + b'{"features": [1, 2'))
        poll(lambda: one.counted("shoal_bodies_bytes") > 0, "the server is reading")
    poll(lambda: refused() == before + 50, "each is counted once")
    poll(lambda: one.counted("shoal_bodies_bytes") == 0, "nothing of them is held")
