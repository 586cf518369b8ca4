"""HTTP connections of an event loop: each carries one request at a time, and hears every byte."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING

from tests.soak.wire import Answer, ClosedError, TornError

if TYPE_CHECKING:
    from collections.abc import Callable

MOST_LINES = 512


class Line(asyncio.Protocol):
    """One connection. What comes when nothing was asked is reported to `stray`."""

    def __init__(self, stray: Callable[[bytes], None]) -> None:
        self._stray = stray
        self._unread = b""
        self._due: asyncio.Future[Answer] | None = None
        self._transport: asyncio.Transport | None = None
        self.is_open = True

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        if self._due is None:
            self._stray(data)
            return
        self._unread += data
        answer = self._whole()
        if answer is not None:
            due, self._due = self._due, None
            self.is_open = self.is_open and not answer.is_last
            if not due.done():
                due.set_result(answer)

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_open = False
        if self._due is not None and not self._due.done():
            self._due.set_exception(TornError(self._unread) if self._unread else ClosedError())

    async def ask(self, data: bytes) -> Answer:
        """Send a request and wait for its answer.

        Raises:
            ClosedError: the server closed the connection instead.
            TornError: it did so in the middle of the answer.
        """
        assert self._transport is not None
        assert self._due is None
        self._due = asyncio.get_running_loop().create_future()
        self._transport.write(data)
        return await self._due

    def send(self, data: bytes) -> None:
        """Send something that is no whole request."""
        assert self._transport is not None
        self._transport.write(data)

    def close(self) -> None:
        """Close in peace."""
        assert self._transport is not None
        self._transport.close()

    def vanish(self) -> None:
        """Close without a farewell, and without sending what waits."""
        assert self._transport is not None
        self._transport.abort()

    def _whole(self) -> Answer | None:
        """The answer, once all of it is here; nothing may stand behind it."""
        end = self._unread.find(b"\r\n\r\n")
        if end < 0:
            return None
        status, *fields = self._unread[:end].decode("ascii").split("\r\n")
        pairs = (field.lower().partition(":") for field in fields)
        headers = {name: value.strip() for name, _, value in pairs}
        whole = end + 4 + int(headers.get("content-length", "0"))
        if len(self._unread) < whole:
            return None
        body, behind = self._unread[end + 4 : whole], self._unread[whole:]
        self._unread = b""
        if behind:
            self._stray(behind)
        return Answer(int(status.split()[1]), headers, body)


async def connect(address: str, stray: Callable[[bytes], None]) -> Line:
    """A new connection."""
    host, _, port = address.rpartition(":")
    loop = asyncio.get_running_loop()
    _, line = await loop.create_connection(lambda: Line(stray), host, int(port))
    return line


class Lines:
    """A pool of connections that are used in turn, so that none is idle for long."""

    def __init__(self, address: str, stray: Callable[[bytes], None]) -> None:
        self._address, self._stray = address, stray
        self._free: deque[Line] = deque()
        self._places = asyncio.Semaphore(MOST_LINES)

    async def ask(self, data: bytes) -> Answer:
        """Ask on a free connection, or on a new one; wait for one where all are in use."""
        async with self._places:
            line = self._take() or await connect(self._address, self._stray)
            answer = await line.ask(data)
            self._free.append(line)
            return answer

    def _take(self) -> Line | None:
        while self._free:
            line = self._free.popleft()
            if line.is_open:
                return line
            line.close()
        return None

    def close(self) -> None:
        """Close all that are free."""
        for line in self._free:
            line.close()
