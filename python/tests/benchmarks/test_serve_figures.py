from __future__ import annotations

import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.serve import _wrk
from benchmarks.serve._failure import BenchmarkError
from benchmarks.serve._figures import Spread, spread
from benchmarks.serve._machine import parse_cpu_times
from benchmarks.serve._window import parse_batches

# What wrk prints, with the line of load.lua at its end.
WRK_OUTPUT = """Running 3s test @ http://127.0.0.1:18112/predict
  1 threads and 64 connections
Requests/sec: 157449.52
Transfer/sec:     20.57MB
{"requests":472752,"duration_us":3002522,"p50_us":361,"p90_us":650,"p99_us":785,"mean_us":414.7,\
"max_us":8123,"bad_status":1,"connect":2,"read":3,"write":4,"timed_out":5}
"""


def test_the_last_line_of_wrk_holds_the_figures() -> None:
    load = _wrk.parse(WRK_OUTPUT)
    assert (load.p50_us, load.p99_us, load.max_us) == (361, 785, 8123)
    assert load.requests_per_s == pytest.approx(157_452, abs=1)


def test_every_kind_of_failed_request_counts() -> None:
    assert _wrk.parse(WRK_OUTPUT).failures == 1 + 2 + 3 + 4 + 5


@pytest.mark.parametrize("output", ["", "unable to connect to 127.0.0.1\n", '{"requests":1}'])
def test_output_without_figures_ends_the_run(output: str) -> None:
    with pytest.raises(BenchmarkError, match="wrk printed no figures"):
        _wrk.parse(output)


def test_a_spread_is_median_least_and_greatest() -> None:
    assert spread([5.0, 1.0, 3.0, 2.0]) == Spread(2.5, 1.0, 5.0)


@given(st.lists(st.floats(0, 1e9), min_size=1, max_size=9))
def test_a_median_lies_between_least_and_greatest(values: list[float]) -> None:
    seen = spread(values)
    assert seen.minimum <= seen.median <= seen.maximum


def test_a_spread_of_nothing_is_an_error() -> None:
    with pytest.raises(statistics.StatisticsError):
        spread([])


def test_batches_of_all_label_sets_are_added() -> None:
    text = """# TYPE shoal_batch_rows histogram
shoal_batch_rows_bucket{model="a",le="1"} 5
shoal_batch_rows_sum{model="a"} 300
shoal_batch_rows_count{model="a"} 10
shoal_batch_rows_sum{model="b"} 20.5
shoal_batch_rows_count{model="b"} 2
shoal_batch_rows_sum_of_squares 7
other_shoal_batch_rows_sum 9
"""
    assert parse_batches(text, "shoal_batch_rows") == (320.5, 12.0)


def test_a_histogram_without_labels_is_read_too() -> None:
    assert parse_batches("rows_sum 4.5\nrows_count 2\n", "rows") == (4.5, 2.0)


def test_processor_times_are_seconds_and_leave_guests_to_user_time() -> None:
    text = "cpu  100 10 40 800 20 3 7 20 50 0\ncpu0 1 1 1 1 1 1 1 1 0 0\n"
    times = parse_cpu_times(text, ticks_per_s=100)
    assert times.busy_s == pytest.approx(1.60)
    assert times.steal_s == pytest.approx(0.20)
    assert times.total_s == pytest.approx(10.0)
