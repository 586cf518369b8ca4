"""How long a registry is waited for: pure."""

from __future__ import annotations

import pytest

from shoal.package._registry._patience import CUTS_LIMIT, Cuts, Patience

NOW = 1_700_000_000.0
PATIENCE = Patience(now=lambda: NOW, jitter=lambda: 1.0)


def test_waits_double_and_end() -> None:
    waits = [PATIENCE.wait_seconds(failures) for failures in range(1, 6)]
    assert waits == [0.5, 1.0, 2.0, 4.0, None]


def test_a_random_part_of_a_wait_is_left_out() -> None:
    eager = Patience(jitter=lambda: 0.0)
    assert eager.wait_seconds(1) == 0.25
    assert Patience(jitter=lambda: 0.5).wait_seconds(1) == 0.375


def test_no_wait_is_longer_than_the_longest() -> None:
    patience = Patience(failures_limit=100, longest_wait_seconds=60, jitter=lambda: 1.0)
    assert patience.wait_seconds(50) == 60


@pytest.mark.parametrize(
    ("asked", "wait"),
    [
        ("7", 7.0),
        ("0", 0.0),
        ("Tue, 14 Nov 2023 22:13:50 GMT", 30.0),
        ("Tue, 14 Nov 2023 22:13:00 GMT", 0.0),
        ("61", None),
        ("Thu, 14 Nov 2024 22:13:50 GMT", None),
        ("soon", 0.5),
        ("-1", 0.5),
    ],
)
def test_what_the_registry_asks_for_is_waited_if_it_is_bearable(
    asked: str, wait: float | None
) -> None:
    assert PATIENCE.wait_seconds(1, asked) == wait


def test_a_transfer_goes_on_as_long_as_it_gets_further() -> None:
    cuts = Cuts()
    assert [cuts.count(reached, PATIENCE) for reached in (10, 20, 30)] == [1, 1, 1]
    assert [cuts.count(30, PATIENCE) for _ in range(3)] == [2, 3, 4]
    assert cuts.count(5, PATIENCE) == PATIENCE.failures_limit


def test_a_transfer_that_crawls_ends() -> None:
    cuts = Cuts()
    counts = [cuts.count(reached, PATIENCE) for reached in range(1, CUTS_LIMIT + 1)]
    assert set(counts[:-1]) == {1}
    assert counts[-1] == PATIENCE.failures_limit
