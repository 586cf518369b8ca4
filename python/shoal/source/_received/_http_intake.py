"""The HTTP side of `HttpPushSource`: an ASGI application that stores records and says so.

- `POST PATH`: one JSON object, an array of objects, or JSON lines (`application/x-ndjson`). All of
  a request are stored, durably, before `200 {"accepted": n}`; else none is.
- `GET /healthz`: 200 while it runs.
- 400 what is no JSON or does not fit the columns, naming the first such record; 401 without the
  token; 404, 405; 408 a body that does not come; 413 one that is too large; 503 with Retry-After
  where there is no room. Errors are JSON as everywhere in Shoal: `error`, `code`, `hint`.
- What is held in memory for all requests together is bounded: above it, 503.

Source: RFC 9110 (HTTP), RFC 6750 (Bearer), ASGI 3.0 "HTTP & WebSocket"; draft-ietf-httpapi-
idempotency-key-header for `Idempotency-Key`.
"""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Awaitable, Callable, MutableMapping
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

import msgspec

from shoal.errors import (
    BodyTooLargeError,
    BusyError,
    DeadlineError,
    DtypeError,
    InvalidRequestError,
    MalformedJsonError,
    MethodError,
    ShoalError,
    UnauthorizedError,
    UnknownRouteError,
)
from shoal.source import _text
from shoal.source._json_lines import LINES
from shoal.source._received._group_commit import GroupCommit, key
from shoal.source._received._segments import Group
from shoal.source._received._stored import fitting

if TYPE_CHECKING:
    import pyarrow as pa

    from shoal.source._received._segments import Segments

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Header = tuple[bytes, bytes]

HEALTH = "/healthz"
BODY_BYTES = 8 << 20
HELD_BYTES = 64 << 20
BODY_SECONDS = 30.0
RETRY_AFTER_SECONDS = 1
KEY_CHARACTERS = 255
LINES_TYPES = (b"application/x-ndjson", b"application/jsonl", b"application/json-lines")

# Those that are not here are the server's fault: 500.
STATUSES: dict[type[ShoalError], int] = {
    MalformedJsonError: 400,
    InvalidRequestError: 400,
    DtypeError: 400,
    UnauthorizedError: 401,
    UnknownRouteError: 404,
    MethodError: 405,
    DeadlineError: 408,
    BodyTooLargeError: 413,
    BusyError: 503,
}


class Rules(NamedTuple):
    """What is taken.

    Attributes:
        columns: The columns of every record.
        path: Where records are sent to.
        token: What a sender must know; None for nothing.
        body_bytes: How large a body may be.
    """

    columns: pa.Schema
    path: str
    token: str | None
    body_bytes: int


class Intake:
    """The application."""

    def __init__(self, log: Segments, rules: Rules) -> None:
        """Takes where to store, and what is taken."""
        self._commit = GroupCommit(log)
        self._rules = rules
        self._held_bytes = 0

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answers one request."""
        if scope["type"] != "http":
            return
        headers: dict[bytes, bytes] = dict(scope["headers"])
        try:
            answer = await self._answer(scope, headers, receive)
        except ShoalError as error:
            await _send(send, STATUSES.get(type(error), 500), error.body(), _advice(scope, error))
        else:
            await _send(send, 200, answer, [])

    async def _answer(
        self, scope: Message, headers: dict[bytes, bytes], receive: Receive
    ) -> dict[str, Any]:
        _check_route(scope["method"], scope["path"], self._rules.path)
        if scope["path"] == HEALTH:
            return {"status": "ok"}
        self._check_token(headers.get(b"authorization", b""))
        name = _key_of(headers)
        body = _Body(self, headers, receive)
        try:
            kind = headers.get(b"content-type", b"")
            # In a thread, so that a large body keeps no other waiting.
            records = await asyncio.to_thread(self._records, await body.read(), kind)
            accepted = await self._commit.store(Group(records, name))
        finally:
            self._held_bytes -= body.size_bytes
        return {"accepted": accepted}

    def _records(self, body: bytes, content_type: bytes) -> list[bytes]:
        records = records_in(body, content_type)
        check_fit(records, self._rules.columns)
        return records

    def hold(self, size_bytes: int) -> None:
        """Counts what is held in memory.

        Raises:
            BusyError: it is too much.
        """
        if self._held_bytes + size_bytes > HELD_BYTES:
            raise BusyError("too many bodies are on their way", hint="Send it again later.")
        self._held_bytes += size_bytes

    @property
    def body_bytes(self) -> int:
        """How large a body may be."""
        return self._rules.body_bytes

    def _check_token(self, said: bytes) -> None:
        if self._rules.token is None:
            return
        scheme, _, token = said.partition(b" ")
        is_known = hmac.compare_digest(token.strip(), self._rules.token.encode())
        if not is_known or scheme.lower() != b"bearer":
            raise UnauthorizedError(
                "the request brings no token, or another one",
                hint="Send it in the header `Authorization: Bearer TOKEN`.",
            )


class _Body:
    """The body of one request."""

    def __init__(self, intake: Intake, headers: dict[bytes, bytes], receive: Receive) -> None:
        self._intake = intake
        self._receive = receive
        self._headers = headers
        self.size_bytes = 0

    async def read(self) -> bytes:
        """The whole body.

        Raises:
            BodyTooLargeError: it is larger than it may be.
            BusyError: too much is held already.
            DeadlineError: it does not come.
            InvalidRequestError: it is packed, or its sender is gone.
        """
        encoding = self._headers.get(b"content-encoding", b"identity").decode("latin-1")
        if encoding != "identity":
            raise InvalidRequestError(f"the body is {encoding}, expected one that is not packed")
        stated = self._headers.get(b"content-length", b"")
        if stated.isdigit() and int(stated) > self._intake.body_bytes:
            self._refuse_size()
        try:
            async with asyncio.timeout(BODY_SECONDS):
                return await self._read()
        except TimeoutError:
            message = f"the body did not come within {BODY_SECONDS:g} seconds"
            raise DeadlineError(message) from None

    async def _read(self) -> bytes:
        pieces: list[bytes] = []
        while True:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise InvalidRequestError("the sender is gone")
            piece: bytes = message.get("body", b"")
            self._intake.hold(len(piece))
            self.size_bytes += len(piece)
            if self.size_bytes > self._intake.body_bytes:
                self._refuse_size()
            pieces.append(piece)
            if not message.get("more_body", False):
                return b"".join(pieces)

    def _refuse_size(self) -> NoReturn:
        most = self._intake.body_bytes
        hint = "Send fewer records at a time."
        raise BodyTooLargeError(f"the body is larger than {most} bytes", hint=hint)


def records_in(body: bytes, content_type: bytes) -> list[bytes]:
    """The records of a body, as JSON each.

    Raises:
        MalformedJsonError: it is no JSON.
        InvalidRequestError: it is JSON, but neither an object nor a list of them.
    """
    try:
        body.decode()
        if content_type.partition(b";")[0].strip().lower() in LINES_TYPES:
            found = [_json(line) for line in body.split(b"\n") if line.strip()]
        elif body.lstrip().startswith(b"["):
            found = [bytes(each) for each in msgspec.json.decode(body, type=list[msgspec.Raw])]
        else:
            found = [_json(body)]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise MalformedJsonError(f"the body is no JSON: {error}") from error
    for number, record in enumerate(found):
        if not record.lstrip().startswith(b"{"):
            raise InvalidRequestError(f"record {number} is no JSON object")
    return found


def check_fit(records: list[bytes], columns: pa.Schema) -> None:
    """Whether all records fit the columns.

    Raises:
        DtypeError: naming the first that does not.
    """
    block = b"\n".join([*(record.replace(b"\n", b" ") for record in records), b""])

    def refuse(start: int, _record: bytes, message: str) -> NoReturn:
        number = block.count(b"\n", 0, start)
        said = message.replace(" in row 0", "")
        raise DtypeError(f"record {number} does not fit the columns: {said}")

    for _ in _text.decoded(block, LINES, lambda lines: fitting(lines, columns), refuse):
        pass


def _json(text: bytes) -> bytes:
    return bytes(msgspec.json.decode(text, type=msgspec.Raw))


def _key_of(headers: dict[bytes, bytes]) -> bytes:
    """The key of a request as a note; nothing where it has none."""
    said = headers.get(b"idempotency-key")
    if said is None:
        return b""
    text = said.decode("latin-1").strip()
    if not 0 < len(text) <= KEY_CHARACTERS:
        message = f"Idempotency-Key has {len(text)} characters, expected 1 to {KEY_CHARACTERS}"
        raise InvalidRequestError(message)
    return key(text)


def _check_route(method: str, path: str, records: str) -> None:
    """Whether there is something at a path, and takes the method.

    Raises:
        UnknownRouteError: there is nothing.
        MethodError: it takes another method.
    """
    if path not in {records, HEALTH}:
        raise UnknownRouteError(f"there is nothing at {path}", hint=f"Send records to {records}.")
    taken = "GET" if path == HEALTH else "POST"
    if method != taken:
        raise MethodError(f"{path} takes {taken}, not {method}")


def _advice(scope: Message, error: ShoalError) -> list[Header]:
    """The headers that an error must have."""
    if isinstance(error, UnauthorizedError):
        return [(b"www-authenticate", b"Bearer")]
    if isinstance(error, MethodError):
        return [(b"allow", b"GET" if scope["path"] == HEALTH else b"POST")]
    if isinstance(error, BusyError):
        return [(b"retry-after", b"%d" % RETRY_AFTER_SECONDS)]
    # What is left of the body is not read: the connection cannot go on.
    is_cut = isinstance(error, (BodyTooLargeError, DeadlineError))
    return [(b"connection", b"close")] if is_cut else []


async def _send(send: Send, status: int, answer: dict[str, Any], headers: list[Header]) -> None:
    body = msgspec.json.encode(answer)
    length = (b"content-length", b"%d" % len(body))
    content = [(b"content-type", b"application/json"), length, *headers]
    await send({"type": "http.response.start", "status": status, "headers": content})
    await send({"type": "http.response.body", "body": body})
