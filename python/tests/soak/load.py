"""Processes of clients around a server, and what the operating system says of the server."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.end_to_end.driver import DEADLINE_S
from tests.soak.tally import Tally

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.end_to_end.driver import Served

TESTS = Path(__file__).parents[1]
OPEN_STATES = {"01", "08"}  # established, closed by the client only. Source: Linux, tcp_states.h


class Load:
    """Running processes of clients; `end` stops them and adds up what they saw."""

    def __init__(self, processes: list[subprocess.Popen[str]]) -> None:
        self._processes = processes

    def wait_until_begun(self) -> None:
        """Wait until every client has had an answer."""
        for process in self._processes:
            assert process.stdout is not None
            assert process.stdout.readline() == "begun\n"

    def end(self) -> Tally:
        """Tell the clients to stop, and wait until they have."""
        total = Tally()
        for process in self._processes:
            assert process.stdin is not None
            process.stdin.close()
        for process in self._processes:
            assert process.stdout is not None
            total.add(Tally.from_json(json.loads(process.stdout.read())))
            assert process.wait(DEADLINE_S) == 0
        return total


@contextmanager
def load(kind: str, served: Served, *, seed: int, processes: int = 2) -> Iterator[Load]:
    """Processes of clients of a kind (`tests.soak.clients`), all of which have had an answer."""
    words = ("tests.soak.clients", kind, served.http, served.grpc)
    with programs(*words, seed=seed, processes=processes) as started:
        running = Load(started)
        running.wait_until_begun()
        yield running


@contextmanager
def programs(
    module: str, *words: str, seed: int, processes: int
) -> Iterator[list[subprocess.Popen[str]]]:
    """Runs a module in several processes, each with a seed as its last word; ends them."""
    started = [
        subprocess.Popen(
            [sys.executable, "-m", module, *words, str(seed * processes + place)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(TESTS.parent)},
        )
        for place in range(processes)
    ]
    try:
        yield started
    finally:
        for process in started:
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                assert pipe is not None
                pipe.close()


@dataclass(frozen=True)
class Held:
    """What a process holds: open files (sockets among them) and threads."""

    files: int
    threads: int


def held_by(served: Served) -> Held:
    process = Path("/proc", str(served.process.pid))
    files, threads = (len(list((process / name).iterdir())) for name in ("fd", "task"))
    return Held(files, threads)


def connections(served: Served) -> int:
    """Connections that are open at the server's end, to the operating system at least."""
    ports = {int(address.rpartition(":")[2]) for address in (served.http, served.grpc)}
    rows = [line.split() for line in Path("/proc/net/tcp").read_text("ascii").splitlines()[1:]]
    local = [(int(row[1].rpartition(":")[2], 16), row[3]) for row in rows]
    return sum(port in ports and state in OPEN_STATES for port, state in local)


def resident_bytes(process: int) -> int:
    """Memory of a process that lies in RAM."""
    pages = Path("/proc", str(process), "statm").read_text("ascii").split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


def counted(served: Served) -> dict[tuple[str, str], int]:
    """The server's own count of requests, by (model, outcome)."""
    found = {}
    for line in served.ask("GET", "/metrics").body.decode().splitlines():
        if line.startswith("shoal_requests_total{"):
            labels, _, count = line.partition("{")[2].rpartition("} ")
            named = dict(label.split("=") for label in labels.replace('"', "").split(","))
            found[named["model"], named["outcome"]] = int(count)
    return found
