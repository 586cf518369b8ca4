"""Records that are fetched by HTTP, again and again: each answer is stored before it is read.

- Every `every_seconds`, when the pipeline asks: `GET` of an array of objects, JSON lines or an
  object. An answer that is the same as before is not sent again (ETag, If-None-Match).
- Without a cursor every answer that the server sends is records, also those it sent before.
- With a cursor, a member of every record such as its number or time, the largest value so far is
  sent as the query parameter `after`, and records that are not after it are passed over: each comes
  once, if no two have the same value. Numbers and texts are compared as they are, so times must be
  texts of one form.
- What was fetched and the cursor are one group of the log (`_segments.py`): a crash between two
  answers loses and repeats nothing.
- A server that fails or is silent (5xx, 408, 425, 429, time-outs) is asked again later; meanwhile
  there is nothing new. What it refuses otherwise, or answers that is no records, is an error.

Source: RFC 9110, sections 8.8.3 (ETag), 10.2.3 (Retry-After), 13.1.2 (If-None-Match).
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import msgspec

from shoal.errors import BusyError, InputError, InvalidRequestError, RequirementError, SourceError
from shoal.source._backoff import Backoff
from shoal.source._received._http_intake import BODY_BYTES, records_in
from shoal.source._received._segments import LIMIT_BYTES, Group
from shoal.source._received._stored import StoredSource

try:
    import httpx2
except ImportError as error:
    message = f"HttpPollSource needs {error.name}, which is not installed"
    raise RequirementError(message, hint="pip install 'shoal[http]'") from error

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pyarrow as pa

    from shoal.source._contract import Offset
    from shoal.source._received._segments import Segments

NOT_MODIFIED, OK = 304, 200
PASSING = {408, 425, 429}
FAILED = 500
# A read or a write waits so long; a whole answer takes at most so long.
SILENT_SECONDS = 10.0
ANSWER_SECONDS = 60.0
FIRST_WAIT_SECONDS, MOST_WAIT_SECONDS = 0.5, 60.0
MOST_RETRY_AFTER_SECONDS = 3600

Cursor = int | float | str


class _State(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is remembered with the records of an answer."""

    after: Cursor | None = None
    etag: str | None = None


class _LaterError(Exception):
    """The server should be asked again, not before so many seconds."""

    def __init__(self, reason: str, seconds: float = 0.0) -> None:
        super().__init__(reason)
        self.seconds = seconds


class HttpPollSource(StoredSource):
    """Asks a server for records."""

    def __init__(
        self,
        url: str,
        *,
        columns: pa.Schema,
        every_seconds: float,
        cursor: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """Takes what to ask for; nothing is asked before `latest`.

        Args:
            url: An address of http or https.
            columns: The columns of every record, of types that Arrow reads from JSON.
            every_seconds: How long from one question to the next.
            cursor: The member of records whose largest value is sent back as `after`.
            headers: Those of every question, such as `{"Authorization": ...}`; shown nowhere.

        Raises:
            InvalidRequestError: one of them makes no sense.
        """
        super().__init__(columns, LIMIT_BYTES)
        self._url = _read_url(url)
        # Neither a password nor a key in the query is shown.
        self._place = f"{self._url.scheme}://{self._url.netloc.decode()}{self._url.path}"
        if every_seconds <= 0:
            raise InvalidRequestError(f"every_seconds is {every_seconds}, expected more than 0")
        self._every_seconds = every_seconds
        self._cursor = cursor
        self._headers = dict(headers or {})
        self._state = _State()
        self._clock = time.monotonic
        self._next_at = 0.0
        self._backoff = Backoff(FIRST_WAIT_SECONDS, MOST_WAIT_SECONDS)
        self._client: httpx2.Client | None = None
        self.trouble: str | None = None

    def _begin(self, log: Segments) -> None:
        noted = log.notes(1)
        self._state = msgspec.json.decode(noted[-1].note, type=_State) if noted else _State()
        self._next_at = self._clock()
        self._client = httpx2.Client(timeout=SILENT_SECONDS)

    def _end(self) -> None:
        if self._client is not None:
            self._client.close()
            self._client = None

    def _wait(self, log: Segments, start: Offset, wait_seconds: float) -> bool:
        ends_at = self._clock() + wait_seconds
        while self._client is not None:
            if self._clock() >= self._next_at:
                self._poll(log, self._client)
            is_last = ends_at <= self._next_at
            until = ends_at if is_last else self._next_at
            if log.wait_beyond(start, max(until - self._clock(), 0)) or is_last:
                break
        return log.wait_beyond(start, 0)

    def _poll(self, log: Segments, client: httpx2.Client) -> None:
        """Asks once, and stores what comes.

        Raises:
            SourceError: the server refuses, or its answer is no records.
        """
        asked_at = self._clock()
        try:
            self._ask(log, client, asked_at + ANSWER_SECONDS)
        except (_LaterError, httpx2.TransportError, httpx2.DecodingError, BusyError) as error:
            self.trouble = str(error) or type(error).__name__
            least = error.seconds if isinstance(error, _LaterError) else 0.0
            self._next_at = self._clock() + max(self._backoff.failed(), least)
        else:
            self.trouble = None
            self._backoff.succeeded()
            self._next_at = asked_at + self._every_seconds

    def _ask(self, log: Segments, client: httpx2.Client, ends_at: float) -> None:
        url, headers = self._url, dict(self._headers)
        if self._state.after is not None:
            url = url.copy_set_param("after", _text(self._state.after))
        if self._state.etag is not None:
            headers["If-None-Match"] = self._state.etag
        with client.stream("GET", url, headers=headers) as answer:
            if answer.status_code == NOT_MODIFIED:
                return
            self._check_status(answer)
            body = self._body(answer, ends_at, min(BODY_BYTES, log.append_bytes // 2))
        try:
            records = records_in(body, answer.headers.get("content-type", "").encode())
        except InputError as error:
            raise SourceError(f"the answer of {self._place} is no records: {error}") from error
        self._store(log, records, answer.headers.get("etag"))

    def _check_status(self, answer: httpx2.Response) -> None:
        status = answer.status_code
        said = f"{self._place} answers {status} {answer.reason_phrase}".strip()
        if status in PASSING or status >= FAILED:
            after = answer.headers.get("retry-after", "")
            seconds = int(after) if after.isdecimal() else 0
            raise _LaterError(said, min(seconds, MOST_RETRY_AFTER_SECONDS))
        if status != OK:
            raise SourceError(f"{said}, expected 200")

    def _body(self, answer: httpx2.Response, ends_at: float, most_bytes: int) -> bytes:
        body = bytearray()
        for piece in answer.iter_bytes():
            body += piece
            if len(body) > most_bytes:
                raise SourceError(f"the answer of {self._place} is larger than {most_bytes} bytes")
            if self._clock() > ends_at:
                raise _LaterError(f"{self._place} has not answered in {ANSWER_SECONDS:g} seconds")
        return bytes(body)

    def _store(self, log: Segments, records: list[bytes], etag: str | None) -> None:
        state = msgspec.structs.replace(self._state, etag=etag)
        if self._cursor is not None:
            after = self._state.after
            found = [(self._value(record, self._cursor), record) for record in records]
            found = [(value, record) for value, record in found if is_after(value, after)]
            records = [record for _, record in found]
            state = msgspec.structs.replace(state, after=largest(after, [v for v, _ in found]))
        log.append(Group(records, msgspec.json.encode(state)))
        self._state = state

    def _value(self, record: bytes, cursor: str) -> Cursor:
        """The cursor of a record."""
        try:
            members = msgspec.json.decode(record, type=dict[str, msgspec.Raw])
            value: Cursor = msgspec.json.decode(members[cursor], type=Cursor)
        except (KeyError, msgspec.DecodeError) as error:
            message = f"a record of {self._place} has no number or text in {cursor!r}"
            raise SourceError(message) from error
        return value


def is_after(value: Any, other: Any) -> bool:
    """Whether a cursor is after another; all are after none.

    Raises:
        SourceError: one is a number, the other a text.
    """
    if other is None:
        return True
    if isinstance(value, str) != isinstance(other, str):
        raise SourceError(f"the cursors {value!r} and {other!r} cannot be compared")
    return bool(value > other)


def largest(after: Cursor | None, values: list[Cursor]) -> Cursor | None:
    """The last of the cursors."""
    for value in values:
        after = value if is_after(value, after) else after
    return after


def _text(after: Cursor) -> str:
    return after if isinstance(after, str) else msgspec.json.encode(after).decode()


def _read_url(text: str) -> httpx2.URL:
    message = "url is none of http or https"
    try:
        url = httpx2.URL(text)
    except httpx2.InvalidURL:
        # The error repeats the text, in which a password may stand.
        raise InvalidRequestError(message) from None
    if url.scheme not in {"http", "https"} or not url.host:
        raise InvalidRequestError(message)
    return url
