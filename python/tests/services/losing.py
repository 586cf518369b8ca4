"""A way to a server that breaks at the worst moment: the question arrives, the answer does not."""

from __future__ import annotations

import socket
from threading import Event, Thread


class LosingTheAnswer:
    """Carries bytes between clients and a server, and breaks one connection, once."""

    def __init__(self, server_port: int, words: bytes) -> None:
        """Takes the words whose answer is lost."""
        self._server_port = server_port
        self._words = words
        self._loses = Event()
        self.has_lost = False
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._thread = Thread(target=self._serve)
        self._thread.start()

    def close(self) -> None:
        """Takes no more connections."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._listener.close()

    def _serve(self) -> None:
        carriers = []
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                break
            server = socket.create_connection(("127.0.0.1", self._server_port))
            pairs = ((self._ask, client, server), (self._answer, server, client))
            carriers += [Thread(target=carry, args=pair) for carry, *pair in pairs]
            for carrier in carriers[-2:]:
                carrier.start()
        for carrier in carriers:
            carrier.join()

    def _ask(self, client: socket.socket, server: socket.socket) -> None:
        with client:
            while data := _received(client):
                if self._words in data:
                    self._loses.set()
                server.sendall(data)
            _ended(server)

    def _answer(self, server: socket.socket, client: socket.socket) -> None:
        with server:
            while data := _received(server):
                if self._loses.is_set() and not self.has_lost:
                    self.has_lost = True
                    break
                client.sendall(data)
            _ended(client)


def _received(connection: socket.socket) -> bytes:
    try:
        return connection.recv(1 << 16)
    except OSError:
        return b""


def _ended(connection: socket.socket) -> None:
    """Ends a connection that another thread may be reading."""
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        return
