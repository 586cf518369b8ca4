"""Envelopes over HTTP, by aiohttp: connections are kept, a body is one write.

- An answer is read to its end, up to a limit, and its status and type decide what it is.
- Whatever goes wrong on the way is `server_unreachable`: the same envelope may be sent again, its
  tasks have keys.
- Answers are not compressed: a model server is near, and its time is worth more than the bytes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import aiohttp
import msgspec
from aiohttp import hdrs, payload
from multidict import CIMultiDict
from yarl import URL

from shoal.client._answers import with_wait
from shoal.client._lines import read_lines
from shoal.client._transport import Server, closed, trust
from shoal.client._wire._encoding import ARROW, JSON, NDJSON, PROTOBUF
from shoal.client._wire._json_answers import ErrorJson, read_arrow, read_json
from shoal.errors import AnswerError, ShoalError, UnreachableError, error_of_answer

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping

    from shoal.client._task import Merged, Result, Results
    from shoal.client._wire._encoding import Body, Encoding, Envelope

MAX_ANSWER_BYTES = 1 << 30
MAX_CONNECTIONS = 256
_OK = 200
_AWAY = frozenset({502, 503, 504})
_KEEP_S = 30.0
_LARGE_BYTES = 1 << 20
_SHOWN_CHARACTERS = 200

_error = msgspec.json.Decoder(ErrorJson)
# What differs between requests. Without Accept the answer has the type of the request.
_HEADERS = {
    (kind, accept): CIMultiDict(
        {hdrs.CONTENT_TYPE: kind} | ({hdrs.ACCEPT: accept} if accept else {})
    )
    for kind in (JSON, ARROW, PROTOBUF)
    for accept in ("", NDJSON)
}


class HttpTransport:
    """A way to a server over HTTP.

    Args:
        server: Where it is.
        encoding: In what envelopes are encoded.
    """

    def __init__(self, server: Server, encoding: Encoding) -> None:
        self.encoding = encoding
        self._server = server
        self._url = URL(f"{server.scheme}://{server.address}{server.path}/v1/tasks")
        self._session: aiohttp.ClientSession | None = None
        self._is_closed = False

    async def run(self, envelope: Envelope) -> Results:
        """Sends an envelope and gives the results; see `Transport.run`."""
        try:
            async with self._post(self.encoding.body(envelope), "") as response:
                content = await _content(response)
        except (aiohttp.ClientError, OSError) as error:
            raise self._unreachable(error) from error
        return read_answer(response.status, response.headers, content)

    async def stream(self, envelope: Envelope) -> AsyncGenerator[Result | Merged, None]:
        """Sends an envelope and gives results as they are ready; see `Transport.stream`."""
        try:
            async with self._post(self.encoding.body(envelope), NDJSON) as response:
                if response.status != _OK:
                    content = await _content(response)
                    raise read_error(response.status, response.headers, content)
                async for found in read_lines(response.content.iter_any(), MAX_ANSWER_BYTES):
                    yield found
        except (aiohttp.ClientError, OSError) as error:
            raise self._unreachable(error) from error

    async def close(self) -> None:
        """Ends its connections."""
        self._is_closed = True
        if self._session is not None:
            await self._session.close()

    def _post(self, body: Body, accept: str) -> Any:
        if self._is_closed:
            raise closed()
        session = self._session or self._connect()
        content = body.content
        data: Any = _Large(content) if len(content) > _LARGE_BYTES else content
        return session.post(self._url, data=data, headers=_HEADERS[body.content_type, accept])

    def _connect(self) -> aiohttp.ClientSession:
        """Makes the session, which belongs to the running event loop."""
        connector = aiohttp.TCPConnector(
            limit=MAX_CONNECTIONS,
            keepalive_timeout=_KEEP_S,
            ssl=trust(self._server) if self._server.is_secure else True,
        )
        timeouts = aiohttp.ClientTimeout(total=None, sock_connect=self._server.connect_timeout_s)
        headers = {hdrs.USER_AGENT: "shoal-client-python", **dict(self._server.headers)}
        if self._server.api_key is not None:
            headers[hdrs.AUTHORIZATION] = f"Bearer {self._server.api_key}"
        self._session = aiohttp.ClientSession(
            connector=connector,
            headers=headers,
            skip_auto_headers=(hdrs.ACCEPT, hdrs.ACCEPT_ENCODING),
            timeout=timeouts,
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
        )
        return self._session

    def _unreachable(self, error: Exception) -> UnreachableError:
        told = str(error) or type(error).__name__
        return UnreachableError(
            f"{self._server.scheme}://{self._server.address} does not answer: {told}",
            hint="is the server running there, and does the address name its HTTP port?",
        )


def read_answer(status: int, headers: Mapping[str, str], content: bytes) -> Results:
    """Gives the results of an answer.

    Raises:
        ShoalError: The envelope was refused.
        AnswerError: It is not what the protocol says.
    """
    if status != _OK:
        raise read_error(status, headers, content)
    kind = headers.get(hdrs.CONTENT_TYPE, "").partition(";")[0]
    if kind == JSON:
        return read_json(content)
    if kind == ARROW:
        return read_arrow(content)
    if kind == PROTOBUF:
        from shoal.client._wire._protobuf_envelopes import read_protobuf

        return read_protobuf(content)
    raise AnswerError(
        f"the answer has the content type {kind!r}, expected one of the protocol",
        hint="does the address lead to a Shoal server?",
    )


def read_error(status: int, headers: Mapping[str, str], content: bytes) -> ShoalError:
    """Gives the error of an answer other than 200; what is not ours is a proxy's page."""
    try:
        found = _error.decode(content)
        error = error_of_answer(found.code, found.error, found.hint, status=status)
        after_ms = found.retry_after_ms
    except (msgspec.MsgspecError, UnicodeDecodeError):
        shown = content[:_SHOWN_CHARACTERS].decode("utf-8", "replace")
        kind = UnreachableError if status in _AWAY else AnswerError
        error = kind(f"the answer has status {status} and is none of a Shoal server: {shown!r}")
        after_ms = None
    after = headers.get(hdrs.RETRY_AFTER, "")
    if after_ms is None and after.isascii() and after.isdigit():
        after_ms = int(after) * 1000
    return with_wait(error, after_ms)


async def _content(response: aiohttp.ClientResponse) -> bytes:
    """Reads an answer to its end.

    Raises:
        AnswerError: It is longer than the limit.
    """
    length = response.content_length
    if length is not None and length <= MAX_ANSWER_BYTES:
        return await response.read()
    found = bytearray()
    async for chunk in response.content.iter_any():
        found += chunk
        if len(found) > MAX_ANSWER_BYTES:
            raise AnswerError(f"the answer is longer than {MAX_ANSWER_BYTES} bytes")
    return bytes(found)


class _Large(payload.Payload):
    """A large body, written at once; aiohttp warns of large `bytes`."""

    _value: bytes

    def __init__(self, value: bytes) -> None:
        super().__init__(value)
        self._size = len(value)

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        """Gives it as text; aiohttp asks for that where it shows a payload."""
        return self._value.decode(encoding, errors)

    async def write(self, writer: Any) -> None:
        """Writes it."""
        await writer.write(self._value)

    async def write_with_length(self, writer: Any, content_length: int | None) -> None:
        """Writes as much of it as was announced."""
        await writer.write(self._value[:content_length])
