"""A proxy before replicas of a server, as a Service and a Gateway of Kubernetes stand before Pods.

- A replica gets requests while its own readiness says so: `GET /v2/health/ready`, asked every
  `CHECK_MS`, one answer decides. Replicas come and go while it runs.
- `http` shares out requests and `grpc` calls, over connections that are kept: a Gateway. `service`
  shares out connections, and knows nothing of what goes over them: a Service.
- Nothing is repaired: what was sent to a replica is never sent again, so that its client sees what
  a replica loses. Only a connection that was refused is tried once more, elsewhere.

Source: HAProxy 2.6, configuration manual: "option httpchk", "retries", "http-reuse", "track";
management guide: "set server".
"""

from __future__ import annotations

import shutil
import socket
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tests.services import SERVICES, end, free_port, listens, until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

CHECK_MS = 50
PLACES = (1, 2, 3)
DOORS = ("http", "grpc", "service")
SETTINGS = """
global
    stats socket {directory}/control mode 600 level admin
    hard-stop-after 2s
    nbthread 1
defaults
    timeout connect 2s
    timeout client 60s
    timeout server 60s
    timeout check 1s
    option redispatch 1
    retries 1
    http-reuse safe
frontend http-door
    mode http
    bind {http}
    default_backend http
frontend grpc-door
    mode http
    bind {grpc} proto h2
    default_backend grpc
frontend service-door
    mode tcp
    bind {service}
    default_backend service
backend http
    mode http
    option httpchk
    http-check send meth GET uri /v2/health/ready ver HTTP/1.1 hdr Host replica
    default-server check inter {check_ms}ms fall 1 rise 1
{http_places}
backend grpc
    mode http
{grpc_places}
backend service
    mode tcp
{service_places}
"""


class Proxy:
    """A proxy that runs, and the replicas behind it."""

    def __init__(self, haproxy: str, directory: Path) -> None:
        """Starts it, without replicas."""
        self._control = directory / "control"
        self.http, self.grpc, self.service = (f"127.0.0.1:{free_port()}" for _ in DOORS)
        places = {
            "http_places": _places("disabled"),
            "grpc_places": _places("proto h2 track http/{}"),
            "service_places": _places("track http/{}"),
        }
        doors = {"http": self.http, "grpc": self.grpc, "service": self.service}
        text = SETTINGS.format(directory=directory, check_ms=CHECK_MS, **doors, **places)
        (directory / "settings").write_text(text, "utf-8")
        command = [haproxy, "-db", "-f", str(directory / "settings")]
        with (directory / "log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        SERVICES.add(self._process.pid)
        ports = [int(address.rpartition(":")[2]) for address in doors.values()]
        until(lambda: all(map(listens, ports)), f"haproxy answers on {ports}")

    def place(self, number: int, http: str, grpc: str) -> None:
        """Puts a replica into a place, and waits until it gets requests."""
        for door, address in (("http", http), ("service", http), ("grpc", grpc)):
            host, port = address.split(":")
            self._tell(f"set server {door}/{number} addr {host} port {port}")
        self._tell(f"set server http/{number} state ready")
        until(lambda: self.is_used(number), f"replica {number} gets requests")

    def remove(self, number: int) -> None:
        """Nothing new is sent to a replica from here on, whatever it says of itself."""
        self._tell(f"set server http/{number} state maint")

    def is_used(self, number: int) -> bool:
        """Whether a replica gets requests."""
        return self._column("http", number, "status").startswith("UP")

    def sent(self, door: str, number: int) -> int:
        """Requests, or connections of `service`, that went to a place so far."""
        return int(self._column(door, number, "stot"))

    def _column(self, door: str, number: int, name: str) -> str:
        heads, *lines = self._tell("show stat").removeprefix("# ").splitlines()
        rows = [
            dict(zip(heads.split(","), line.split(","), strict=False)) for line in lines if line
        ]
        wanted = (door, str(number))
        return next(row[name] for row in rows if (row["pxname"], row["svname"]) == wanted)

    def _tell(self, command: str) -> str:
        with socket.socket(socket.AF_UNIX) as control:
            control.connect(str(self._control))
            control.sendall(f"{command}\n".encode())
            return b"".join(iter(lambda: control.recv(1 << 16), b"")).decode()

    def close(self) -> None:
        """Ends it."""
        end(self._process)


def _places(settings: str) -> str:
    lines = (f"    server {number} 127.0.0.1:1 {settings.format(number)}" for number in PLACES)
    return "\n".join(lines)


@contextmanager
def running(program: Callable[[str], str], directory: Path) -> Iterator[Proxy]:
    """A proxy without replicas."""
    # Debian puts it where only root has it on the PATH.
    proxy = Proxy(shutil.which("haproxy", path="/usr/sbin") or program("haproxy"), directory)
    try:
        yield proxy
    finally:
        proxy.close()
