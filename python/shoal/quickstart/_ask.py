"""Ask a running server from another process, and compare every answer with the original model's.

Source of the batch figures: `GET /v2/models/digits/batching`, where the server says how many rows
each micro-batch had and why it was released.
"""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from typing import IO, TYPE_CHECKING, cast

import msgspec

from shoal.errors import InternalError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from shoal.package import Package

CONNECTIONS = 64
PATIENCE_S = 10.0  # for the server's own account, when nothing else is asked of it


class Asked(msgspec.Struct, frozen=True):
    """What the clients hand back: seconds of asking, and (status, body, ns) per request."""

    seconds: float
    answers: list[tuple[int, str, int]]


class Batching(msgspec.Struct, frozen=True):
    """Of the server's own account: micro-batches by rows, and by why they were released."""

    reasons: dict[str, int]
    batch_rows: dict[str, int]


@dataclass(frozen=True)
class Exchange:
    """What was asked of which package, what came back, and where the server was (http, grpc)."""

    package: Package
    rows: list[list[float]]
    asked: Asked
    account: Batching
    addresses: tuple[str, str]


class _Prediction(msgspec.Struct, frozen=True):
    prediction: list[int]


class _Answered(msgspec.Struct, frozen=True):
    answered: int


def ask(address: str, rows: list[list[float]], *, total: int, each: Callable[[int], None]) -> Asked:
    """Send `total` single-row requests from another process; request i carries row i mod rows.

    Raises:
        InternalError: the clients ended before they had all answers.
    """
    last = b""
    with _clients(address, total=total) as process:
        to_clients, from_clients = _pipes(process)
        to_clients.write(json.dumps(rows).encode() + b"\n")
        to_clients.close()
        for line in from_clients:
            if line.startswith(b'{"answered"'):
                each(msgspec.json.decode(line, type=_Answered).answered)
            last = line
    if process.returncode != 0:
        message = f"the clients ended with status {process.returncode} before all was answered"
        raise InternalError(message, hint="their own account of why is on stderr, above")
    return msgspec.json.decode(last, type=Asked)


def predictions(asked: Asked) -> list[int | None]:
    """The label of each answer, or None where the answer is not exactly one label."""
    return [_label(status, body) for status, body, _ in asked.answers]


def batching(address: str, model: str) -> Batching:
    """The server's own account of the micro-batches of one model."""
    connection = HTTPConnection(address, timeout=PATIENCE_S)
    try:
        connection.request("GET", f"/v2/models/{model}/batching")
        return msgspec.json.decode(connection.getresponse().read(), type=Batching)
    finally:
        connection.close()


def _label(status: int, body: str) -> int | None:
    if status != 200:  # noqa: PLR2004 - HTTP's own number
        return None
    try:
        labels = msgspec.json.decode(body, type=_Prediction).prediction
    except msgspec.MsgspecError:
        return None
    return labels[0] if len(labels) == 1 else None


@contextmanager
def _clients(address: str, *, total: int) -> Iterator[subprocess.Popen[bytes]]:
    connections = str(min(CONNECTIONS, total))
    command = [sys.executable, "-m", "shoal.quickstart._clients", address, connections, str(total)]
    with subprocess.Popen(  # noqa: S603 - this interpreter, running this package
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        try:
            yield process
        except BaseException:
            process.kill()
            raise


def _pipes(process: subprocess.Popen[bytes]) -> tuple[IO[bytes], IO[bytes]]:
    return cast("IO[bytes]", process.stdin), cast("IO[bytes]", process.stdout)
