"""The closed loop over HTTP: runs wrk with load.lua on one core and reads the line it prints."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from benchmarks.serve._failure import BenchmarkError
from benchmarks.serve._figures import Load

if TYPE_CHECKING:
    from benchmarks.serve._material import Aim

SCRIPT = Path(__file__).with_name("load.lua")
GRACE_S = 30.0
TIMEOUT_S = 20
"""A request that takes longer has failed: with 256 connections, slow peers need seconds."""


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


def load(aim: Aim, *, connections: int, seconds: float, core: int) -> Load:
    """Keeps `connections` requests in flight for `seconds`.

    Raises:
        BenchmarkError: A request failed, or wrk itself did.
    """
    command = ["taskset", "--cpu-list", str(core), "wrk", "--threads", "1"]
    command += ["--connections", str(connections), "--duration", f"{seconds:.0f}"]
    command += ["--timeout", str(TIMEOUT_S), "--script", str(SCRIPT)]
    try:
        done = subprocess.run(
            [*command, *_target(aim)],
            capture_output=True,
            text=True,
            check=True,
            timeout=seconds + TIMEOUT_S + GRACE_S,
        )
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        raise BenchmarkError(f"wrk failed: {error}") from error
    seen = parse(done.stdout)
    if not seen.requests:
        raise BenchmarkError(f"no request was answered within {seconds:g} s")
    if seen.failures:
        raise BenchmarkError(f"{seen.failures} requests failed: {seen}")
    return seen


def _target(aim: Aim) -> list[str]:
    """The address, and load.lua's arguments."""
    form = "text" if aim.protocol.is_text else "hex"
    words = [word for header in aim.headers().items() for word in header]
    return [aim.url, "--", str(aim.material.bodies(aim.protocol)), form, *words]
