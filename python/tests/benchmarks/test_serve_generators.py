from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from benchmarks.serve import _h2load, _oha
from benchmarks.serve._failure import BenchmarkError

if TYPE_CHECKING:
    from pathlib import Path

H2LOAD_OUTPUT = """starting benchmark...
finished in 2.00s, 20112.50 req/s, 3.27MB/s
requests: 40225 total, 40289 started, 40225 done, 40225 succeeded, 0 failed, 0 errored, 0 timeout
status codes: 40225 2xx, 0 3xx, 0 4xx, 0 5xx
traffic: 6.54MB (6857236) total, 903.92KB (925612) headers (saved 90.42%), 3.45MB (3620250) data
"""
LATENCIES_US = [*range(1, 100), 900]


def oha_output(statuses: dict[str, int], errors: dict[str, int]) -> str:
    return json.dumps(
        {
            "summary": {"total": 2.0, "average": 0.0005, "slowest": 0.5, "successRate": 1.0},
            "latencyPercentiles": {"p50": 0.0001, "p90": 0.0002, "p99": 0.003, "p99.9": None},
            "statusCodeDistribution": statuses,
            "errorDistribution": errors,
        }
    )


def test_what_h2load_prints_and_logs_becomes_figures() -> None:
    load = _h2load.parse(H2LOAD_OUTPUT, LATENCIES_US)
    assert (load.requests, load.duration_us, load.failures) == (40225, 2_000_000, 0)
    assert (load.p50_us, load.p90_us, load.p99_us, load.max_us) == (50, 90, 99, 900)
    assert _h2load.data_bytes(H2LOAD_OUTPUT) == 3_620_250


def test_times_of_h2load_stand_in_the_third_column_of_its_log(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("1695\t200\t30\n1696\t200\t10\n")
    assert _h2load.latencies_us(log) == [10, 30]


def test_calls_that_failed_count() -> None:
    output = H2LOAD_OUTPUT.replace(
        "0 failed, 0 errored, 0 timeout", "6 failed, 3 errored, 2 timeout"
    )
    load = _h2load.parse(output, LATENCIES_US)
    assert (load.bad_status, load.read, load.timed_out) == (1, 3, 2)
    with pytest.raises(BenchmarkError, match="6 calls failed"):
        _h2load._expect(load, 3_620_250, 90, connections=64)


def test_calls_that_end_in_a_status_without_a_message_end_the_run() -> None:
    load = _h2load.parse(H2LOAD_OUTPUT, LATENCIES_US)
    _h2load._expect(load, 3_620_250, 90, connections=64)
    _h2load._expect(load, 3_620_250 + 64 * 90, 90, connections=64)
    with pytest.raises(BenchmarkError, match="status in the trailers"):
        _h2load._expect(load, 3_500_000, 90, connections=64)


@pytest.mark.parametrize("output", ["", "the port is closed"])
def test_output_without_figures_ends_the_run(output: str) -> None:
    with pytest.raises(BenchmarkError, match="h2load printed no figures"):
        _h2load.parse(output, LATENCIES_US)
    with pytest.raises(BenchmarkError, match="h2load printed no traffic"):
        _h2load.data_bytes(output)
    with pytest.raises(BenchmarkError, match="oha printed no figures"):
        _oha.parse(output)


def test_the_report_of_oha_becomes_figures() -> None:
    load = _oha.parse(oha_output({"200": 90_000}, {}))
    assert (load.requests, load.requests_per_s, load.failures) == (90_000, 45_000, 0)
    assert (load.p50_us, load.p90_us, load.p99_us, load.max_us) == (100, 200, 3_000, 500_000)
    assert load.mean_us == pytest.approx(500)


def test_only_answers_that_are_successes_count_as_goodput() -> None:
    load = _oha.parse(oha_output({"200": 60, "429": 30, "503": 10}, {"timeout": 5}))
    assert (load.requests, load.bad_status, load.read) == (60, 40, 5)


def test_a_server_that_answers_nothing_ends_the_run() -> None:
    with pytest.raises(BenchmarkError, match="no request was answered"):
        _oha.parse(oha_output({"503": 10}, {"refused": 5}))
