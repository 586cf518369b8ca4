"""A way to a server that counts what passes, cuts connections, and loses an answer if told to."""

from __future__ import annotations

import socket
from contextlib import suppress
from threading import Lock, Thread

TASKS = b"POST /v1/tasks"
PIECE_BYTES = 1 << 16


class Relay:
    """Carries bytes between clients and the server at a port of this machine."""

    def __init__(self, server_port: int) -> None:
        self._server_port = server_port
        self._lock = Lock()
        self._pairs: dict[int, tuple[socket.socket, socket.socket]] = {}
        self._loses_next = False
        self._losing: set[int] = set()
        self.connections = 0
        self.envelopes = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._thread = Thread(target=self._accept, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Takes no more connections, and ends those that are open."""
        _ended(self._listener)
        self._listener.close()
        self.cut()

    def cut(self) -> None:
        """Closes all connections that are open."""
        with self._lock:
            pairs = list(self._pairs.values())
        for pair in pairs:
            for side in pair:
                _ended(side)

    def lose(self) -> None:
        """The next request for tasks is carried, its answer is not."""
        with self._lock:
            self._loses_next = True

    def forget(self) -> None:
        """Counts from 0 again."""
        with self._lock:
            self.connections = self.envelopes = 0

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                Thread(target=self._carry, args=(client,), daemon=True).start()

    def _carry(self, client: socket.socket) -> None:
        with client:
            try:
                server = socket.create_connection(("127.0.0.1", self._server_port))
            except OSError:
                return
            with server:
                self._carry_both(client, server)

    def _carry_both(self, client: socket.socket, server: socket.socket) -> None:
        for side in (client, server):
            side.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        key = id(client)
        with self._lock:
            self.connections += 1
            self._pairs[key] = (client, server)
        asking = Thread(target=self._ask, args=(key, client, server), daemon=True)
        asking.start()
        self._answer(key, client, server)
        asking.join()
        with self._lock:
            del self._pairs[key]
            self._losing.discard(key)

    def _ask(self, key: int, client: socket.socket, server: socket.socket) -> None:
        tail = b""
        while data := _received(client):
            tail = (tail + data)[-len(TASKS) + 1 - len(data) :]
            self._count(key, tail.count(TASKS))
            if not _sent(server, data):
                break
            tail = tail[-len(TASKS) + 1 :]
        _ended(server)

    def _count(self, key: int, envelopes: int) -> None:
        with self._lock:
            self.envelopes += envelopes
            if envelopes and self._loses_next:
                self._loses_next = False
                self._losing.add(key)

    def _answer(self, key: int, client: socket.socket, server: socket.socket) -> None:
        while data := _received(server):
            if key in self._losing or not _sent(client, data):
                break
        _ended(server)
        _ended(client)


def _received(connection: socket.socket) -> bytes:
    try:
        return connection.recv(PIECE_BYTES)
    except OSError:
        return b""


def _sent(connection: socket.socket, data: bytes) -> bool:
    try:
        connection.sendall(data)
    except OSError:
        return False
    return True


def _ended(connection: socket.socket) -> None:
    """Ends a connection that another thread may be reading."""
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
