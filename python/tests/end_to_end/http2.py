"""Speak HTTP/2 as no library would: frames by hand, for clients that keep their windows shut.

Source: RFC 9113 (frames), RFC 7541 (headers, written as plain literals), gRPC over HTTP/2.
"""

from __future__ import annotations

import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from tests.end_to_end.driver import DEADLINE_S

if TYPE_CHECKING:
    from types import TracebackType

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE = 0, 1, 3, 4, 6, 7, 8
END_STREAM, ACK, END_HEADERS = 1, 1, 4
INITIAL_WINDOW_SIZE = 4
LARGEST_WINDOW = 2**31 - 1
FIRST_WINDOW = 2**16 - 1


@dataclass(frozen=True)
class Frame:
    """One frame."""

    kind: int
    flags: int
    stream: int
    payload: bytes

    def encoded(self) -> bytes:
        head = len(self.payload).to_bytes(3) + bytes([self.kind, self.flags])
        return head + self.stream.to_bytes(4) + self.payload


def literal(text: str) -> bytes:
    assert len(text) < 127  # one byte of length, no Huffman code
    return bytes([len(text)]) + text.encode()


def header_block(address: str, path: str) -> bytes:
    headers = {
        ":method": "POST",
        ":scheme": "http",
        ":path": path,
        ":authority": address,
        "content-type": "application/grpc",
        "te": "trailers",
    }
    return b"".join(b"\0" + literal(name) + literal(value) for name, value in headers.items())


class Speaker:
    """One connection; nothing is read unless a test says so."""

    def __init__(self, address: str, *, window: int, receive_bytes: int | None = None) -> None:
        """Open it with this window for each answer, and this much room in the socket."""
        host, port = address.split(":")
        self.address = address
        self.socket = socket.socket()
        self.socket.settimeout(DEADLINE_S)
        if receive_bytes is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        self.socket.connect((host, int(port)))
        chosen = INITIAL_WINDOW_SIZE.to_bytes(2) + window.to_bytes(4)
        self.socket.sendall(PREFACE + Frame(SETTINGS, 0, 0, chosen).encoded())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.socket.close()

    def ask(self, stream: int, method: str, message: bytes, *, sent: int | None = None) -> None:
        """Send one call, or only the first bytes of its message.

        A method without its service is one of inference.
        """
        path = method if "/" in method else f"/inference.GRPCInferenceService/{method}"
        whole = b"\0" + len(message).to_bytes(4) + message
        part = whole if sent is None else whole[:sent]
        head = Frame(HEADERS, END_HEADERS, stream, header_block(self.address, path))
        body = Frame(DATA, END_STREAM if part == whole else 0, stream, part)
        self.socket.sendall(head.encoded() + body.encoded())

    def widen(self, stream: int, bytes_more: int) -> None:
        """Open the window of an answer, or of the connection (0)."""
        self.socket.sendall(Frame(WINDOW_UPDATE, 0, stream, bytes_more.to_bytes(4)).encoded())

    def exactly(self, count: int) -> bytes | None:
        heard = b""
        while len(heard) < count:
            try:
                more = self.socket.recv(count - len(heard))
            except ConnectionResetError:
                return None
            if not more:
                return None
            heard += more
        return heard

    def hear(self) -> Frame | None:
        """The next frame; None when the server has hung up."""
        head = self.exactly(9)
        if head is None:
            return None
        payload = self.exactly(int.from_bytes(head[:3]))
        if payload is None:
            return None
        return Frame(head[3], head[4], int.from_bytes(head[5:9]), payload)

    def hear_until_end(self, stream: int) -> list[Frame]:
        """All frames of one stream until the server ends it."""
        frames = []
        while frame := self.hear():
            if frame.stream == stream:
                frames.append(frame)
                if frame.kind in {DATA, HEADERS} and frame.flags & END_STREAM:
                    return frames
        message = f"the server hung up before it ended stream {stream}"
        raise AssertionError(message)

    def hear_until_closed(self) -> list[Frame]:
        """All frames until the server hangs up."""
        frames = []
        while frame := self.hear():
            frames.append(frame)
        return frames
