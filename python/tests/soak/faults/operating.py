"""What happens to a server from its own side: workers killed, versions switched, memory watched.

Each is a thread that acts at random times until it is told to stop.
"""

from __future__ import annotations

import os
import signal
from collections import Counter
from contextlib import suppress
from pathlib import Path
from threading import Event, Thread
from typing import TYPE_CHECKING

from tests.soak.load import counted, resident_bytes

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

    from tests.end_to_end.driver import Served
    from tests.end_to_end.repository_driver import Kept

SWITCHES_PER_S, REFUSED_LOADS_PER_S = 0.5, 0.2
SAMPLE_S = 0.25


class Turns:
    """Does something again and again on a thread, at random times of a mean rate."""

    def __init__(self, act: Callable[[], None], next_s: Callable[[], float]) -> None:
        self._act, self._next_s = act, next_s
        self._stop = Event()
        self._error: Exception | None = None
        self._thread = Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        try:
            while not self._stop.wait(self._next_s()):
                self._act()
        except Exception as error:  # noqa: BLE001 - `end` raises it
            self._error = error

    def end(self) -> None:
        """Stop, and raise what went wrong."""
        self._stop.set()
        self._thread.join()
        if self._error is not None:
            raise self._error


class Operator:
    """Kills workers and switches the versions of `switched`; counts what was done, by kind."""

    def __init__(self, kept: Kept, random: Random) -> None:
        self._kept, self._random = kept, random
        self._steps = [("load", "2"), ("unload", "1"), ("load", "1"), ("unload", "2")]
        self._turn = 0
        self.done: Counter[str] = Counter()
        self.answered_and_forgotten = 0  # by versions of `switched` that are gone

    def start(self, *, kills_per_s: float) -> list[Turns]:
        """Begin; who calls ends each."""
        acts = (
            (self.kill_a_worker, kills_per_s),
            (self.switch, SWITCHES_PER_S),
            (self.load_what_is_not_there, REFUSED_LOADS_PER_S),
        )

        def next_s(rate: float) -> Callable[[], float]:
            return lambda: self._random.uniform(0.5, 1.5) / rate

        return [Turns(act, next_s(rate)) for act, rate in acts]

    def kill_a_worker(self) -> None:
        """SIGKILL for one child of the server."""
        server = self._kept.served.process.pid
        workers = children(server)
        if workers and is_killed(self._random.choice(workers), parent=server):
            self.done["worker_killed"] += 1

    def switch(self) -> None:
        """The next step of: load 2, unload 1, load 1, unload 2."""
        step, version = self._steps[self._turn % len(self._steps)]
        self._turn += 1
        if step == "unload":
            self.answered_and_forgotten += counted_of_version(self._kept.served, version)
        reply = getattr(self._kept, step)("switched", version)
        assert reply.status == 200, reply.body
        self.done[f"version_{step}ed"] += 1

    def load_what_is_not_there(self) -> None:
        """A version that nobody put into the repository."""
        reply = self._kept.load("switched", "9")
        assert (reply.status, reply.code) == (404, "unknown_version"), reply.body
        self.done["load_refused"] += 1


def children(process: int) -> list[int]:
    """The children of a process, by id."""
    found: list[int] = []
    for task in Path("/proc", str(process), "task").glob("*/children"):
        with suppress(FileNotFoundError, ProcessLookupError):  # a thread that ended meanwhile
            found += map(int, task.read_text("ascii").split())
    return found


def is_killed(process: int, *, parent: int) -> bool:
    """End a process if it is a child of `parent`; the handle cannot come to mean another one."""
    with suppress(FileNotFoundError, ProcessLookupError):  # it ended by itself
        handle = os.pidfd_open(process)
        try:
            stat = Path("/proc", str(process), "stat").read_text("ascii")
            if int(stat.rpartition(")")[2].split()[1]) == parent:
                signal.pidfd_send_signal(handle, signal.SIGKILL)
                return True
        finally:
            os.close(handle)
    return False


def counted_of_version(served: Served, version: str) -> int:
    """Right answers that a version of `switched` gave so far."""
    labels = f'{{model="switched",version="{version}",outcome="ok"}}'
    return int(served.counted(f"shoal_requests_total{labels}"))


class Memory:
    """Samples the memory of a server and of its workers."""

    def __init__(self, served: Served) -> None:
        self._served = served
        self.server: list[int] = []
        self.workers: list[int] = []

    def start(self) -> Turns:
        """Begin; who calls ends it."""
        return Turns(self.sample, lambda: SAMPLE_S)

    def sample(self) -> None:
        """One reading."""
        process = self._served.process.pid
        self.server.append(resident_bytes(process))
        alive = []
        for worker in children(process):
            with suppress(FileNotFoundError, ProcessLookupError):
                alive.append(resident_bytes(worker))
        self.workers.append(sum(alive))


def outcomes(served: Served) -> Counter[str]:
    """The server's own count of requests, by `MODEL OUTCOME`."""
    return Counter({f"{model} {code}": count for (model, code), count in counted(served).items()})
