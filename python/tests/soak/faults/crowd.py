"""Processes of clients (`tests.soak.faults.client`), told what to do over their standard input."""

from __future__ import annotations

import json
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from tests.end_to_end.driver import DEADLINE_S
from tests.soak.faults.ledger import Seen
from tests.soak.load import programs

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator

    from tests.end_to_end.driver import Served


class Crowd:
    """Running processes of clients."""

    def __init__(self, processes: list[subprocess.Popen[str]]) -> None:
        self._processes = processes

    def _told(self, order: object) -> list[Any]:
        for process in self._processes:
            assert process.stdin is not None
            process.stdin.write(f"{json.dumps(order)}\n")
            process.stdin.flush()
        return [json.loads(line) for line in self.lines()]

    def lines(self) -> list[str]:
        """The next line of each."""
        found = []
        for process in self._processes:
            assert process.stdout is not None
            found.append(process.stdout.readline())
        assert all(found), "a process of clients has ended"
        return found

    def capacity_per_s(self, seconds: float) -> float:
        """Answers per second of all clients together, each asking when it has its answer."""
        return float(sum(self._told({"seconds": seconds})))

    def offer(self, seconds: float, **rates_per_s: float) -> None:
        """An open loop of that many requests (`rate`), faults and rare faults per second."""
        shares = len(self._processes)
        self._told(
            {"seconds": seconds} | {name: rate / shares for name, rate in rates_per_s.items()}
        )

    def end(self) -> Seen:
        """End all, and add up what they saw."""
        total = Seen()
        for seen in self._told("end"):
            total.add(Seen.from_json(seen))
        for process in self._processes:
            assert process.wait(DEADLINE_S) == 0
        return total


@contextmanager
def crowd(served: Served, *, seed: int, processes: int = 2) -> Iterator[Crowd]:
    """Processes of clients that are ready to ask."""
    words = ("tests.soak.faults.client", served.http, served.grpc)
    with programs(*words, seed=seed, processes=processes) as started:
        clients = Crowd(started)
        assert clients.lines() == ["ready\n"] * processes
        yield clients
