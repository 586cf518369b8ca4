"""A way to a registry on which things go wrong; what is not told to is passed on.

    with running(registry.port) as door:
        door.on("GET", "/blobs/", cut(1000), times=1)

What was asked is in `door.asked`.
"""

from __future__ import annotations

import http.client
import re
import socket
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Lock, Thread
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

_HOP = {"connection", "transfer-encoding", "keep-alive", "date", "server"}


@dataclass
class Answer:
    """What the registry said."""

    status: int
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True)
class Asked:
    """What was asked for."""

    method: str
    path: str
    headers: dict[str, str]


Fault = Callable[["Way", Answer], None]


def says(status: int, body: bytes = b"", **headers: str) -> Fault:
    """Another answer than the registry's."""

    def fault(way: Way, _answer: Answer) -> None:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        way.send(Answer(status, named, body))

    return fault


def cut(after_bytes: int) -> Fault:
    """The connection ends after so many bytes of the body."""

    def fault(way: Way, answer: Answer) -> None:
        way.send_head(answer)
        way.wfile.write(answer.body[:after_bytes])
        way.hang_up()

    return fault


def lost() -> Fault:
    """The answer does not arrive."""
    return lambda way, _answer: way.hang_up()


def changed(change: Callable[[bytes], bytes]) -> Fault:
    """The body is another one; its length is stated as it is then."""

    def fault(way: Way, answer: Answer) -> None:
        answer.body = change(answer.body)
        answer.headers["Content-Length"] = str(len(answer.body))
        way.send(answer)

    return fault


def stalls(after_bytes: int, until: Event) -> Fault:
    """Nothing more is said after so many bytes of the body, until an event."""

    def fault(way: Way, answer: Answer) -> None:
        way.send_head(answer)
        way.wfile.write(answer.body[:after_bytes])
        until.wait(30)
        way.hang_up()

    return fault


def silent(until: Event) -> Fault:
    """Nothing is said at all, until an event."""

    def fault(way: Way, _answer: Answer) -> None:
        until.wait(30)
        way.hang_up()

    return fault


@dataclass
class _Rule:
    method: str
    path: re.Pattern[str]
    fault: Fault
    left: int | None


@dataclass
class Door:
    """What goes wrong, and what was asked."""

    port: int = 0
    asked: list[Asked] = field(default_factory=list)
    _rules: list[_Rule] = field(default_factory=list)
    _uploads: list[tuple[int, bool]] = field(default_factory=list)
    _lock: Lock = field(default_factory=Lock)

    @property
    def host(self) -> str:
        """Where it listens."""
        return f"127.0.0.1:{self.port}"

    def on(self, method: str, path: str, fault: Fault, times: int | None = None) -> None:
        """From now on this goes wrong: so many times, or always."""
        self._rules.append(_Rule(method, re.compile(path), fault, times))

    def cut_upload(self, after_bytes: int, *, is_kept: bool = False) -> None:
        """The next upload ends after so many bytes; the registry may keep those."""
        self._uploads.append((after_bytes, is_kept))

    def of(self, method: str, path: str = "") -> list[Asked]:
        """What was asked so."""
        return [each for each in self.asked if each.method == method and path in each.path]

    def fault(self, method: str, path: str) -> Fault | None:
        """What goes wrong with a request."""
        with self._lock:
            for rule in self._rules:
                if rule.method == method and rule.path.search(path) and rule.left != 0:
                    rule.left = None if rule.left is None else rule.left - 1
                    return rule.fault
        return None

    def upload_end(self, method: str) -> tuple[int, bool] | None:
        """After how many bytes this upload ends, and whether they are kept."""
        with self._lock:
            return self._uploads.pop(0) if method == "PATCH" and self._uploads else None


class Way(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    door: Door
    registry_port: int

    def handle_one_request(self) -> None:
        try:
            super().handle_one_request()
        except OSError:
            self.close_connection = True

    def pass_on(self) -> None:
        asked = Asked(self.command, self.path, {k.lower(): v for k, v in self.headers.items()})
        with self.door._lock:
            self.door.asked.append(asked)
        answer = self._answered()
        if answer is None:
            self.hang_up()
            return
        fault = self.door.fault(self.command, self.path)
        if fault is None:
            self.send(answer)
        else:
            fault(self, answer)

    do_GET = do_HEAD = do_PUT = do_POST = do_PATCH = pass_on  # noqa: N815 - the library's names

    def _answered(self) -> Answer | None:
        """The registry's answer; None where the connection is to end."""
        length = int(self.headers.get("Content-Length") or 0)
        end, is_kept = self.door.upload_end(self.command) or (length, False)
        connection = http.client.HTTPConnection("127.0.0.1", self.registry_port, timeout=30)
        connection.connect()
        try:
            connection.putrequest(self.command, self.path, skip_host=True)
            for name, value in self.headers.items():
                is_shorter = is_kept and name.lower() == "content-length"
                connection.putheader(name, str(end) if is_shorter else value)
            connection.endheaders()
            left = end
            while left and (piece := self.rfile.read(min(left, 1 << 16))):
                connection.send(piece)
                left -= len(piece)
            if end < length and not is_kept:
                connection.sock.shutdown(socket.SHUT_WR)
                connection.sock.recv(1)  # the registry has noticed
                return None
            response = connection.getresponse()
            headers = {k: v for k, v in response.getheaders() if k.lower() not in _HOP}
            answer = Answer(response.status, headers, response.read())
            return answer if end == length else None
        finally:
            connection.close()

    def send_head(self, answer: Answer) -> None:
        """The status and the headers."""
        self.send_response_only(answer.status)
        stated = {name.lower() for name in answer.headers}
        for name, value in answer.headers.items():
            self.send_header(name, value)
        if "content-length" not in stated and self.command != "HEAD" and answer.status != 204:
            self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()

    def send(self, answer: Answer) -> None:
        """All of an answer."""
        self.send_head(answer)
        if self.command != "HEAD":
            self.wfile.write(answer.body)

    def hang_up(self) -> None:
        """Ends the connection."""
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def running(registry_port: int) -> Iterator[Door]:
    """A way to a registry, for a block."""
    door = Door()
    way = type("_Way", (Way,), {"door": door, "registry_port": registry_port})
    server = ThreadingHTTPServer(("127.0.0.1", 0), way)
    server.daemon_threads = True
    server.block_on_close = False
    door.port = server.server_address[1]
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield door
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
