"""The open loop over HTTP: runs oha on one core at a fixed rate and reads its JSON.

Latency counts from the moment a request was due, not from when a connection was free to send it
(`--latency-correction`): a server that falls behind is charged for the queue before its door.
Answers above 399 are no reason to give up: a server may refuse what it cannot do in time.
"""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import msgspec

from benchmarks.serve._environments import oha_program
from benchmarks.serve._failure import BenchmarkError
from benchmarks.serve._figures import Load

if TYPE_CHECKING:
    from benchmarks.serve._material import Aim

GRACE_S = 30.0
TIMEOUT_S = 20
LEAST_ERROR_STATUS = 400


class _Summary(msgspec.Struct):
    total: float
    average: float | None = None
    slowest: float | None = None


class _Report(msgspec.Struct):
    """What is used of oha's report; times are seconds."""

    summary: _Summary
    latency_percentiles: dict[str, float | None] = msgspec.field(name="latencyPercentiles")
    statuses: dict[str, int] = msgspec.field(name="statusCodeDistribution")
    errors: dict[str, int] = msgspec.field(name="errorDistribution")


def parse(output: str | bytes) -> Load:
    """One window from oha's report.

    Raises:
        BenchmarkError: It is none, or no request was answered.
    """
    try:
        report = msgspec.json.decode(output, type=_Report)
    except msgspec.DecodeError as error:
        raise BenchmarkError(f"oha printed no figures: {output[-500:]!r}") from error
    good = sum(n for code, n in report.statuses.items() if int(code) < LEAST_ERROR_STATUS)
    if not good:
        raise BenchmarkError(f"no request was answered: {report.statuses} {report.errors}")
    return Load(
        requests=good,
        duration_us=round(report.summary.total * 1e6),
        p50_us=_us(report, "p50"),
        p90_us=_us(report, "p90"),
        p99_us=_us(report, "p99"),
        mean_us=(report.summary.average or 0.0) * 1e6,
        max_us=round((report.summary.slowest or 0.0) * 1e6),
        bad_status=sum(report.statuses.values()) - good,
        connect=0,
        read=sum(report.errors.values()),
        write=0,
        timed_out=0,
    )


def _us(report: _Report, name: str) -> int:
    return round((report.latency_percentiles[name] or 0.0) * 1e6)


def load(aim: Aim, *, rate_per_s: float, connections: int, seconds: float, core: int) -> Load:
    """Has a request due every `1 / rate_per_s` seconds for `seconds`.

    Raises:
        BenchmarkError: oha failed, or no request was answered.
    """
    command = ["taskset", "--cpu-list", str(core), oha_program(), "--no-tui", "--worker-threads"]
    command += ["1", "--output-format", "json", "-z", f"{seconds:g}s", "-t", f"{TIMEOUT_S}s"]
    command += ["-c", str(connections), "-q", f"{max(rate_per_s, 1):.0f}", "--latency-correction"]
    command += ["--wait-ongoing-requests-after-deadline", "-m", "POST"]
    command += ["-Z", str(aim.material.bodies(aim.protocol))]
    for name, value in aim.headers().items():
        command += ["-H", f"{name}: {value}"]
    try:
        done = subprocess.run(
            [*command, aim.url],
            capture_output=True,
            check=True,
            timeout=seconds + TIMEOUT_S + GRACE_S,
        )
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        raise BenchmarkError(f"oha failed: {error}") from error
    return parse(done.stdout)
