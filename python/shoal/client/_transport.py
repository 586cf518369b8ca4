"""What carries envelopes: HTTP or gRPC. It knows bytes and connections, and nothing of calls."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol
from urllib.parse import SplitResult, urlsplit

from shoal.errors import ConfigurationError, UnreachableError

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncGenerator, Mapping

    from shoal.client._task import Merged, Result, Results
    from shoal.client._wire._encoding import Encoding, Envelope

SCHEMES = ("http", "https", "grpc", "grpcs")
# What belongs to the client, or to the connection.
_BODY = ("content-encoding", "content-length", "content-type", "transfer-encoding")
_CONNECTION = ("connection", "expect", "host", "keep-alive", "te", "trailer", "upgrade")
_OWN = ("accept", "accept-encoding", "authorization", "user-agent")
RESERVED = frozenset((*_BODY, *_CONNECTION, *_OWN))
_NAME = re.compile(r"[A-Za-z0-9_.-]+", re.ASCII)  # of both doors


@dataclass(frozen=True, slots=True)
class Server:
    """Where the server is, and how it is spoken to.

    Attributes:
        scheme: `http`, `https`, `grpc` or `grpcs`.
        address: Host and port.
        path: What stands before `/v1/tasks`, for a server behind a proxy.
        ca: A file of certificates, or its content: who may vouch for the server. None is the
            system's.
        api_key: Sent with each request. Never shown.
        headers: Sent with each request, too, names in small letters. Never shown.
        identity: Files of the certificate by which the server knows this client, and of its key.
        connect_timeout_s: How long a connection may take to come about.
    """

    scheme: str
    address: str
    path: str = ""
    ca: str | bytes | None = None
    api_key: str | None = field(default=None, repr=False)
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    identity: tuple[str, str] | None = None
    connect_timeout_s: float = 10.0

    @property
    def is_secure(self) -> bool:
        """Whether it is spoken to over TLS."""
        return self.scheme in {"https", "grpcs"}


class Transport(Protocol):
    """A way to a server; used by one event loop."""

    @property
    def encoding(self) -> Encoding:
        """In what envelopes are encoded."""

    async def run(self, envelope: Envelope) -> Results:
        """Sends an envelope and gives the results.

        Raises:
            ShoalError: The envelope was refused, the server not reached, or the answer is none.
        """

    def stream(self, envelope: Envelope) -> AsyncGenerator[Result | Merged, None]:
        """Sends an envelope and gives results as they are ready; see `run` for the errors.

        When it ends, results may be missing: the server went away.
        """

    async def close(self) -> None:
        """Ends its connections; whatever is sent later fails, see `closed`."""


def closed() -> UnreachableError:
    """Gives the error of what a client had under way when it was closed; it is not sent again."""
    error = UnreachableError("the client was closed before the answer came")
    error.retryable = False
    return error


def read_server(
    address: str,
    *,
    ca: str | bytes | None = None,
    api_key: str | None = None,
    headers: Mapping[str, str] | None = None,
    identity: tuple[str, str] | None = None,
) -> Server:
    """Reads an address such as `http://127.0.0.1:8000`; see `Server` for all else.

    Raises:
        ConfigurationError: It is none, or has a user and a password; or the key or a header is
            none; or there is an identity for a door without TLS.
    """
    parts = _address_parts(address)
    if api_key is not None and not _is_value(api_key):
        raise ConfigurationError(
            "api_key has a character that no header may have, expected printable ASCII",
            hint="a key that was read from a file may end in a line feed",
        )
    server = Server(
        parts.scheme,
        parts.netloc,
        parts.path.rstrip("/"),
        ca,
        api_key,
        tuple(_header(name, value) for name, value in (headers or {}).items()),
        identity,
    )
    if identity is not None and not server.is_secure:
        raise ConfigurationError(
            f"there is a certificate for {parts.scheme}://, which shows none",
            hint="the address begins with https:// or grpcs://",
        )
    return server


def _header(name: str, value: str) -> tuple[str, str]:
    small = name.lower()
    is_reserved = small in RESERVED or small.startswith("grpc-") or small.endswith("-bin")
    if is_reserved or not _NAME.fullmatch(name):
        raise ConfigurationError(
            f"there is a header {name!a}, expected letters, digits, '_', '.' and '-', and none "
            "that the client sets itself",
            hint="a key is given as api_key",
        )
    if not _is_value(value):
        raise ConfigurationError(f"the header {name!r} has a value other than printable ASCII")
    return small, value


def _is_value(text: object) -> bool:
    return isinstance(text, str) and text.isascii() and text.isprintable()


def _address_parts(address: str) -> SplitResult:
    try:
        parts = urlsplit(address)
        is_address = parts.scheme in SCHEMES and parts.hostname and parts.port != 0
    except ValueError:  # a bracket that is not closed, a port that is none
        is_address = False
    if not is_address:
        shown = "what was given" if "@" in address else repr(address)  # never a password
        raise ConfigurationError(
            f"{shown} is no address of a server",
            hint="it is http://HOST:PORT, https://, grpc:// or grpcs://",
        )
    if parts.username is not None or parts.query or parts.fragment:
        raise ConfigurationError(
            "the address has a user, a query or a fragment, expected scheme, host, port and path",
            hint="a key is given as api_key",
        )
    if parts.scheme.startswith("grpc") and parts.path.strip("/"):
        raise ConfigurationError(f"{address!r} has a path, which gRPC does not know")
    return parts


def trust(server: Server) -> ssl.SSLContext:
    """Gives whom a client over TLS trusts.

    Raises:
        ConfigurationError: The certificates, or the key, cannot be read.
    """
    import ssl

    try:
        if isinstance(server.ca, bytes):
            context = ssl.create_default_context(cadata=server.ca.decode("ascii"))
        else:
            context = ssl.create_default_context(cafile=server.ca)
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"the certificates of `ca` cannot be read: {error}") from error
    if server.identity is not None:
        try:
            context.load_cert_chain(*server.identity, password=_no_password)
        except (OSError, ValueError) as error:
            raise unreadable(error) from error
    return context


def unreadable(error: Exception) -> ConfigurationError:
    """Gives the error of a certificate of this client that is none."""
    return ConfigurationError(
        f"`certificate` and `certificate_key` cannot be read: {error}",
        hint="both are files in PEM, and the key has no password",
    )


def _no_password() -> str:
    """Keeps OpenSSL from asking at the terminal."""
    return ""
