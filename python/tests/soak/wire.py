"""HTTP over a bare socket: for what no client library does, such as pipeline, tear and vanish."""

from __future__ import annotations

import socket
import struct
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.end_to_end.driver import DEADLINE_S

if TYPE_CHECKING:
    from collections.abc import Mapping

_NO_LINGER = struct.pack("ii", 1, 0)


class ClosedError(Exception):
    """The server closed the connection before the first byte of an answer."""


class TornError(Exception):
    """The server closed the connection in the middle of an answer."""


@dataclass(frozen=True)
class Answer:
    """One HTTP answer."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def is_last(self) -> bool:
        """Whether the server is about to close the connection."""
        return self.headers.get("connection") == "close"


def request(
    path: str, body: bytes, *, method: str = "POST", headers: Mapping[str, str] | None = None
) -> bytes:
    """The bytes of a request; a header given as content-length is sent as it is."""
    fields = {"host": "shoal", "content-length": str(len(body)), **(headers or {})}
    lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items())]
    return "\r\n".join([*lines, "", ""]).encode() + body


class Connection:
    """A connection to the server, which answers in the order it is asked."""

    def __init__(self, address: str) -> None:
        host, port = address.split(":")
        self._socket = socket.create_connection((host, int(port)), DEADLINE_S)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._unread = b""

    def send(self, data: bytes) -> None:
        """Send all; a server that answers early, and closes, may not read it all."""
        with suppress(BrokenPipeError, ConnectionResetError):
            self._socket.sendall(data)

    def answer(self) -> Answer:
        """Read the next answer.

        Raises:
            ClosedError: there is none, and no byte of one.
            TornError: there is only a part of one.
        """
        while (end := self._unread.find(b"\r\n\r\n")) < 0:
            self._receive()
        status, *fields = self._unread[:end].decode("ascii").split("\r\n")
        pairs = (field.lower().partition(":") for field in fields)
        headers = {name: value.strip() for name, _, value in pairs}
        whole = end + 4 + int(headers.get("content-length", "0"))
        while len(self._unread) < whole:
            self._receive()
        body, self._unread = self._unread[end + 4 : whole], self._unread[whole:]
        return Answer(int(status.split()[1]), headers, body)

    def _receive(self) -> None:
        try:
            more = self._socket.recv(1 << 20)
        except ConnectionResetError:
            more = b""
        if not more:
            raise TornError(self._unread) if self._unread else ClosedError
        self._unread += more

    def is_silent(self) -> bool:
        """Whether nothing came that was not asked for."""
        self._socket.settimeout(0)
        try:
            return not self._unread and not self._socket.recv(1)
        except (BlockingIOError, ConnectionResetError):
            return not self._unread
        finally:
            self._socket.settimeout(DEADLINE_S)

    def close(self) -> None:
        """Close in peace."""
        self._socket.close()

    def vanish(self) -> None:
        """Close without a farewell: the server's next write is refused."""
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
        self._socket.close()
