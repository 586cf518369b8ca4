"""HTTP as a registry is asked by it: kept connections, retried, redirected, never loosened.

- A failure that may pass (no connection, a broken one, silence, 408, 429, 5xx) is tried again as
  `_patience` says; then it is a named error.
- A redirect is followed to where it leads, and what says who asks stays with the registry: another
  host, port or scheme does not get it. TLS is never left on the way.
- Certificates are checked against the system's.
- Answers are read up to a stated size, and bodies are taken as they are, never decompressed.
- `stop` ends what is under way in other threads: what they wait for, be it an answer, more of
  one, or the next try.

Source: RFC 9110, 15.4 (redirection); OCI distribution specification 1.1.
"""

from __future__ import annotations

import socket
import ssl
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from threading import Event, Lock
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urljoin, urlsplit
from weakref import WeakSet

import urllib3
from urllib3 import BaseHTTPResponse, HTTPConnectionPool, HTTPSConnectionPool, exceptions

from shoal.errors import RegistryError, RegistryUnavailableError
from shoal.package._registry import _failures
from shoal.package._registry._challenge import read_challenges
from shoal.package._registry._failures import PASSING_STATUSES, Passing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from shoal.package._registry._authorization import Authorization
    from shoal.package._registry._patience import Patience

T = TypeVar("T")

PIECE_BYTES = 256 * 1024
ANSWER_LIMIT_BYTES = 64 * 1024
"""What is read of an answer whose body is not what was asked for."""

_REDIRECTS_LIMIT = 5
_CONNECTIONS = 8
_UNAUTHORIZED = 401
_KEEPS_METHOD = (307, 308)
_FOR_READING = (301, 302, 303)


class Stopped(Exception):  # noqa: N818 - not an error: another thread has met one
    """What was under way was ended."""


@dataclass(frozen=True)
class Request:
    """One request.

    Attributes:
        method: What is to be done.
        url: Where: an address, or a path of the registry.
        what: What is asked, in words, for messages.
        headers: What else is said.
        body: What is sent: bytes, or what gives them in pieces, for they may be sent again; then
            the headers state their length.
    """

    method: str
    url: str
    what: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes | Callable[[], Iterator[bytes]] | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Reply:
    """A whole answer."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    url: str


class Wire:
    """The connections to one registry."""

    def __init__(
        self,
        origin: str,
        about: str,
        *,
        authorization: Authorization,
        patience: Patience,
        sleep: Callable[[float], object] | None = None,
    ) -> None:
        """Connects to nothing yet.

        Args:
            origin: `https://HOST:PORT` of the registry, or `http://...`.
            about: What messages begin with: the registry and the repository.
            authorization: Says who asks.
            patience: How long to wait for what.
            sleep: Waits for so many seconds; by default until `stop` as well.
        """
        self._origin = _origin(origin)
        self._about = about
        self._authorization = authorization
        self.patience = patience
        self._stopped = Event()
        self._sleep = sleep or self._stopped.wait
        self._lock = Lock()
        self._sockets: WeakSet[socket.socket] = WeakSet()
        is_plain = self._origin.startswith("http://")
        self._pool = urllib3.PoolManager(
            num_pools=_CONNECTIONS,
            maxsize=_CONNECTIONS,
            # Reading the system's certificates takes a while; in plain HTTP there is rarely a need.
            ssl_context=None if is_plain else ssl.create_default_context(),
            retries=False,
            timeout=urllib3.Timeout(connect=patience.connect_seconds, read=patience.read_seconds),
            headers={"User-Agent": "shoal", "Accept-Encoding": "identity"},
        )
        self._pool.pool_classes_by_scheme = {
            "http": _noting(HTTPConnectionPool, self._note),
            "https": _noting(HTTPSConnectionPool, self._note),
        }

    def close(self) -> None:
        """Closes the connections."""
        self._pool.clear()

    def stop(self) -> None:
        """Ends what other threads are doing here; they raise `Stopped`."""
        self._stopped.set()
        with self._lock:
            for each in self._sockets:
                with suppress(OSError):  # it has ended by itself
                    each.shutdown(socket.SHUT_RDWR)

    def ask(self, request: Request, *, limit_bytes: int = ANSWER_LIMIT_BYTES) -> Reply:
        """The answer to a request, whole.

        Raises:
            RegistryUnavailableError: there is none.
            RegistryError: it is larger than the limit.
        """

        def once() -> Reply:
            with self.stream(request) as response:
                return self.whole(request, response, limit_bytes)

        return self.persist(once)

    @contextmanager
    def stream(self, request: Request) -> Iterator[BaseHTTPResponse]:
        """The answer to a request, its body unread; asked for once.

        Raises:
            Passing: there is none now, or the body breaks off during the block.
        """
        with self._named(request):
            response = self._authorised(request)
            try:
                self._check_passing(request, response)
                yield response
            finally:
                response.close()  # returned before, where the whole body was read

    def whole(
        self, request: Request, response: BaseHTTPResponse, limit_bytes: int = ANSWER_LIMIT_BYTES
    ) -> Reply:
        """The rest of an answer.

        Raises:
            RegistryError: it is larger than the limit.
        """
        body = self._body(response, limit_bytes)
        if len(body) > limit_bytes:
            message = f"{self._asked(request)}: the answer has more than {limit_bytes} bytes"
            raise RegistryError(message)
        return Reply(response.status, response.headers, body, response.url or "")

    def persist(self, once: Callable[[], T]) -> T:
        """Tries until it is done, or patience ends.

        Raises:
            RegistryUnavailableError: patience ended.
        """
        failures = 0
        while True:
            try:
                return once()
            except Passing as passing:
                failures += 1
                self.pause(failures, passing)

    def pause(self, failures: int, passing: Passing) -> None:
        """Waits after a failure.

        Raises:
            RegistryUnavailableError: it is the last one; or what else the failure is.
        """
        wait_seconds = self.patience.wait_seconds(failures, passing.retry_after)
        if wait_seconds is None:
            raise passing.error from passing
        self._sleep(wait_seconds)
        self.check()

    def check(self) -> None:
        """Goes on.

        Raises:
            Stopped: it is not to.
        """
        if self._stopped.is_set():
            raise Stopped

    def refusal(self, request: Request, reply: Reply) -> RegistryError:
        """The error for an answer that is not what was hoped for."""
        # Whoever answered: users sign in with the registry, under the name that they know.
        registry = self._about.partition("/")[0]
        return _failures.refusal(self._asked(request), registry, reply.status, reply.body)

    def led(self, request: Request, url: str, place: str) -> str:
        """Where a registry leads from an address.

        Raises:
            RegistryError: that is no address.
        """
        try:
            found = urljoin(url, place)
            _origin(found)
        except ValueError:
            # Without the cause: it may show a part of the address, which may hold a signature.
            message = f"{self._asked(request)}: the registry leads to what is no address"
            raise RegistryError(message) from None
        return found

    def _note(self, connected: socket.socket) -> None:
        with self._lock:
            self._sockets.add(connected)
        self.check()

    def _asked(self, request: Request) -> str:
        return f"{self._about}: {request.what}"

    @contextmanager
    def _named(self, request: Request) -> Iterator[None]:
        """What breaks during the block is named."""
        try:
            yield
        except exceptions.HTTPError as error:
            self.check()
            host = urlsplit(self._origin).netloc
            raise _failures.silence(self._asked(request), host, error, self.patience) from error

    def _body(self, response: BaseHTTPResponse, limit_bytes: int) -> bytes:
        pieces, size_bytes = [], 0
        while size_bytes <= limit_bytes and (piece := response.read(PIECE_BYTES)):
            pieces.append(piece)
            size_bytes += len(piece)
        return b"".join(pieces)

    def _check_passing(self, request: Request, response: BaseHTTPResponse) -> None:
        if response.status in PASSING_STATUSES:
            body = self._body(response, ANSWER_LIMIT_BYTES)[:ANSWER_LIMIT_BYTES]
            asked = self._asked(request)
            raise _failures.passing(asked, response.status, response.headers, body)

    def _authorised(self, request: Request) -> BaseHTTPResponse:
        used = self._authorization.header
        response = self._followed(request, used)
        if response.status != _UNAUTHORIZED or _origin(response.url or "") != self._origin:
            return response
        challenges = read_challenges(response.headers.getlist("WWW-Authenticate"))
        try:
            renewed = self._authorization.renewed(challenges, used, self._fetch_token)
        except BaseException:
            response.close()
            raise
        if renewed is None:
            return response
        self._body(response, ANSWER_LIMIT_BYTES)
        response.close()
        return self._followed(request, renewed)

    def _fetch_token(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None
    ) -> bytes:
        """Asks the address that a registry names for a token."""
        self.led(Request(method, url, "fetching a token"), self._origin, url)
        host = urlsplit(url).netloc.rpartition("@")[2]
        request = Request(method, url, f"fetching a token from {host}", headers, body)

        def once() -> Reply:
            with self._named(request):
                response = self._sent(request, url, None)
                try:
                    self._check_passing(request, response)
                    return self.whole(request, response)
                finally:
                    response.close()

        reply = self.persist(once)
        if reply.status != 200:  # noqa: PLR2004 - as HTTP says
            raise self.refusal(request, reply)
        return reply.body

    def _followed(self, request: Request, authorization: str | None) -> BaseHTTPResponse:
        url = self.led(request, self._origin, request.url)
        for _ in range(_REDIRECTS_LIMIT):
            is_own = _origin(url) == self._origin
            response = self._sent(request, url, authorization if is_own else None)
            place = _leads_to(request, response)
            if place is None:
                return response
            self._body(response, ANSWER_LIMIT_BYTES)  # so that the connection can be kept
            response.close()
            url = self.led(request, url, place)
        raise RegistryError(f"{self._asked(request)}: more than {_REDIRECTS_LIMIT} redirects")

    def _sent(self, request: Request, url: str, authorization: str | None) -> BaseHTTPResponse:
        self._check_way(request, url)
        self.check()
        said = {} if authorization is None else {"Authorization": authorization}
        body = request.body() if callable(request.body) else request.body
        response = self._pool.urlopen(
            request.method,
            url,
            body=body,
            headers={**self._pool.headers, **request.headers, **said},
            redirect=False,
            preload_content=False,
            decode_content=False,
        )
        response.url = url  # the pool's own names a path only
        return response

    def _check_way(self, request: Request, url: str) -> None:
        """Refuses to leave TLS, and what is no HTTP."""
        parts = urlsplit(url)
        allowed = ("https", "http") if self._origin.startswith("http://") else ("https",)
        if parts.scheme not in allowed or not parts.hostname:
            said = f"{parts.scheme or 'nothing'}://{parts.hostname or ''}"
            message = f"{self._asked(request)}: it leads to {said}, which is not reached by TLS"
            raise RegistryUnavailableError(message, hint="The registry's own address is wrong.")


def _noting(
    pool: type[HTTPConnectionPool], note: Callable[[socket.socket], object]
) -> type[HTTPConnectionPool]:
    """Such a pool of connections, each of which is told of when it has come about."""
    kind: Any = pool.ConnectionCls

    def connect(connection: Any) -> None:
        kind.connect(connection)
        note(connection.sock)

    noting = type(kind.__name__, (kind,), {"connect": connect})
    return type(pool.__name__, (pool,), {"ConnectionCls": noting})


def _leads_to(request: Request, response: BaseHTTPResponse) -> str | None:
    status = response.status
    is_followed = status in _KEEPS_METHOD or (
        status in _FOR_READING and request.method in {"GET", "HEAD"}
    )
    return response.headers.get("Location") if is_followed else None


def _origin(url: str) -> str:
    """Scheme, host and port of an address, the port always named."""
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    return f"{parts.scheme}://{host}:{port}"
