"""Records that others send by HTTP: each is stored, durably, before its sender is answered.

- Whoever has got a 200 need not send again. Whoever has got no answer may, and does not know
  whether it was stored: with the header `Idempotency-Key`, it is stored once however often it is
  sent, as long as the key is among the last 10,000 and its records are not committed and removed.
- From its storing on a record is replayable: offsets are places in the log (`_segments.py`).
- Where the pipeline does not keep up and `limit_bytes` wait, senders get 503 with Retry-After.
- It speaks plain HTTP: for TLS put a proxy before it.

The requests and answers: `_http_intake.py`.
"""

from __future__ import annotations

import socket
from threading import Thread
from typing import TYPE_CHECKING, Any, cast

from shoal.errors import AddressError, InvalidRequestError, RequirementError
from shoal.source._received._http_intake import BODY_BYTES, HEALTH, Intake, Rules
from shoal.source._received._segments import LIMIT_BYTES
from shoal.source._received._stored import StoredSource

try:
    import uvicorn
except ImportError as error:
    message = f"HttpPushSource needs {error.name}, which is not installed"
    raise RequirementError(message, hint="pip install 'shoal[http]'") from error

if TYPE_CHECKING:
    import pyarrow as pa

    from shoal.source._received._segments import Segments

CONNECTIONS = 1000
BACKLOG = 1024
MOST_PORT = 0xFFFF
ENDING_SECONDS = 5


class HttpPushSource(StoredSource):
    """Listens for records."""

    def __init__(
        self,
        address: str = "127.0.0.1:0",
        *,
        columns: pa.Schema,
        path: str = "/records",
        token: str | None = None,
        limit_bytes: int = LIMIT_BYTES,
    ) -> None:
        """Takes what to listen for; nothing listens before `open`.

        Args:
            address: Host and port; port 0 for one that is free.
            columns: The columns of every record, of types that Arrow reads from JSON.
            path: Where records are sent to.
            token: What a sender must know; None where everyone may send.
            limit_bytes: How much may be stored and not yet committed.

        Raises:
            InvalidRequestError: one of them makes no sense.
        """
        super().__init__(columns, limit_bytes)
        self._host, self._port = _host_and_port(address)
        if not path.startswith("/") or path == HEALTH:
            message = f"path is {path!r}, expected one that begins with / and is not {HEALTH}"
            raise InvalidRequestError(message)
        if token == "":
            raise InvalidRequestError("token is empty, expected text or None")
        self._rules = Rules(columns, path, token, BODY_BYTES)
        self._server: uvicorn.Server | None = None
        self._thread: Thread | None = None
        self._failure: BaseException | None = None

    @property
    def address(self) -> str:
        """Host and port; after `open` the port that is listened on."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"{host}:{self._port}"

    def _begin(self, log: Segments) -> None:
        body_bytes = min(self._rules.body_bytes, log.append_bytes // 2)
        intake = Intake(log, self._rules._replace(body_bytes=body_bytes))
        listening = _listening(self._host, self._port)
        self._port = listening.getsockname()[1]
        self._server = uvicorn.Server(_settings(intake))
        self._thread = Thread(
            target=self._serve, args=(self._server, listening), name="shoal-http-push"
        )
        self._thread.start()

    def _serve(self, server: uvicorn.Server, listening: socket.socket) -> None:
        with listening:
            try:
                server.run(sockets=[listening])
            except (Exception, SystemExit) as error:  # noqa: BLE001 - told by `latest`
                self._failure = error

    def _lost(self) -> BaseException | None:
        return self._failure

    def _end(self) -> None:
        if self._server is not None and self._thread is not None:
            self._server.should_exit = True
            self._thread.join()


def _settings(intake: Intake) -> uvicorn.Config:
    return uvicorn.Config(
        cast("Any", intake),
        http="h11",
        ws="none",
        loop="asyncio",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        limit_concurrency=CONNECTIONS,
        backlog=BACKLOG,
        timeout_graceful_shutdown=ENDING_SECONDS,
    )


def _host_and_port(address: str) -> tuple[str, int]:
    host, colon, port = address.rpartition(":")
    if not colon or not host or not port.isdecimal() or int(port) > MOST_PORT:
        raise InvalidRequestError(f"address is {address!r}, expected HOST:PORT")
    return host.strip("[]"), int(port)


def _listening(host: str, port: int) -> socket.socket:
    """A socket that takes connections from now on, before anything answers them.

    Raises:
        AddressError: it cannot be had.
    """
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        listening = socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as error:
        reason = error.strerror or str(error)
        raise AddressError(f"cannot listen on {host}:{port}: {reason}") from error
    # Inherited by its connections: else each answer waits 40 ms for the other side's ACK.
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listening
