"""Runs wrk with load.lua on one core and reads the line it prints."""

from __future__ import annotations

import subprocess
from pathlib import Path

import msgspec

from benchmarks.serve._failure import BenchmarkError
from benchmarks.serve._figures import Load

SCRIPT = Path(__file__).with_name("load.lua")
GRACE_S = 30.0


def parse(output: str) -> Load:
    """The last line of wrk's output.

    Raises:
        BenchmarkError: It is not what load.lua prints.
    """
    line = output.strip().rpartition("\n")[2]
    try:
        return msgspec.json.decode(line, type=Load)
    except msgspec.DecodeError as error:
        raise BenchmarkError(f"wrk printed no figures: {output[-500:]!r}") from error


def load(url: str, bodies: Path, *, connections: int, seconds: float, core: int) -> Load:
    """Keeps `connections` requests in flight for `seconds`.

    Raises:
        BenchmarkError: A request failed, or wrk itself did.
    """
    command = ["taskset", "--cpu-list", str(core), "wrk", "--threads", "1"]
    command += ["--connections", str(connections), "--duration", f"{seconds:.0f}"]
    command += ["--script", str(SCRIPT), url, "--", str(bodies)]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, check=True, timeout=seconds + GRACE_S
        )
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        raise BenchmarkError(f"wrk failed: {error}") from error
    seen = parse(done.stdout)
    if seen.failures or not seen.requests:
        raise BenchmarkError(f"the run is invalid, requests failed: {seen}")
    return seen
