"""Drive a real server process: start it by the command line, ask it over HTTP, tell it to end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.client import HTTPConnection
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

DEADLINE_S = 30.0  # far above what anything here takes; only a hang meets it
POLL_S = 0.01

SHOAL = (sys.executable, "-m", "shoal.cli")


@dataclass(frozen=True)
class Reply:
    """One HTTP answer."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)

    @property
    def code(self) -> str:
        """The stable code of an error body."""
        return str(self.json()["code"])


@dataclass(frozen=True)
class Served:
    """A server process and where it listens."""

    process: subprocess.Popen[str]
    http: str
    grpc: str
    admin: str | None = None
    errors: list[str] = field(default_factory=list)  # lines of stderr, as they come

    def ask(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        """One request over a connection of its own; a body that is not bytes is sent as JSON."""
        return ask(self.http, method, path, body, headers=headers)

    def waiting_rows(self) -> int:
        """Rows that wait for the model, as the metrics of a server of one model say."""
        lines = self.ask("GET", "/metrics").body.decode().splitlines()
        return int(next(line for line in lines if line.startswith("shoal_queue_rows{")).split()[-1])

    def counted(self, sample: str) -> float:
        """A sample of the metrics by its name and labels; 0 when it is not there."""
        lines = self.ask("GET", "/metrics").body.decode().splitlines()
        found = [line for line in lines if line.startswith(f"{sample} ")]
        return float(found[0].split()[-1]) if found else 0.0

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send a signal and wait for the end: the exit code."""
        self.process.send_signal(number)
        return self.process.wait(DEADLINE_S)


def ask(
    address: str,
    method: str,
    path: str,
    body: object = None,
    *,
    headers: Mapping[str, str] | None = None,
) -> Reply:
    """One HTTP request over a connection of its own.

    A server may answer, and close, before it has read all of a body that it refuses.
    """
    connection = HTTPConnection(address, timeout=DEADLINE_S)
    payload = body if isinstance(body, bytes | None) else json.dumps(body).encode()
    try:
        connection.connect()
        with suppress(BrokenPipeError, ConnectionResetError):
            connection.request(method, path, payload, dict(headers or {}))
        response = connection.getresponse()
        named = {name.lower(): value for name, value in response.getheaders()}
        return Reply(response.status, named, response.read())
    finally:
        connection.close()


@contextmanager
def serving(*packages: Path, arguments: tuple[str, ...] = (), **settings: str) -> Iterator[Served]:
    """A server process on free ports; ended by SIGTERM, and killed if that does not end it.

    `settings` are environment variables of the process. What an earlier server learned of costs is
    not used unless a test says where it is: a test knows what its server knows.
    """
    is_said = "--profile-cache" in arguments or "XDG_CACHE_HOME" in settings
    cache = () if is_said else ("--profile-cache", "off")
    command = [
        *SHOAL,
        "serve",
        *map(str, packages),
        "--http",
        "127.0.0.1:0",
        "--grpc",
        "127.0.0.1:0",
    ]
    with subprocess.Popen(
        [*command, *cache, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | settings,
    ) as process:
        errors = _collected(process)
        try:
            yield _ready(process, errors)
            if process.poll() is None:
                process.terminate()
                assert process.wait(DEADLINE_S) == 0, "".join(errors)
        finally:
            if process.poll() is None:
                process.kill()


def _collected(process: subprocess.Popen[str]) -> list[str]:
    """Stderr, read on the side so that the server never waits for us."""
    lines: list[str] = []
    assert process.stderr is not None
    reader = threading.Thread(target=lines.extend, args=(process.stderr,), daemon=True)
    reader.start()
    return lines


def _ready(process: subprocess.Popen[str], errors: list[str]) -> Served:
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line, f"the server ended before it was ready: {''.join(errors)}"
    event = json.loads(line)
    assert event["event"] == "ready"
    admin = event.get("admin")
    return Served(process, event["http"], event["grpc"], admin, errors)


def poll(is_so: Callable[[], bool], what: str) -> None:
    """Wait until `is_so()`, and fail naming `what` when it never becomes so."""
    pause = threading.Event()
    for _ in range(int(DEADLINE_S / POLL_S)):
        if is_so():
            return
        pause.wait(POLL_S)
    message = f"never happened: {what}"
    raise AssertionError(message)


@contextmanager
def asked_meanwhile(
    ask_once: Callable[[], object], expected: object, *, threads: int = 4
) -> Iterator[None]:
    """Keep asking a good question from several threads; each answer must be the expected one."""
    done = threading.Event()

    def keep_asking() -> int:
        count = 0
        while not (done.is_set() and count):
            assert ask_once() == expected
            count += 1
        return count

    with ThreadPoolExecutor(threads) as pool:
        askers = [pool.submit(keep_asking) for _ in range(threads)]
        try:
            yield
        finally:
            done.set()
        assert all(asker.result() > 0 for asker in askers)
