"""Envelopes over gRPC, by grpcio: `shoal.v1.Tasks`, with messages that were encoded before.

Source: protocol/shoal/v1/tasks.proto; protocol/protocol.md, "Errors": metadata `shoal-code`.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shoal.client._answers import with_wait
from shoal.client._transport import closed, unreadable
from shoal.client._wire._protobuf_envelopes import (
    field,
    read_protobuf,
    read_result,
    shared_table,
    whole_task,
)
from shoal.errors import (
    AnswerError,
    BodyTooLargeError,
    ConfigurationError,
    DeadlineError,
    InternalError,
    RequirementError,
    ShoalError,
    UnauthorizedError,
    UnknownRouteError,
    UnreachableError,
    error_of_answer,
)

try:
    import grpc
    import grpc.aio
except ImportError as error:
    raise RequirementError(
        f"grpcio is not installed: {error}", hint="pip install 'shoal[grpc]'"
    ) from error

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterator

    from shoal.client._task import Merged, Result, Results
    from shoal.client._transport import Server
    from shoal.client._wire._encoding import Encoding, Envelope

MAX_ANSWER_BYTES = 1 << 30
# What a status of gRPC means where the server does not say which error it is.
_KINDS: dict[Any, type[ShoalError]] = {
    grpc.StatusCode.UNAVAILABLE: UnreachableError,
    grpc.StatusCode.DEADLINE_EXCEEDED: DeadlineError,
    grpc.StatusCode.UNAUTHENTICATED: UnauthorizedError,
    grpc.StatusCode.UNIMPLEMENTED: UnknownRouteError,
    grpc.StatusCode.RESOURCE_EXHAUSTED: BodyTooLargeError,
    grpc.StatusCode.INVALID_ARGUMENT: AnswerError,
}
_STATUSES = {
    grpc.StatusCode.INVALID_ARGUMENT: 400,
    grpc.StatusCode.NOT_FOUND: 404,
    grpc.StatusCode.UNAUTHENTICATED: 401,
    grpc.StatusCode.PERMISSION_DENIED: 403,
    grpc.StatusCode.ALREADY_EXISTS: 409,
    grpc.StatusCode.FAILED_PRECONDITION: 422,
    grpc.StatusCode.RESOURCE_EXHAUSTED: 429,
    grpc.StatusCode.UNAVAILABLE: 503,
    grpc.StatusCode.DEADLINE_EXCEEDED: 504,
}


class GrpcTransport:
    """A way to a server over gRPC.

    Args:
        server: Where it is.
        encoding: In what envelopes are encoded: messages of `shoal.v1`.
    """

    def __init__(self, server: Server, encoding: Encoding) -> None:
        self.encoding = encoding
        self._server = server
        key = server.api_key
        self._metadata = server.headers
        if key is not None:
            self._metadata += (("authorization", f"Bearer {key}"),)
        self._channel: Any = None
        self._is_closed = False
        self._run: Any = None
        self._stream: Any = None

    async def run(self, envelope: Envelope) -> Results:
        """Sends an envelope and gives the results; see `Transport.run`."""
        self._connect()
        try:
            content = await self._run(
                self.encoding.body(envelope).content, metadata=self._metadata, wait_for_ready=False
            )
        except grpc.aio.AioRpcError as error:
            raise self._error(error) from error
        except asyncio.CancelledError:
            self._check_cancelled()
            raise
        return read_protobuf(content)

    async def stream(self, envelope: Envelope) -> AsyncGenerator[Result | Merged, None]:
        """Sends an envelope and gives results as they are ready; see `Transport.stream`.

        A merge is of a whole envelope, which `Stream` does not know: then all come at once.
        """
        if envelope.merge is not None:
            answer = await self.run(envelope)
            for result in answer:
                yield result
            if answer.merged is not None:
                yield answer.merged
            return
        self._connect()
        call = self._stream(_requests(envelope), metadata=self._metadata)
        try:
            async for content in call:
                yield read_result(content)
        except grpc.aio.AioRpcError as error:
            raise self._error(error) from error
        except asyncio.CancelledError:
            self._check_cancelled()
            raise
        finally:
            call.cancel()

    async def close(self) -> None:
        """Ends its connection."""
        self._is_closed = True
        if self._channel is not None:
            await self._channel.close()

    def _connect(self) -> None:
        """Makes the channel, which belongs to the running event loop."""
        if self._is_closed:
            raise closed()
        if self._channel is not None:
            return
        options = [
            ("grpc.max_send_message_length", -1),
            ("grpc.max_receive_message_length", MAX_ANSWER_BYTES),
            ("grpc.min_reconnect_backoff_ms", 100),
            ("grpc.initial_reconnect_backoff_ms", 100),
            ("grpc.max_reconnect_backoff_ms", 1000),
            ("grpc.use_local_subchannel_pool", 1),
        ]
        address = self._server.address
        if self._server.is_secure:
            credentials = grpc.ssl_channel_credentials(
                _authorities(self._server), *_identity(self._server)
            )
            self._channel = grpc.aio.secure_channel(address, credentials, options)
        else:
            self._channel = grpc.aio.insecure_channel(address, options)
        self._run = self._channel.unary_unary("/shoal.v1.Tasks/Run")
        self._stream = self._channel.stream_stream("/shoal.v1.Tasks/Stream")

    def _check_cancelled(self) -> None:
        """Tells a call that ended with its channel from one whose task was cancelled."""
        task = asyncio.current_task()
        if self._is_closed and (task is None or not task.cancelling()):
            raise closed() from None

    def _error(self, error: grpc.aio.AioRpcError) -> ShoalError:
        """Gives the error that a server, or the way to it, means."""
        status, told = error.code(), error.details() or "nothing is said of it"
        metadata = [*(error.initial_metadata() or ()), *(error.trailing_metadata() or ())]
        code = next((value for name, value in metadata if name == "shoal-code"), None)
        if code is not None:
            found = error_of_answer(str(code), told, status=_STATUSES.get(status, 500))
            return with_wait(found, _retry_after_ms(metadata))
        kind = _KINDS.get(status, InternalError)
        return kind(f"{self._server.scheme}://{self._server.address}: {status.name}: {told}")


def _requests(envelope: Envelope) -> Iterator[bytes]:
    """Gives the messages of a stream: shared tables first."""
    for name, table in envelope.shared:
        yield field("StreamRequest", "table", shared_table(name, table))
    for due in envelope.tasks:
        yield field("StreamRequest", "task", whole_task(due))


def _retry_after_ms(metadata: list[tuple[str, Any]]) -> int | None:
    """Gives when to come again.

    Source: gRPC proposal A6, "Pushback": a number of milliseconds, which is not one to stop.
    """
    for name, value in metadata:
        if name == "grpc-retry-pushback-ms" and str(value).isdigit():
            return int(value)
    return None


def _authorities(server: Server) -> bytes | None:
    if server.ca is None or isinstance(server.ca, bytes):
        return server.ca
    try:
        return Path(server.ca).read_bytes()
    except OSError as error:
        raise ConfigurationError(f"the certificates of `ca` cannot be read: {error}") from error


def _identity(server: Server) -> tuple[bytes | None, bytes | None]:
    """Gives the key of this client, and its certificate."""
    if server.identity is None:
        return None, None
    certificate, key = server.identity
    try:
        return Path(key).read_bytes(), Path(certificate).read_bytes()
    except OSError as error:
        raise unreadable(error) from error
