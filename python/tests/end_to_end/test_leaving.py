"""How a server ends when nobody closes it well, and what must not hold its end up."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from shoal import serve
from tests.end_to_end.driver import DEADLINE_S, ask, poll

if TYPE_CHECKING:
    from tests.end_to_end.models import Sealed

TESTS = Path(__file__).parents[1]
LEAVING = """
import os, sys
from pathlib import Path
from shoal import serve
from tests.end_to_end.driver import poll
os.environ["SHOAL_GATE"] = sys.argv[2]
server = serve.start(sys.argv[1], allow_code=True)
print(server.http, flush=True)
poll(Path(sys.argv[2], "reached").exists, "the model was reached")
print("leaving", flush=True)
"""
SOON_S = 5.0  # well below what a silent client of a stopping server may cost


def place(address: str) -> tuple[str, int]:
    host, port = address.split(":")
    return host, int(port)


def test_a_script_that_ends_without_closing_still_answers(gated: Path, tmp_path: Path) -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", LEAVING, str(gated), str(tmp_path)],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(TESTS.parent)},
    )
    with child, ThreadPoolExecutor(1) as pool:
        assert child.stdout is not None
        address = child.stdout.readline().strip()
        body = {
            "inputs": [{"name": "value", "shape": [1], "datatype": "FP64", "data": [2.5]}],
        }
        answer = pool.submit(ask, address, "POST", "/v2/models/gated/infer", body)
        assert child.stdout.readline() == "leaving\n"
        (tmp_path / "open").touch()
        assert answer.result(DEADLINE_S).json()["outputs"][0]["data"] == [5.0]
        assert child.wait(DEADLINE_S) == 0


def test_a_silent_client_does_not_hold_the_end_up(digits: Sealed) -> None:
    server = serve.start(digits.path)
    with (
        socket.create_connection(place(server.http)),
        socket.create_connection(place(server.grpc)),
    ):
        poll(lambda: ask(server.http, "GET", "/v2/health/live").status == 200, "the server")
        before = time.monotonic()
        server.close()
        assert time.monotonic() - before < SOON_S
