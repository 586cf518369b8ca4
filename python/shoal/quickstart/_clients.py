"""Many clients in one process of their own: ask over kept-open connections, note every answer.

Run as `python -m shoal.quickstart._clients HOST:PORT CONNECTIONS REQUESTS`. On stdin: one line, a
JSON list of rows. On stdout: lines `{"answered": n}` while it works, then one line
`{"seconds": s, "answers": [[status, body, nanoseconds], ...]}` in the order of asking; request i
carries row i modulo the number of rows.

It shares its processors with the server it measures, so it is frugal: requests are encoded once
before the clock starts, answers are kept as they came and read after it has stopped, and nothing
outside the standard library is imported. Each connection has one request under way, as a
synchronous client would.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from dataclasses import dataclass, field
from typing import cast

SAY_EVERY = 250  # answers


@dataclass(frozen=True)
class Answer:
    """One HTTP answer: the status, the body as text, and how long it took."""

    status: int
    body: str
    elapsed_ns: int


@dataclass
class Work:
    """What is left to ask, and what came back; shared by all connections of the process."""

    requests: list[bytes]
    total: int
    finished: asyncio.Future[None]
    asked: int = 0
    answers: dict[int, Answer] = field(default_factory=dict)

    def take(self) -> tuple[int, bytes] | None:
        """The number and bytes of the next request, or None when all have been asked."""
        if self.asked == self.total:
            return None
        number = self.asked
        self.asked += 1
        return number, self.requests[number % len(self.requests)]

    def note(self, number: int, answer: Answer) -> None:
        """Keep one answer; the last one ends the run."""
        self.answers[number] = answer
        answered = len(self.answers)
        if answered % SAY_EVERY == 0 or answered == self.total:
            say({"answered": answered})
        if answered == self.total:
            self.finished.set_result(None)

    def broke(self, error: Exception | None) -> None:
        """A connection is lost; with work left that ends the run, whose figures would be wrong."""
        if not self.finished.done():
            lost = ConnectionError(f"the server closed a connection while it was asked: {error}")
            self.finished.set_exception(lost)


class Connection(asyncio.Protocol):
    """One kept-open connection: sends the next request as soon as an answer is whole."""

    def __init__(self, work: Work) -> None:
        self._work = work
        self._received = b""
        self._number = 0
        self._started_ns = 0
        self._transport = asyncio.Transport()  # until there is a connection

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Wait for the others, so that the clock measures all connections asking at once."""
        self._transport = cast("asyncio.Transport", transport)

    def ask(self) -> None:
        """Send the next request, if one is left."""
        question = self._work.take()
        if question is None:
            return  # stays open: the others may still be asking
        self._number, request = question
        self._started_ns = time.perf_counter_ns()
        self._transport.write(request)

    def close(self) -> None:
        """End the connection at once."""
        self._transport.abort()

    def data_received(self, data: bytes) -> None:
        """Collect bytes until the answer is whole."""
        self._received += data
        whole = parse(self._received)
        if whole is not None:
            self._received = b""
            elapsed_ns = time.perf_counter_ns() - self._started_ns
            self._work.note(self._number, Answer(*whole, elapsed_ns))
            self.ask()

    def connection_lost(self, error: Exception | None) -> None:
        """Tell the run."""
        self._work.broke(error)


def parse(received: bytes) -> tuple[int, str] | None:
    """Status and body of an HTTP/1.1 answer with a content-length; None while bytes are missing."""
    head, separator, body = received.partition(b"\r\n\r\n")
    if not separator:
        return None
    _, _, length = head.lower().partition(b"content-length:")
    if len(body) < int(length.partition(b"\r\n")[0]):
        return None
    return int(head[9:12]), body.decode()


def encode(row: list[float], host: str) -> bytes:
    """The bytes of one `POST /predict` for one row."""
    body = json.dumps({"features": row}).encode()
    head = (
        f"POST /predict HTTP/1.1\r\nhost: {host}\r\n"
        f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def say(line: object) -> None:
    """One line of JSON to whoever started this process."""
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


async def ask(
    address: str, rows: list[list[float]], *, connections: int, total: int
) -> tuple[float, list[Answer]]:
    """Ask `total` times: the seconds it took, and the answers in the order of asking."""
    loop = asyncio.get_running_loop()
    host, _, port = address.rpartition(":")
    work = Work([encode(row, address) for row in rows], total, loop.create_future())
    opened = []
    try:
        for _ in range(connections):
            _, made = await loop.create_connection(lambda: Connection(work), host, int(port))
            opened.append(made)
        started = time.perf_counter()
        for connection in opened:
            connection.ask()
        await work.finished
        seconds = time.perf_counter() - started
    finally:
        for connection in opened:
            connection.close()
        await asyncio.sleep(0)  # lets the loop close what was aborted
    return seconds, [work.answers[number] for number in range(total)]


def main() -> None:
    """Read rows from stdin, ask, and write what came back to stdout."""
    address, connections, total = sys.argv[1:]
    rows = json.loads(sys.stdin.readline())
    asking = ask(address, rows, connections=int(connections), total=int(total))
    seconds, answers = asyncio.run(asking)
    flat = [(answer.status, answer.body, answer.elapsed_ns) for answer in answers]
    say({"seconds": seconds, "answers": flat})


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)  # whoever started this process was interrupted too, and says so
