"""What a server answers is stored once and read as often as asked; its failures are waited out."""

from __future__ import annotations

import json
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

import pyarrow as pa
import pytest

from shoal.errors import InvalidRequestError, SourceError
from shoal.source import HttpPollSource, Limit, PlacedSource
from tests.services import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from shoal.source import Offset, Refused

COLUMNS = pa.schema({"n": pa.int64(), "text": pa.string()})
MUCH = Limit(1 << 30, 1 << 40)


class Answer(NamedTuple):
    """What the server says."""

    body: bytes
    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()


class Server:
    """Answers as it is told, and remembers what it was asked."""

    def __init__(self) -> None:
        self.answer: Answer | None = Answer(b"[]")
        self.rows: list[dict[str, Any]] | None = None
        self.asked: list[tuple[dict[str, list[str]], dict[str, str]]] = []
        handler = type("Handler", (_Handler,), {"told": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}/in"
        self._thread = Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()

    def close(self) -> None:
        """Ends it."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    told: Server

    def do_GET(self) -> None:
        query = parse_qs(urlsplit(self.path).query)
        self.told.asked.append((query, {name.lower(): text for name, text in self.headers.items()}))
        if self.told.answer is None:
            self.connection.close()
            return
        body, status, headers = self.told.answer
        if self.told.rows is not None:
            after = int(query.get("after", ["-1"])[0])
            body = json.dumps([row for row in self.told.rows if row["n"] > after][:3]).encode()
        self.send_response(status)
        for name, text in headers:
            self.send_header(name, text)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 - its name there
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    """A server of this test."""
    found = Server()
    yield found
    found.close()


class Clock:
    """A clock that stands where it is put."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@contextmanager
def polling(directory: Path, server: Server, **options: Any) -> Iterator[HttpPollSource]:
    """A source whose clock goes on by 10 seconds with every question."""
    url = options.pop("url", server.url)
    source = HttpPollSource(url, columns=COLUMNS, every_seconds=10, **options)
    source._clock = Clock()
    source.open(directory)
    try:
        yield source
    finally:
        source.close()


def asked(source: HttpPollSource, start: Offset, seconds: float = 10) -> Offset:
    """Where a range ends after some time."""
    end = source.latest(start, MUCH)
    assert isinstance(source._clock, Clock)
    source._clock.now += seconds
    return end


def numbers_in(source: HttpPollSource, start: Offset, end: Offset) -> list[int]:
    batches = [batch for split in source.splits(start, end) for batch in source.read(split)]
    return [n for batch in batches for n in batch["n"].to_pylist()]


def test_every_answer_is_records_and_a_range_stays_the_same(server: Server, tmp_path: Path) -> None:
    with polling(tmp_path, server, url=f"{server.url}?of=1") as source:
        assert isinstance(source, PlacedSource)
        start = source.initial()
        server.answer = Answer(b'[{"n": 1}, {"n": 2, "text": "a"}]')
        first = asked(source, start)
        lines = (("Content-Type", "application/x-ndjson"),)
        server.answer = Answer(b'{"n": 3}\n{"n": 4}\n', headers=lines)
        second = asked(source, first)
        assert numbers_in(source, start, first) == [1, 2]
        assert numbers_in(source, first, second) == [3, 4]
        assert [query for query, _ in server.asked] == [{"of": ["1"]}] * 2
    with polling(tmp_path, server) as source:
        assert numbers_in(source, start, second) == [1, 2, 3, 4]


def test_it_asks_once_in_its_time(server: Server, tmp_path: Path) -> None:
    server.answer = Answer(b'{"n": 1}')
    with polling(tmp_path, server) as source:
        end = asked(source, source.initial(), seconds=9.9)
        assert asked(source, end, seconds=0.1) == end
        assert len(server.asked) == 1
        assert asked(source, end) != end
        assert len(server.asked) == 2


def test_it_waits_for_its_time(server: Server, tmp_path: Path) -> None:
    source = HttpPollSource(server.url, columns=COLUMNS, every_seconds=0.05)
    source.open(tmp_path)
    start = source.initial()
    assert source.latest(start, Limit(9, 1 << 20, wait_seconds=0.2)) == start
    assert len(server.asked) >= 2
    server.answer = Answer(b'{"n": 1}')
    end = source.latest(start, Limit(9, 1 << 20, wait_seconds=60))
    assert numbers_in(source, start, end) == [1]
    source.close()


def test_an_answer_that_is_the_same_is_not_stored_again(server: Server, tmp_path: Path) -> None:
    server.answer = Answer(b'{"n": 1}', headers=(("ETag", '"a"'),))
    with polling(tmp_path, server) as source:
        end = asked(source, source.initial())
        server.answer = Answer(b"", status=304)
        assert asked(source, end) == end
    with polling(tmp_path, server) as source:
        assert asked(source, end) == end
    said = [headers.get("if-none-match") for _, headers in server.asked]
    assert said == [None, '"a"', '"a"']


def test_with_a_cursor_each_record_comes_once(server: Server, tmp_path: Path) -> None:
    server.rows = [{"n": n} for n in range(4)]
    with polling(tmp_path, server, cursor="n") as source:
        start = source.initial()
        end = start
        for _ in range(3):
            end = asked(source, end)
        assert numbers_in(source, start, end) == [0, 1, 2, 3]
        source.commit(end)
    server.rows += [{"n": 9}, {"n": 5}]
    with polling(tmp_path, server, cursor="n") as source:
        after = asked(source, end)
        assert numbers_in(source, end, after) == [9, 5]
        server.rows = None
        server.answer = Answer(b'[{"n": 9}, {"n": 8}, {"n": 10}]')
        assert numbers_in(source, after, asked(source, after)) == [10]
    queries = [query.get("after") for query, _ in server.asked]
    assert queries == [None, ["2"], ["3"], ["3"], ["9"]]


def test_times_are_cursors_too(server: Server, tmp_path: Path) -> None:
    server.answer = Answer(b'[{"n": 1, "text": "2026-01-02 03:04"}, {"n": 2, "text": "2025"}]')
    with polling(tmp_path, server, cursor="text") as source:
        end = asked(source, source.initial())
        server.answer = Answer(b"[]")
        asked(source, end)
        assert server.asked[-1][0] == {"after": ["2026-01-02 03:04"]}
        server.answer = Answer(b'[{"n": 1, "text": 5}]')
        with pytest.raises(SourceError, match="cannot be compared"):
            asked(source, end)
        server.answer = Answer(b'[{"n": 1}]')
        with pytest.raises(SourceError, match="no number or text in 'text'"):
            asked(source, end)


@pytest.mark.parametrize(
    "failure",
    [
        Answer(b"", 500),
        Answer(b"", 503),
        Answer(b"", 429),
        None,
        Answer(b"not packed at all", headers=(("Content-Encoding", "gzip"),)),
    ],
    ids=["500", "503", "429", "closed", "badly packed"],
)
def test_a_server_that_fails_is_asked_again_later(
    failure: Answer | None, server: Server, tmp_path: Path
) -> None:
    with polling(tmp_path, server) as source:
        start = source.initial()
        server.answer = failure
        assert asked(source, start, seconds=0) == start
        assert source.trouble
        assert asked(source, start, seconds=60) == start
        assert len(server.asked) == 1
        server.answer = Answer(b'{"n": 1}')
        assert numbers_in(source, start, asked(source, start)) == [1]
        assert source.trouble is None


def test_a_server_says_when_to_ask_again(server: Server, tmp_path: Path) -> None:
    with polling(tmp_path, server) as source:
        server.answer = Answer(b"", 503, (("Retry-After", "300"),))
        start = asked(source, source.initial(), seconds=299)
        asked(source, start, seconds=62)
        assert len(server.asked) == 1
        asked(source, start)
        assert len(server.asked) == 2


def test_a_server_that_is_not_there_is_asked_again_later(server: Server, tmp_path: Path) -> None:
    with polling(tmp_path, server, url=f"http://127.0.0.1:{free_port()}/in") as source:
        assert asked(source, source.initial()) == source.initial()
        assert source.trouble


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (Answer(b"", 404), "answers 404 Not Found, expected 200"),
        (Answer(b"", 401), "answers 401"),
        (Answer(b"", 302, (("Location", "/other"),)), "answers 302"),
        (Answer(b"<html>"), "is no records"),
        (Answer(b"[1]"), "is no records"),
        (Answer(b'{"text": "' + b"x" * (9 << 20) + b'"}'), "is larger than"),
    ],
)
def test_what_is_no_use_asking_again_is_an_error(
    answer: Answer, reason: str, server: Server, tmp_path: Path
) -> None:
    secrets = {"headers": {"Authorization": "sesame"}}
    url = server.url.replace("//", "//user:sesame@") + "?key=sesame"
    with polling(tmp_path, server, url=url, **secrets) as source:
        server.answer = answer
        with pytest.raises(SourceError, match=reason) as caught:
            asked(source, source.initial())
        assert "sesame" not in str(caught.value) + repr(source)
        assert server.asked[0][0] == {"key": ["sesame"]}


def test_a_record_that_does_not_fit_is_refused_alone(server: Server, tmp_path: Path) -> None:
    server.answer = Answer(b'[{"n": 1}, {"n": "2"}, {"n": 3}]')
    with polling(tmp_path, server, cursor=None) as source:
        start = source.initial()
        (split,) = source.splits(start, asked(source, start))
        refused: list[Refused] = []
        placed = list(source.read_placed(split, refused.append))
        assert [n for _, batch in placed for n in batch["n"].to_pylist()] == [1, 3]
        assert [each.record for each in refused] == ['{"n": "2"}']


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"url": "ftp://user:sesame@x/"}, "none of http or https"),
        ({"url": "http://user:sesame@x:port"}, "none of http or https"),
        ({"every_seconds": 0}, "every_seconds is 0"),
        ({"columns": pa.schema({"n": pa.duration("s")})}, "not read from JSON"),
    ],
)
def test_what_makes_no_sense_is_refused(options: dict[str, Any], reason: str) -> None:
    given = {"url": "http://x/", "columns": COLUMNS, "every_seconds": 1, **options}
    with pytest.raises(InvalidRequestError, match=reason) as caught:
        HttpPollSource(given.pop("url"), **given)
    assert "sesame" not in str(caught.value)
