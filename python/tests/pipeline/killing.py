"""Runs of `crashing.py` that are killed, go on, and must come to what a whole run comes to.

- A **way** leads from a source to a sink. It prepares a directory in which nothing has run yet, and
  reads what came out, as somebody does who knows nothing of Shoal.
- A run is killed at the k-th call of a kind that one of its threads makes, before the call happens;
  k grows until a run survives. `just test` tries a few places, `just prove` all of them.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from tests.conftest import PROVE_SCALE, ROOT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from tests.pipeline.crashing import Run

    Rows = list[object]

PROGRAM = Path(__file__).with_name("crashing.py")
CALLS = {
    "write": "write,writev,pwrite64,ftruncate",
    "flush": "fsync,fdatasync",
    "name": "rename,renameat,renameat2,link,linkat,unlink,unlinkat",
    "send": "sendto,sendmsg,sendmmsg",
    "receive": "recvfrom,recvmsg",
}
DEADLINE_SECONDS = 60.0
RANDOM_KILLS = 3 if PROVE_SCALE == 1 else 50
MOST_PLACES = 10_000
# One directory goes on after so many random kills, and is then compared.
KILLS_OF_A_RUN = 5


@dataclass
class Way:
    """From a source to a sink.

    Attributes:
        begin: What is to run in a new directory.
        read: What has come out of a run.
        whole: What comes out of a run that nobody interrupts.
    """

    begin: Callable[[Path], Run]
    read: Callable[[Path, Run], Rows]
    whole: Rows = field(default_factory=list)
    _runs: dict[Path, Run] = field(default_factory=dict)

    def prepared(self, directory: Path) -> Path:
        """A directory in which nothing has run yet."""
        directory.mkdir()
        self._runs[directory] = self.begin(directory)
        self._runs[directory].write(directory)
        return directory

    def rows(self, directory: Path) -> Rows:
        """What has come out, in an order that does not depend on the run."""
        return sorted(self.read(directory, self._runs[directory]), key=str)

    def check(self, directory: Path) -> None:
        """What came out is what comes out of a whole run."""
        assert self.rows(directory) == self.whole

    def run_whole(self, directory: Path) -> Way:
        """Lets one run go through."""
        finish(self.prepared(directory))
        self.whole = self.rows(directory)
        assert self.whole
        return self


def command(directory: Path) -> list[str]:
    """How a run is started."""
    return [sys.executable, str(PROGRAM), str(directory)]


def environment() -> dict[str, str]:
    """Where a run finds what it imports."""
    return {**os.environ, "PYTHONPATH": f"{ROOT / 'python'}"}


def finish(directory: Path) -> None:
    """Lets a run go on to its end."""
    subprocess.run(
        command(directory),
        env=environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        check=True,
        timeout=DEADLINE_SECONDS,
    )


def places(few: int, among: int) -> Sequence[int]:
    """The calls at which runs are killed: a few of the first ones, or one after the other."""
    if PROVE_SCALE > 1:
        return range(1, MOST_PLACES)
    return sorted(random.Random(5).sample(range(1, among + 1), few))


@dataclass(frozen=True)
class Killer:
    """Kills runs, lets them go on, and compares; records how many were killed.

    Attributes:
        strace: The program that kills at a system call.
        within: Where directories of runs are made.
        record: Takes counts.
        name: The test.
    """

    strace: str
    within: Path
    record: Callable[[str, object], None]
    name: str

    @property
    def trace(self) -> Path:
        """What system calls came to in the last run of which some failed."""
        return self.within / "trace"

    def at_calls(self, way: Way, calls: str, at: Sequence[int]) -> int:
        """At calls that any thread makes; how many runs got so far."""

        def is_killed(directory: Path, place: int) -> bool:
            with started(directory) as run:
                _said(run, "begins")
                return _is_killed(run, [self.strace, "-f", *_kills(calls, place)], [f"{run.pid}"])

        return self._at(way, at, is_killed)

    def in_threads(
        self,
        way: Way,
        thread: str,
        calls: str,
        at: Sequence[int],
        *,
        look: Callable[[Path], object],
    ) -> int:
        """At calls of the threads of this name that came with the opened sink.

        `look` sees what a killed run has left behind.
        """

        def is_killed(directory: Path, place: int) -> bool:
            with started(directory) as run:
                _said(run, "begins")
                _go_on(run)
                named = [word.rpartition("=") for word in _said(run, "opened")]
                threads = [task for name, _, task in named if name == thread]
                was_killed = _is_killed(run, [self.strace, *_kills(calls, place)], threads)
            look(directory)
            return was_killed

        return self._at(way, at, is_killed)

    def at_random(self, way: Way, longest_seconds: float) -> None:
        """At random moments, several times for each run."""
        draw = random.Random(7)
        directory = self.within
        for number in range(RANDOM_KILLS):
            if number % KILLS_OF_A_RUN == 0:
                directory = way.prepared(self.within / f"run{number}")
            _kill_after(directory, draw.uniform(0.0, longest_seconds))
            if number % KILLS_OF_A_RUN == KILLS_OF_A_RUN - 1 or number == RANDOM_KILLS - 1:
                finish(directory)
                way.check(directory)
        self.counted(RANDOM_KILLS)

    def counted(self, kills: int) -> None:
        """Records how often something was done to a run."""
        self.record("cases", kills)
        self.record(self.name, kills)

    def refused(self, directory: Path, inject: Sequence[str]) -> tuple[int, str]:
        """Lets system calls of a run fail; how it ended, and what it said then."""
        with started(directory) as run:
            _said(run, "begins")
            trace = [self.strace, "-f", "-o", str(self.trace), *inject]
            with _traced(run, trace, [f"{run.pid}"]):
                _, said = run.communicate("\n\n", DEADLINE_SECONDS)
        return run.returncode, said

    def _at(self, way: Way, at: Sequence[int], is_killed: Callable[[Path, int], bool]) -> int:
        kills = 0
        for place in at:
            directory = way.prepared(self.within / f"{place}")
            was_killed = is_killed(directory, place)
            if was_killed:
                finish(directory)
            way.check(directory)
            kills += was_killed
            if not was_killed:
                break
        self.counted(kills)
        return kills


def started(directory: Path) -> subprocess.Popen[str]:
    """A run that waits for words before it goes on."""
    return subprocess.Popen(
        command(directory),
        env=environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def _said(run: subprocess.Popen[str], word: str) -> list[str]:
    assert run.stdout is not None
    said, *rest = run.stdout.readline().split() or [""]
    assert said == word, run.communicate()
    return rest


def _go_on(run: subprocess.Popen[str], times: int = 1) -> None:
    assert run.stdin is not None
    run.stdin.write("\n" * times)
    run.stdin.flush()


def _kills(calls: str, place: int) -> list[str]:
    inject = f"inject={CALLS[calls]}:signal=SIGKILL:when={place}"
    return ["-o", "/dev/null", "-e", f"trace={CALLS[calls]}", "-e", inject]


@contextmanager
def _traced(
    run: subprocess.Popen[str], trace: Sequence[str], threads: Sequence[str]
) -> Iterator[None]:
    """Traces threads of a run that waits."""
    places = [word for thread in threads for word in ("-p", thread)]
    with subprocess.Popen([*trace, *places], stderr=subprocess.PIPE, text=True) as tracing:
        assert tracing.stderr is not None
        for _ in threads:
            said = tracing.stderr.readline()
            assert " attached" in said, said
        try:
            yield
        finally:
            if run.poll() is None:
                run.kill()


def _is_killed(run: subprocess.Popen[str], trace: Sequence[str], threads: Sequence[str]) -> bool:
    """Lets a run go on once it is traced."""
    assert threads
    with _traced(run, trace, threads):
        _go_on(run, times=2)
        ended = run.wait(DEADLINE_SECONDS)
    assert ended in {0, -signal.SIGKILL}, run.communicate()
    return ended != 0


def _kill_after(directory: Path, seconds: float) -> None:
    with started(directory) as run:
        _said(run, "begins")
        _go_on(run, times=2)
        try:
            run.wait(seconds)
        except subprocess.TimeoutExpired:
            run.kill()
