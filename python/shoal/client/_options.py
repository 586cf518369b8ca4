"""What a client may be told, and what it is made of then; the same for both clients."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Literal, TypedDict

from shoal.client._dispatch import Dispatcher
from shoal.client._gather import Gathering
from shoal.client._prepare import Preparation, limit_s
from shoal.client._retry import NEVER, Retry
from shoal.client._run import Runner
from shoal.client._transport import Server, Transport, read_server
from shoal.client._wire._json_envelopes import LARGE_VALUES, JsonEncoding
from shoal.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from shoal.client._wire._encoding import Encoding

ENCODINGS = ("auto", "json", "arrow", "protobuf")
TIMEOUT_S = 60.0


class ClientOptions(TypedDict, total=False):
    """What a client may be told.

    Keys:
        api_key: Sent with each request, where the server asks for one.
        ca: Who may vouch for the server over TLS: a file of certificates, or its content as bytes.
            Without it, whom the system trusts.
        certificate: By which a server that asks for one knows this client: a file in PEM.
        certificate_key: Its key: a file in PEM, without a password.
        headers: Sent with each request, such as those of a gateway or of traces; over gRPC they are
            metadata.
        timeout_s: How long a task may take, retries included; None is no limit. 60 without it.
        encoding: `auto` is JSON, and Arrow for tables of 4,096 values and more, over HTTP, and
            protobuf over gRPC; `json`, `arrow` and `protobuf` are always that.
        gather: False sends each call of `predict` by itself; a `Gathering` sets other limits.
        retry: What is sent again, and when; None is nothing.
    """

    api_key: str | None
    ca: str | bytes | None
    certificate: str | None
    certificate_key: str | None
    headers: Mapping[str, str] | None
    timeout_s: float | None
    encoding: Literal["auto", "json", "arrow", "protobuf"]
    gather: bool | Gathering
    retry: Retry | None


class Parts:
    """What a client is made of.

    Attributes:
        server: Where the server is.
        preparation: Encodes tasks, in the caller's thread.

    Args:
        address: Such as `http://127.0.0.1:8000`.
        options: What the client was told.

    Raises:
        ConfigurationError: The address or an option is none.
    """

    def __init__(self, address: str, options: ClientOptions) -> None:
        unknown = options.keys() - ClientOptions.__annotations__.keys()
        if unknown:
            raise ConfigurationError(
                f"there is no option {min(unknown)!r}",
                hint=f"the options are: {', '.join(ClientOptions.__annotations__)}",
            )
        self.server = read_server(
            address,
            ca=options.get("ca"),
            api_key=options.get("api_key"),
            headers=options.get("headers"),
            identity=_identity(options),
        )
        self._encoding = _encoding(self.server, options.get("encoding", "auto"))
        gather = options.get("gather", True)
        self._gathering = (
            gather if isinstance(gather, Gathering) else Gathering() if gather else None
        )
        self._retry = options.get("retry", Retry()) or NEVER
        timeout_s = options.get("timeout_s", TIMEOUT_S)
        if timeout_s is not None and not timeout_s > 0:
            raise ConfigurationError(f"timeout_s is {timeout_s}, expected more than 0, or None")
        self.preparation = Preparation(self._encoding, limit_s(timeout_s))
        self._open: tuple[Dispatcher, Runner] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def connected(self) -> tuple[Dispatcher, Runner]:
        """Gives what belongs to the running event loop; another loop gets its own.

        No connection is made before something is sent.
        """
        loop = asyncio.get_running_loop()
        if self._open is None or self._loop is not loop:
            transport = _transport(self.server, self._encoding)
            dispatcher = Dispatcher(transport, self._gathering, self._retry)
            self._open, self._loop = (dispatcher, Runner(transport, self._retry)), loop
        return self._open

    async def disconnect(self) -> None:
        """Ends what is under way, and the connections."""
        opened, self._open = self._open, None
        if opened is not None:
            await opened[0].close()


def _identity(options: ClientOptions) -> tuple[str, str] | None:
    certificate, key = options.get("certificate"), options.get("certificate_key")
    if certificate is not None and key is not None:
        return certificate, key
    if certificate is None and key is None:
        return None
    raise ConfigurationError(
        "a certificate without its key, or a key without a certificate, is given"
    )


def _encoding(server: Server, name: str) -> Encoding:
    is_grpc = server.scheme.startswith("grpc")
    if name not in ENCODINGS or (is_grpc and name == "json"):
        raise ConfigurationError(
            f"the encoding {name!r} is none of {server.scheme}",
            hint=f"the encodings are: {', '.join(ENCODINGS)}; gRPC knows no JSON",
        )
    if is_grpc or name == "protobuf":
        from shoal.client._wire._protobuf_envelopes import ProtobufEncoding

        return ProtobufEncoding(arrow_from=0 if name == "arrow" else None)
    arrow_from = {"auto": LARGE_VALUES, "json": None, "arrow": 0}[name]
    return JsonEncoding(arrow_from)


def _transport(server: Server, encoding: Encoding) -> Transport:
    if server.scheme.startswith("grpc"):
        from shoal.client._grpc import GrpcTransport

        return GrpcTransport(server, encoding)
    from shoal.client._http import HttpTransport

    return HttpTransport(server, encoding)
