"""Figures of the worker benchmark, from times to words."""

from __future__ import annotations

import pytest

from benchmarks.worker._figures import Round, overhead_of, round_of, verdict


def test_overhead_of_a_round_is_the_difference_of_the_medians() -> None:
    seen = round_of([100_000, 110_000, 900_000], [150_000, 151_000, 190_000])
    assert (seen.direct_us, seen.worker_us) == (110.0, 151.0)
    assert seen.overhead_us == 41.0


def test_result_is_the_median_round_with_both_ends() -> None:
    rounds = [Round(10.0, 10.0 + added, 99.0) for added in (50.0, 90.0, 40.0)]
    overhead = overhead_of(rounds)
    found = (overhead.median_us, overhead.smallest_us, overhead.largest_us, overhead.direct_us)
    assert found == (50.0, 40.0, 90.0, 10.0)


@pytest.mark.parametrize(
    ("added", "words"),
    [
        (60.0, "reaches the goal"),
        (60.1, "reaches the floor"),
        (150.1, "misses the floor"),
    ],
)
def test_verdict_holds_the_median_against_floor_and_goal(added: float, words: str) -> None:
    assert verdict(overhead_of([Round(10.0, 10.0 + added, 99.0)])).startswith(words)
