"""Hold a python model up, so that a test knows what waits and therefore what goes together.

The models are `stories/hazard.py` and `stories/lengths.py`: one row of theirs leaves the file
`reached` in a directory of notes, and waits there for the file `open`.
"""

from __future__ import annotations

import json
import socket
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from tests.end_to_end.driver import DEADLINE_S, Reply, Served, poll, serving
from tests.end_to_end.stories import hazard

if TYPE_CHECKING:
    from collections.abc import Iterator
    from concurrent.futures import Future
    from contextlib import AbstractContextManager
    from pathlib import Path

CLIENTS = 40
INFER = "/v2/models/hazard/infer"


@dataclass(frozen=True)
class Hold:
    """A server whose only worker is busy with the first request, until `open`."""

    served: Served
    notes: Path
    first: Future[Reply]
    pool: ThreadPoolExecutor

    def predict(self, row: dict[str, Any]) -> Future[Reply]:
        """Ask one row from another client."""
        return self.pool.submit(self.served.ask, "POST", "/predict", {"features": row})

    def infer(self, rows: int, **parameters: int) -> Future[Reply]:
        """Ask the rows 0, 1, 2 and so on from another client, as binary tensors."""
        return self.pool.submit(infer, self.served, rows, **parameters)

    def wait_for_rows(self, rows: int) -> None:
        poll(lambda: self.served.waiting_rows() == rows, f"{rows} rows wait")

    def open(self) -> None:
        (self.notes / "open").touch()


@contextmanager
def held(served: Served, notes: Path, waits: dict[str, Any] | None = None) -> Iterator[Hold]:
    """Everybody else waits inside; at the end the first request is answered."""
    for mark in ("reached", "open"):
        (notes / mark).unlink(missing_ok=True)
    body = {"features": waits or {"value": hazard.WAITS}}
    with ThreadPoolExecutor(CLIENTS) as pool:
        first = pool.submit(served.ask, "POST", "/predict", body)
        hold = Hold(served, notes, first, pool)
        try:
            poll((notes / "reached").exists, "the model was reached")
            yield hold
        finally:
            hold.open()
        assert first.result(DEADLINE_S).status == 200


def hazards(package: Path, notes: Path, *arguments: str) -> AbstractContextManager[Served]:
    """A server of `stories/hazard.py` that knows where its notes are."""
    return serving(package, arguments=("--allow-code", *arguments), SHOAL_NOTES=str(notes))


def asked(served: Served, row: float) -> Reply:
    return served.ask("POST", "/predict", {"features": {"value": row}})


def infer(served: Served, rows: int, **parameters: int) -> Reply:
    """The rows 0, 1, 2 and so on, and the answer, as binary tensors."""
    raw = np.arange(float(rows)).tobytes()
    size = {"binary_data_size": len(raw)}
    column = {"name": "value", "shape": [rows], "datatype": "FP64", "parameters": size}
    wishes = {"binary_data_output": True, **parameters}
    head = json.dumps({"inputs": [column], "parameters": wishes}).encode()
    length = {"Inference-Header-Content-Length": str(len(head))}
    return served.ask("POST", INFER, head + raw, headers=length)


def doubled(reply: Reply) -> list[float]:
    """The answer to `infer`."""
    length = int(reply.headers["inference-header-content-length"])
    numbers: list[float] = np.frombuffer(reply.body[length:], np.float64).tolist()
    return numbers


def hang_up(hold: Hold, row: float) -> None:
    """A client that leaves while its request waits behind the first."""
    before = hold.served.waiting_rows()
    body = json.dumps({"features": {"value": row}}).encode()
    host, port = hold.served.http.split(":")
    with socket.create_connection((host, int(port)), timeout=DEADLINE_S) as client:
        head = f"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
        client.sendall(head.encode() + body)
        hold.wait_for_rows(before + 1)
    hold.wait_for_rows(before)


def calls(notes: Path) -> list[tuple[int, int]]:
    """(process, rows) of each call of the model."""
    lines = (notes / "calls").read_text().splitlines()
    return [(int(line.split()[0]), int(line.split()[1])) for line in lines]


def batching(served: Served, model: str) -> dict[str, Any]:
    """What the server tells of its micro-batches."""
    account: dict[str, Any] = served.ask("GET", f"/v2/models/{model}/batching").json()
    return account
