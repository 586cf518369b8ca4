"""The servers that are compared, how each is started, and the settings of each peer."""

from __future__ import annotations

import json
import signal
import sys
import tempfile
import time
import urllib.request
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.serve._environments import HERE, echo_program, peer_python
from benchmarks.serve._failure import BenchmarkError
from benchmarks.serve._processes import Program, Running, free_ports, started
from benchmarks.serve._protocols import ANSWER, OPEN_INFERENCE, PLAIN, Protocol, check

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.serve._material import Material

READY_WITHIN_S = 60.0
POLL_S = 0.1
HTTP_PORT = "<http port>"
PORTS = (HTTP_PORT, "<grpc port>", "<metrics port>")
MOSEC_WAITS_MS = (10, 5, 2, 1)
"""mosec's `max_wait_time` is whole milliseconds; the first is its default."""

TRITON_DELAYS_US = (0, 500, 2000)
"""Triton's `max_queue_delay_microseconds`; the first is its default."""


@dataclass(frozen=True)
class Server:
    """One server with one setting; free ports stand in its command for the words of `PORTS`."""

    name: str
    setting: str
    command: tuple[str, ...]
    wait_us: int = 0
    """How long it may hold a request back to fill a batch: a lone client feels it."""
    protocol: Protocol = PLAIN
    announces: bool = False
    """Prints a ready line with its address; others are asked until they answer."""
    end_signal: signal.Signals = signal.SIGTERM
    batch_metric: str | None = None
    """A histogram of rows per batch at /metrics."""


def shoal(material: Material) -> list[Server]:
    """The server of this repository, which has no setting."""
    program = str(Path(sys.executable).with_name("shoal"))
    addresses = ("--http", "127.0.0.1:0", "--grpc", "127.0.0.1:0")
    command = (program, "serve", str(material.package), *addresses)
    return [Server("shoal", "", command, announces=True, batch_metric="shoal_batch_rows")]


def mosec(material: Material) -> list[Server]:
    """The peer mosec with each wait, its default first."""
    start = (peer_python("mosec"), str(HERE / "peers/mosec/server.py"), str(material.model))
    address = ("--address", "127.0.0.1", "--port", HTTP_PORT)
    return [
        Server(
            "mosec",
            f"max_wait_time {wait_ms} ms",
            (*start, str(wait_ms), *address),
            wait_us=wait_ms * 1000,
            batch_metric="mosec_service_batch_size",
        )
        for wait_ms in MOSEC_WAITS_MS
    ]


def pytriton(material: Material) -> list[Server]:
    """PyTriton with each delay, its default first."""
    start = (peer_python("pytriton"), str(HERE / "peers/pytriton/server.py"), str(material.model))
    return [
        Server(
            "pytriton",
            f"max_queue_delay {delay_us} us",
            (*start, *PORTS, str(delay_us)),
            wait_us=delay_us,
            protocol=OPEN_INFERENCE,
            # On SIGTERM it would leave its workspace behind.
            end_signal=signal.SIGINT,
        )
        for delay_us in TRITON_DELAYS_US
    ]


def echo(_: Material) -> list[Server]:
    """The floor: it reads the body and answers a constant."""
    command = (echo_program(), "serve", "127.0.0.1:0", ANSWER)
    return [Server("echo", "", command, announces=True)]


SERVERS = {"shoal": shoal, "mosec": mosec, "pytriton": pytriton, "echo": echo}


@contextmanager
def serving(server: Server, material: Material, *, core: int) -> Iterator[tuple[Running, str]]:
    """The server, ready, with the address where it answers; its answers have been checked.

    Raises:
        BenchmarkError: It did not start, or it answers wrongly.
    """
    ports = free_ports(len(PORTS))
    free = dict(zip(PORTS, map(str, ports), strict=True))
    command = [free.get(word, word) for word in server.command]
    log = material.directory / f"{server.name}.log"
    with tempfile.TemporaryDirectory(prefix="benchmark-") as temporary:
        # mosec and Triton keep sockets, stubs and workspaces here.
        environment = {"TMPDIR": temporary, "PYTRITON_HOME": temporary}
        program = Program(command, environment, server.end_signal, server.announces)
        with started(program, core=core, log=log) as running:
            address = _address(server, running, ports[0])
            if server.name != "echo":
                sample = material.sample
                check(address, server.protocol, material.rows[:sample], material.labels[:sample])
            yield running, address


def _address(server: Server, running: Running, port: int) -> str:
    if server.announces:
        return str(json.loads(running.first_line(READY_WITHIN_S))["http"])
    address = f"127.0.0.1:{port}"
    body = server.protocol.body([0.0] * 64).encode()
    ends_at = time.monotonic() + READY_WITHIN_S
    while time.monotonic() < ends_at and running.process.poll() is None:
        request = urllib.request.Request(f"http://{address}{server.protocol.path}", body)
        try:
            with urllib.request.urlopen(request, timeout=2):
                return address
        except OSError:
            time.sleep(POLL_S)
    raise BenchmarkError(f"{server.name} did not start; its log ends with:\n{running.last_words()}")
