"""The closed loop over gRPC: runs h2load on one core and reads what it prints and logs.

h2load speaks HTTP/2 and knows nothing of gRPC: it sends one message, with its five leading bytes,
again and again, and takes every status 200 for a success. A call that fails answers 200 too, but
without a message; so the bytes of data received must be those of as many right answers, and one
right answer is asked for beforehand with gRPC's own client.
"""

from __future__ import annotations

import re
import statistics
import subprocess
from typing import TYPE_CHECKING

from benchmarks.serve._failure import BenchmarkError
from benchmarks.serve._figures import Load
from benchmarks.serve._protocols import ask_once

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from benchmarks.serve._material import Aim

GRACE_S = 30.0
FINISHED = re.compile(r"^finished in ([\d.]+)(us|ms|s),", re.MULTILINE)
REQUESTS = re.compile(r"(\d+) done, (\d+) succeeded, (\d+) failed, (\d+) errored, (\d+) timeout")
DATA = re.compile(r"\((\d+)\) data\s*$", re.MULTILINE)
UNITS_US = {"us": 1.0, "ms": 1e3, "s": 1e6}
MISSED_SHARE = 0.01
"""Answers begun when the window opened or closed count as data and not as answers, or the other
way round."""


def load(aim: Aim, *, connections: int, seconds: float, core: int) -> Load:
    """Keeps one call in flight on each of `connections` connections for `seconds`.

    Raises:
        BenchmarkError: A call failed, or h2load itself did.
    """
    body = aim.material.message(aim.protocol)
    answer_bytes = len(ask_once(aim.address, aim.protocol, body.read_bytes()))
    log = aim.material.directory / "h2load.log"
    log.unlink(missing_ok=True)
    command = ["taskset", "--cpu-list", str(core), "h2load", "--threads", "1"]
    command += ["--clients", str(connections), "--max-concurrent-streams", "1"]
    command += ["--duration", f"{seconds:.0f}", "--log-file", str(log), "--data", str(body)]
    for name, value in aim.headers().items():
        command += ["--header", f"{name}: {value}"]
    output = _output([*command, aim.url], seconds + GRACE_S)
    seen = parse(output, latencies_us(log))
    _expect(seen, data_bytes(output), answer_bytes, connections=connections)
    return seen


def _output(command: list[str], within_s: float) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=within_s)
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        raise BenchmarkError(f"h2load failed: {error}") from error
    return done.stdout


def latencies_us(log: Path) -> list[int]:
    """The third column of h2load's log, least first."""
    return sorted(int(line.split("\t")[2]) for line in log.read_text().splitlines())


def parse(output: str, latencies: Sequence[int]) -> Load:
    """The figures of one window.

    Raises:
        BenchmarkError: h2load printed something else.
    """
    finished, counted = FINISHED.search(output), REQUESTS.search(output)
    if not (finished and counted and latencies):
        raise BenchmarkError(f"h2load printed no figures: {output[-500:]!r}")
    _, succeeded, failed, errored, timed_out = map(int, counted.groups())
    last = len(latencies) - 1
    return Load(
        requests=succeeded,
        duration_us=round(float(finished[1]) * UNITS_US[finished[2]]),
        p50_us=latencies[last // 2],
        p90_us=latencies[last * 90 // 100],
        p99_us=latencies[last * 99 // 100],
        mean_us=statistics.fmean(latencies),
        max_us=latencies[-1],
        bad_status=failed - errored - timed_out,
        connect=0,
        read=errored,
        write=0,
        timed_out=timed_out,
    )


def data_bytes(output: str) -> int:
    """Bytes of messages received.

    Raises:
        BenchmarkError: h2load printed something else.
    """
    found = DATA.search(output)
    if not found:
        raise BenchmarkError(f"h2load printed no traffic: {output[-500:]!r}")
    return int(found[1])


def _expect(seen: Load, received: int, answer_bytes: int, *, connections: int) -> None:
    """Raises unless every call was answered with a message of the right size."""
    if seen.failures:
        raise BenchmarkError(f"{seen.failures} calls failed: {seen}")
    expected = seen.requests * answer_bytes
    tolerance = connections * answer_bytes + MISSED_SHARE * expected
    if abs(received - expected) > tolerance:
        raise BenchmarkError(
            f"{seen.requests} calls were answered with {received} bytes, {answer_bytes} a call "
            "were expected: some failed with a status in the trailers"
        )
