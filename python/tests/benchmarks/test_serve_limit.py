from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from benchmarks.serve._figures import Costs, Turn
from benchmarks.serve._limit import bare_rows_per_s, kernel_us_per_row, limit, limits

if TYPE_CHECKING:
    from collections.abc import Callable

KERNEL_US = {1: 6.0, 32: 32.0, 33: 40.0}
COSTS = Costs(parse_us=1.0, kernel_us_per_call=KERNEL_US)


@pytest.fixture
def turns(turn: Callable[..., Turn]) -> list[Turn]:
    return [
        turn("shoal", 1, 60_000, 60, COSTS),
        turn("mosec", 1, 20_000, 2_000),
        turn("pytriton", 1, 5_000, 1_000),
        turn("echo", 1, 100_000, 35),
        turn("shoal", 2, 50_000, 61, COSTS),
        turn("mosec", 2, 20_000, 2_000),
        turn("pytriton", 2, 10_000, 1_000),
        turn("echo", 2, 125_000, 35),
    ]


@pytest.mark.parametrize(
    ("rows", "share"), [(1, 6.0), (32, 1.0), (32.5, 36 / 32.5), (33, 40 / 33), (64, 40 / 33)]
)
def test_a_row_pays_its_share_of_the_call(rows: float, share: float) -> None:
    assert kernel_us_per_row(KERNEL_US, rows) == pytest.approx(share)


def test_a_single_measured_size_is_used_for_all() -> None:
    assert kernel_us_per_row({8: 16.0}, 3) == pytest.approx(2.0)


def test_the_limit_is_one_over_the_sum_of_the_costs() -> None:
    found = limit(100_000, COSTS, 32, 1)
    assert (found.echo_us, found.parse_us, found.kernel_us) == pytest.approx((10.0, 1.0, 1.0))
    assert found.requests_per_s == pytest.approx(1e6 / 12)


def test_each_round_has_its_own_limit(turns: list[Turn]) -> None:
    rates = [one.requests_per_s for one in limits(turns)]
    assert rates == pytest.approx([1e6 / 12, 1e6 / 10])
    assert [one.round for one in limits(turns)] == [1, 2]


def test_without_echo_there_is_no_limit(turns: list[Turn]) -> None:
    assert limits([turn for turn in turns if turn.server != "echo"]) == []


def test_a_bare_loop_answers_as_many_rows_as_its_calls_hold() -> None:
    assert bare_rows_per_s(COSTS, 32) == pytest.approx(1e6)
