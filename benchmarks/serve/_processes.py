"""Starts programs pinned to one core, and ends each of them by its id with all it started.

A program that does not end when asked is killed after `END_WITHIN_S`; nothing outlives the `with`
block.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from benchmarks.serve._failure import BenchmarkError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

END_WITHIN_S = 30.0
LINGER_S = 1.0
POLL_S = 0.02
TICKS_PER_S = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Program:
    """What to start and how it wants to be ended."""

    command: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    end_signal: signal.Signals = signal.SIGTERM
    announces: bool = False
    """Prints a line when it is ready, and one for each line it reads; others print to their log."""
    listens: bool = False
    """Reads lines from its standard input."""


class _Process(NamedTuple):
    parent: int
    session: int
    born: str


class Memory(NamedTuple):
    """Memory of several processes."""

    resident_bytes: int
    """A page that two of them share counts twice."""
    proportional_bytes: int
    """A page that n processes of the machine share counts as 1 / n for each."""


class Running:
    """A started program, its descendants and its log."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self.process = process
        self.log = log

    def tree(self) -> dict[int, str]:
        """Start time by process id of the program and all its descendants that still run."""
        seen = _processes()
        # A child whose parent is gone belongs to the program by its session.
        found = {pid for pid, each in seen.items() if self.process.pid in (pid, each.session)}
        # A child's id may be lower than its parent's, so look until nothing new is found.
        while new := {pid for pid, each in seen.items() if each.parent in found} - found:
            found |= new
        return {pid: seen[pid].born for pid in found}

    def cpu_s(self) -> float:
        """Processor seconds used so far by the program and its living descendants."""
        return sum(_cpu_ticks(pid) for pid in self.tree()) / TICKS_PER_S

    def run_s(self) -> float:
        """The same to the nanosecond, of the threads that live now: for a program that idles."""
        return sum(_run_ns(pid) for pid in self.tree()) / 1e9

    def memory(self) -> Memory:
        """What the program and its living descendants hold now."""
        held = [_memory(pid) for pid in self.tree()]
        return Memory(
            resident_bytes=sum(each.resident_bytes for each in held),
            proportional_bytes=sum(each.proportional_bytes for each in held),
        )

    def first_line(self, within_s: float) -> str:
        """The first line the program prints, or the next one.

        Raises:
            BenchmarkError: It ended or stayed silent.
        """
        stream = self.process.stdout
        readable = select.select([stream], [], [], within_s)[0] if stream else []
        line = stream.readline() if stream and readable else b""
        if not line:
            raise BenchmarkError(f"it said nothing; its log ends with:\n{self.last_words()}")
        return line.decode()

    def answer(self, line: str, within_s: float) -> str:
        """The line the program prints when it is given a line.

        Raises:
            BenchmarkError: It ended or stayed silent.
        """
        stream = self.process.stdin
        if stream is None:
            raise BenchmarkError("the program does not listen")
        with suppress(BrokenPipeError):  # it has ended, and what it said last is in its log
            stream.write(line.encode() + b"\n")
            stream.flush()
        return self.first_line(within_s)

    def last_words(self, characters: int = 1500) -> str:
        """The end of the log."""
        return self.log.read_text(errors="replace")[-characters:]


@contextmanager
def started(program: Program, *, cores: Sequence[int], log: Path) -> Iterator[Running]:
    """Runs a program pinned to `cores`; what it prints goes to `log`, but for its ready line."""
    with log.open("wb") as file:
        process = subprocess.Popen(
            ["taskset", "--cpu-list", ",".join(map(str, cores)), *program.command],
            stdin=subprocess.PIPE if program.listens else subprocess.DEVNULL,
            stdout=subprocess.PIPE if program.announces else file,
            stderr=file,
            env={**os.environ, **program.environment},
            start_new_session=True,
        )
    running = Running(process, log)
    try:
        yield running
    finally:
        _end(running, program.end_signal)


def free_ports(count: int) -> list[int]:
    """Ports of the loopback address that nobody listens on now."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [int(each.getsockname()[1]) for each in sockets]
    for each in sockets:
        each.close()
    return ports


def _end(running: Running, end_signal: signal.Signals) -> None:
    tree = running.tree()
    running.process.send_signal(end_signal)
    with suppress(subprocess.TimeoutExpired):
        running.process.wait(END_WITHIN_S)
    # What it started while it was asked to end is in no earlier list.
    tree |= running.tree()
    # Descendants may take a moment longer; what is left then has no one to end it.
    _await_end(tree)
    for pid in _alive(tree):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    running.process.wait()
    _await_end(tree)
    for stream in (running.process.stdin, running.process.stdout):
        if stream:
            stream.close()


def _await_end(tree: Mapping[int, str]) -> None:
    ends_at = time.monotonic() + LINGER_S
    while _alive(tree) and time.monotonic() < ends_at:
        time.sleep(POLL_S)


def _alive(tree: Mapping[int, str]) -> list[int]:
    now = _processes()
    # An id may have been given to another process: its start time tells.
    return [pid for pid, born in tree.items() if pid in now and now[pid].born == born]


def _stat(pid: int) -> list[str] | None:
    """Fields of proc_pid_stat(5) from the third on; none for a process that is gone or a zombie."""
    try:
        fields = Path("/proc", str(pid), "stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] == "Z" else fields


def _processes() -> dict[int, _Process]:
    """Every living process by its id."""
    pids = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    stats = {pid: _stat(pid) for pid in pids}
    return {
        pid: _Process(int(fields[1]), int(fields[3]), fields[19])
        for pid, fields in stats.items()
        if fields
    }


def _cpu_ticks(pid: int) -> int:
    fields = _stat(pid)
    return int(fields[11]) + int(fields[12]) if fields else 0


def _run_ns(pid: int) -> int:
    """Nanoseconds on a processor: the first field of each thread's schedstat.

    Source: Documentation/scheduler/sched-stats.rst of Linux.
    """
    total = 0
    with suppress(FileNotFoundError, ProcessLookupError):
        for thread in Path("/proc", str(pid), "task").iterdir():
            total += int((thread / "schedstat").read_text().split()[0])
    return total


def parse_memory(text: str) -> Memory:
    """The fields Rss and Pss of /proc/PID/smaps_rollup, see proc_pid_smaps(5)."""
    fields = dict(line.split(":", 1) for line in text.splitlines()[1:])
    resident, proportional = (int(fields[name].split()[0]) * 1024 for name in ("Rss", "Pss"))
    return Memory(resident, proportional)


def _memory(pid: int) -> Memory:
    try:
        return parse_memory(Path("/proc", str(pid), "smaps_rollup").read_text())
    except (FileNotFoundError, ProcessLookupError):
        # It ended since the tree was looked at.
        return Memory(0, 0)
