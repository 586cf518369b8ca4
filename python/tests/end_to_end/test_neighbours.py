"""Clients that give up: their requests are dropped from the queue, and the others are answered."""

from __future__ import annotations

import json
import socket
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from tests.end_to_end.driver import DEADLINE_S, poll, serving

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.end_to_end.driver import Served

PATH = "/v2/models/gated/infer"


def question(value: float, **parameters: int) -> dict[str, Any]:
    column = {"name": "value", "shape": [1], "datatype": "FP64", "data": [value]}
    return {"inputs": [column], "parameters": parameters}


def answered(reply: Any) -> list[float]:
    data: list[float] = reply.json()["outputs"][0]["data"]
    return data


@contextmanager
def busy(package: Path, gate: Path) -> Iterator[tuple[Served, ThreadPoolExecutor]]:
    """A server whose model is held up by one request until the file `open` is in `gate`."""
    with (
        serving(package, arguments=("--allow-code",), SHOAL_GATE=str(gate)) as served,
        ThreadPoolExecutor(8) as pool,
    ):
        first = pool.submit(served.ask, "POST", PATH, question(1.0))
        poll((gate / "reached").exists, "the model was reached")
        yield served, pool
        (gate / "open").touch()
        assert answered(first.result(DEADLINE_S)) == [2.0]


def test_request_whose_time_runs_out_in_the_queue_is_told_so(gated: Path, tmp_path: Path) -> None:
    with busy(gated, tmp_path) as (served, pool):
        patient = pool.submit(served.ask, "POST", PATH, question(3.0))
        hurried = served.ask("POST", PATH, question(5.0, timeout=20_000))
        assert (hurried.status, hurried.code) == (504, "deadline_exceeded")
        (tmp_path / "open").touch()
        assert answered(patient.result(DEADLINE_S)) == [6.0]


def test_client_that_hangs_up_leaves_the_queue(gated: Path, tmp_path: Path) -> None:
    with busy(gated, tmp_path) as (served, pool):
        patient = pool.submit(served.ask, "POST", PATH, question(3.0))
        poll(lambda: served.waiting_rows() == 1, "the patient one waits")
        hang_up(served)
        poll(lambda: served.waiting_rows() == 1, "only the patient one waits")
        (tmp_path / "open").touch()
        assert answered(patient.result(DEADLINE_S)) == [6.0]
        account = served.ask("GET", "/v2/models/gated/batching").json()
        assert account["batch_rows"] == {"1": 2}


def hang_up(served: Served) -> None:
    """Ask, wait until the request is in the queue, and close the connection."""
    body = json.dumps(question(5.0)).encode()
    host, port = served.http.split(":")
    with socket.create_connection((host, int(port))) as client:
        head = f"POST {PATH} HTTP/1.1\r\nhost: {served.http}\r\ncontent-length: {len(body)}\r\n\r\n"
        client.sendall(head.encode() + body)
        poll(lambda: served.waiting_rows() == 2, "the request is in the queue")
