"""Figures and pictures of the report."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.quickstart import Report
from shoal.quickstart._report import group_by_size, percentile

REPORT = Report(
    package="here/digits",
    digest="sha256:0",
    accuracy=0.975,
    held_out_rows=400,
    requests=8000,
    mismatches=1,
    connections=64,
    requests_per_s=12345.6,
    p50_ms=4.2,
    p99_ms=9.87,
    batch_rows={"1": 10, "32": 100, "31": 100, "64": 20},
    release_reasons={"rows_full": 20, "executor_free": 210},
    next=["first", "second", "third"],
)


def test_text_shows_figures_picture_and_next_steps() -> None:
    assert REPORT.text().splitlines() == [
        "held-out accuracy over HTTP   97.50% of 400 rows",
        "answers equal to the model's  7,999 of 8,000",
        "throughput                    12,346 requests/s, 64 connections",
        "latency                       p50 4.20 ms, p99 9.87 ms",
        "package                       here/digits",
        "digest                        sha256:0",
        "",
        "rows in a micro-batch, how many there were, and how many requests they answered",
        f"        1  {'█' * 2:<40}      10       10",
        f"    17-32  {'█' * 40}     200    6,300",
        f"    33-64  {'█' * 4:<40}      20    1,280",
        "released because: executor_free 210, rows_full 20",
        "",
        "try next (the second in another terminal):",
        "  first",
        "  second",
        "  third",
    ]


def test_json_is_one_object_on_one_line() -> None:
    assert json.loads(REPORT.json())["batch_rows"] == {"1": 10, "32": 100, "31": 100, "64": 20}
    assert "\n" not in REPORT.json()


@pytest.mark.parametrize(
    ("share", "expected"), [(0.5, 50.0), (0.99, 99.0), (1.0, 100.0), (0.001, 1.0)]
)
def test_percentile_is_the_nearest_rank(share: float, expected: float) -> None:
    assert percentile([float(value) for value in range(1, 101)], share) == expected


def test_percentile_of_one_value_is_that_value() -> None:
    assert percentile([7.0], 0.99) == 7.0


@given(st.dictionaries(st.integers(1, 300), st.integers(1, 1000)))
def test_grouping_by_size_loses_no_batch(batch_rows: dict[int, int]) -> None:
    groups = group_by_size(batch_rows)
    assert sum(group.batches for group in groups) == sum(batch_rows.values())
    assert sum(group.rows for group in groups) == sum(n * count for n, count in batch_rows.items())
    assert len({group.label for group in groups}) == len(groups) <= 10


def test_groups_double_and_are_named_by_their_ends() -> None:
    every = dict.fromkeys(range(1, 65), 1)
    assert [(group.label, group.batches) for group in group_by_size(every)] == [
        ("1", 1), ("2", 1), ("3-4", 2), ("5-8", 4), ("9-16", 8), ("17-32", 16), ("33-64", 32),
    ]  # fmt: skip
