"""The servers that are compared, how each is started, and the settings of each peer.

The first setting of a peer is its own default; where that default is not to batch at all, it is
so here too, and the settings after it are those its documentation describes for batching.
"""

from __future__ import annotations

import http.client
import json
import signal
import sys
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from benchmarks.serve._environments import HERE, echo_program, peer_python
from benchmarks.serve._failure import BenchmarkError
from benchmarks.serve._processes import Program, Running, free_ports, started
from benchmarks.serve._protocols import (
    ANSWER,
    BINARY,
    GRPC,
    OPEN_INFERENCE,
    PLAIN,
    TABLE,
    Form,
    Protocol,
    ask_once,
    check,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from benchmarks.serve._material import Material

READY_WITHIN_S = 90.0
POLL_S = 0.02
HTTP_PORT, GRPC_PORT, METRICS_PORT = "<http port>", "<grpc port>", "<metrics port>"
PORTS = (HTTP_PORT, GRPC_PORT, METRICS_PORT)
MOSEC_WAITS_MS = (10, 5, 2, 1)
"""mosec's `max_wait_time` is whole milliseconds; the first is its default."""

TRITON_DELAYS_US = (0, 500, 2000)
"""Triton's `max_queue_delay_microseconds`; the first is its default."""

MLSERVER_CHOICES = ((0.0, 1), (0.0, 0), (0.001, 0), (0.005, 0), (0.005, 1))
"""MLServer's `max_batch_time` in seconds (0: no batching) and `parallel_workers`."""

LITSERVE_CHOICES = ((1, 0.0), (64, 0.0), (64, 0.001), (64, 0.005))
"""LitServe's `max_batch_size` and `batch_timeout` in seconds."""

BENTOML_LATENCIES_MS = (0, 60000, 1000)
"""BentoML's `max_latency_ms`, which sheds load; 0 stands for an API that does not batch, its
default. BentoML learns its wait by itself."""

RAY_CHOICES = ((10, 0.01, 5), (64, 0.01, 256), (64, 0.002, 256), (64, 0.0, 256))
"""Ray's `max_batch_size`, `batch_wait_timeout_s` and `max_ongoing_requests`."""

SETTLED = {"RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0", "ORT_DISABLE_TELEMETRY": "1"}
"""Below `uv run`, Ray would pack up this project and build it anew for its workers. No ONNX Runtime
reports to its makers meanwhile, whoever loads it."""


@dataclass(frozen=True)
class Server:
    """One server with one setting; free ports stand in its command for the words of `PORTS`."""

    name: str
    setting: str
    command: tuple[str, ...]
    wait_us: int = 0
    """How long it may hold a request back to fill a batch: a lone client feels it."""
    protocols: tuple[Protocol, ...] = (PLAIN,)
    """At most one for each form; the first is for JSON."""
    announces: bool = False
    """Prints a ready line with its address; others are asked until they answer."""
    end_signal: signal.Signals = signal.SIGTERM
    batch_metric: str | None = None
    """A histogram of rows per batch at /metrics."""
    is_default: bool = False
    """This is the setting its makers ship."""
    warm_up_s: float = 1.0
    """Load before anything is timed."""

    @property
    def protocol(self) -> Protocol:
        """How it is asked for one row in JSON."""
        return self.protocols[0]

    def speaks(self, form: Form) -> Protocol | None:
        """Its protocol of this form, if it has one."""
        return next((each for each in self.protocols if each.form == form), None)


class Ready(NamedTuple):
    """A server that answers."""

    running: Running
    http: str
    """HOST:PORT, like the next."""
    grpc: str
    after_s: float
    """From the start of its process to its first answer."""

    def address(self, protocol: Protocol) -> str:
        """Where this protocol is spoken."""
        return self.grpc if protocol.form == "grpc" else self.http


def shoal(material: Material) -> list[Server]:
    """The server of this repository, which has no setting; it knows nothing of earlier runs."""
    program = str(Path(sys.executable).with_name("shoal"))
    addresses = ("--http", "127.0.0.1:0", "--grpc", "127.0.0.1:0")
    command = (program, "serve", str(material.package), *addresses, "--profile-cache", "off")
    return [
        Server(
            "shoal",
            "",
            command,
            protocols=(PLAIN, BINARY, GRPC),
            announces=True,
            batch_metric="shoal_batch_rows",
        )
    ]


def mosec(material: Material) -> list[Server]:
    """The peer mosec with each wait."""
    return _peer_settings(
        [
            Server(
                "mosec",
                f"max_wait_time {wait_ms} ms",
                _command("mosec", material, wait_ms, "--address", "127.0.0.1", "--port", HTTP_PORT),
                wait_us=wait_ms * 1000,
                batch_metric="mosec_service_batch_size",
            )
            for wait_ms in MOSEC_WAITS_MS
        ]
    )


def pytriton(material: Material) -> list[Server]:
    """PyTriton with each delay."""
    return _peer_settings(
        [
            Server(
                "pytriton",
                f"max_queue_delay {delay_us} us",
                _command("pytriton", material, *PORTS, delay_us),
                wait_us=delay_us,
                protocols=(OPEN_INFERENCE, BINARY, GRPC),
                # On SIGTERM it would leave its workspace behind.
                end_signal=signal.SIGINT,
            )
            for delay_us in TRITON_DELAYS_US
        ]
    )


def mlserver(material: Material) -> list[Server]:
    """MLServer with each batch time, in its own process or with a worker process.

    Its server takes no binary tensors over HTTP.
    """
    return _peer_settings(
        [
            Server(
                "mlserver",
                f"max_batch_time {wait_s * 1e3:g} ms, parallel_workers {workers}",
                _command("mlserver", material, *PORTS, wait_s, workers),
                wait_us=round(wait_s * 1e6),
                protocols=(OPEN_INFERENCE, GRPC),
            )
            for wait_s, workers in MLSERVER_CHOICES
        ]
    )


def litserve(material: Material) -> list[Server]:
    """LitServe with each batch size and timeout."""
    return _peer_settings(
        [
            Server(
                "litserve",
                f"max_batch_size {size}, batch_timeout {wait_s * 1e3:g} ms",
                _command("litserve", material, HTTP_PORT, size, wait_s),
                wait_us=round(wait_s * 1e6),
                # Its own handler of SIGTERM leaves its worker behind.
                end_signal=signal.SIGINT,
            )
            for size, wait_s in LITSERVE_CHOICES
        ]
    )


def bentoml(material: Material) -> list[Server]:
    """BentoML without batching, and with each bound of latency."""
    return _peer_settings(
        [
            Server(
                "bentoml",
                f"batchable, max_latency_ms {latency_ms}" if latency_ms else "not batchable",
                _command("bentoml", material, HTTP_PORT, latency_ms),
                protocols=(TABLE,),
            )
            for latency_ms in BENTOML_LATENCIES_MS
        ]
    )


def ray(material: Material) -> list[Server]:
    """Ray Serve with each batch size, wait and number of requests under way."""
    return _peer_settings(
        [
            Server(
                "ray",
                f"max_batch_size {size}, wait {wait_s * 1e3:g} ms, max_ongoing {ongoing}",
                _command("ray", material, HTTP_PORT, size, wait_s, ongoing),
                wait_us=round(wait_s * 1e6),
                # Its agents and its autoscaler go on starting after its first answers.
                warm_up_s=5.0,
            )
            for size, wait_s, ongoing in RAY_CHOICES
        ]
    )


def echo(_: Material) -> list[Server]:
    """The floor: it reads the body and answers a constant."""
    command = (echo_program(), "serve", "127.0.0.1:0", ANSWER)
    return [Server("echo", "", command, announces=True)]


def _command(peer: str, material: Material, *words: object) -> tuple[str, ...]:
    program = HERE / "peers" / peer / "server.py"
    return (peer_python(peer), str(program), str(material.model), *map(str, words))


def _peer_settings(settings: list[Server]) -> list[Server]:
    return [replace(settings[0], is_default=True), *settings[1:]]


SERVERS = {
    "shoal": shoal,
    "mosec": mosec,
    "pytriton": pytriton,
    "mlserver": mlserver,
    "litserve": litserve,
    "bentoml": bentoml,
    "ray": ray,
    "echo": echo,
}
PEERS = ("mosec", "pytriton", "mlserver", "litserve", "bentoml", "ray")


def with_model(server: Server, material: Material) -> Server:
    """The same server with the same setting for another model."""
    return next(each for each in SERVERS[server.name](material) if each.setting == server.setting)


@contextmanager
def serving(server: Server, material: Material, *, cores: Sequence[int]) -> Iterator[Ready]:
    """The server, ready; its answers in every form it speaks have been checked.

    Raises:
        BenchmarkError: It did not start, or it answers wrongly.
    """
    ports = free_ports(len(PORTS))
    free = dict(zip(PORTS, map(str, ports), strict=True))
    command = [free.get(word, word) for word in server.command]
    log = material.directory / f"{server.name}.log"
    with tempfile.TemporaryDirectory(prefix="benchmark-", ignore_cleanup_errors=True) as temporary:
        # mosec, Triton and Ray keep sockets, stubs and workspaces here.
        places = {"TMPDIR": temporary, "PYTRITON_HOME": temporary}
        program = Program(command, SETTLED | places, server.end_signal, server.announces)
        starts_at = time.monotonic()
        with started(program, cores=cores, log=log) as running:
            ready = _ready(server, material, running, (ports[0], ports[1]))
            ready = ready._replace(after_s=time.monotonic() - starts_at)
            if server.name != "echo":
                _check(server, material, ready)
            yield ready


def _check(server: Server, material: Material, ready: Ready) -> None:
    rows, labels = material.rows[: material.sample], material.labels[: material.sample]
    for protocol in server.protocols:
        check(ready.address(protocol), protocol, rows, labels)


def _ready(server: Server, material: Material, running: Running, ports: tuple[int, int]) -> Ready:
    """The server when it has answered its first row."""
    http_address, grpc_address = (f"127.0.0.1:{port}" for port in ports)
    if server.announces:
        said = json.loads(running.first_line(READY_WITHIN_S))
        http_address, grpc_address = str(said["http"]), str(said.get("grpc", ""))
    body = material.message(server.protocol).read_bytes()
    ends_at, seen = time.monotonic() + READY_WITHIN_S, "nothing"
    while time.monotonic() < ends_at and running.process.poll() is None:
        try:
            ask_once(http_address, server.protocol, body)
        except (OSError, http.client.HTTPException, BenchmarkError) as error:
            seen = str(error)
            time.sleep(POLL_S)
        else:
            return Ready(running, http_address, grpc_address, 0.0)
    words = f"it answered: {seen}; its log ends with:\n{running.last_words()}"
    raise BenchmarkError(f"{server.name} did not start; {words}")
