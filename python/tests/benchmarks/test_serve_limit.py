from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest

from benchmarks.serve._figures import Costs, Turn
from benchmarks.serve._limit import Bound, bounds, kernel_us_per_row, limit, limits

if TYPE_CHECKING:
    from collections.abc import Callable

KERNEL_US = {1: 6.0, 32: 32.0, 33: 40.0}
COSTS = Costs(parse_us=1.0, kernel_us_per_call=KERNEL_US)


def by_sentence(found: list[Bound]) -> dict[tuple[str, str], Bound]:
    return {(bound.kind, bound.sentence): bound for bound in found}


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
    found = limit(100_000, COSTS, 32)
    assert (found.echo_us, found.parse_us, found.kernel_us) == pytest.approx((10.0, 1.0, 1.0))
    assert found.requests_per_s == pytest.approx(1e6 / 12)


def test_each_round_has_its_own_limit(turns: list[Turn]) -> None:
    rates = [one.requests_per_s for one in limits(turns)]
    assert rates == pytest.approx([1e6 / 12, 1e6 / 10])


def test_ratios_are_taken_round_by_round(turns: list[Turn]) -> None:
    found = by_sentence(bounds(turns))
    mosec = found["floor", "requests/s, times mosec"]
    assert (mosec.value.minimum, mosec.value.median, mosec.value.maximum) == (2.5, 2.75, 3.0)
    triton = found["floor", "requests/s, times pytriton"]
    assert triton.value.minimum == 5.0
    assert triton.value.maximum == 12.0


def test_a_bound_is_reached_by_its_median(turns: list[Turn]) -> None:
    reached = {key: bound.reached for key, bound in by_sentence(bounds(turns)).items()}
    assert reached == {
        ("floor", "requests/s, times mosec"): True,
        ("floor", "requests/s, times pytriton"): True,
        ("floor", "requests/s, share of the limit"): True,  # (0.72 + 0.5) / 2
        ("goal", "requests/s, share of the limit"): False,
        ("floor", "p50 of a lone request, us above echo and kernel"): True,
    }


def test_a_lone_request_may_cost_twenty_microseconds_of_its_own(
    turn: Callable[..., Turn],
) -> None:
    def lone(alone_us: int) -> Bound:
        pair = [turn("shoal", 1, 60_000, alone_us, COSTS), turn("echo", 1, 100_000, 35)]
        return by_sentence(bounds(pair))["floor", "p50 of a lone request, us above echo and kernel"]

    assert lone(61).reached
    assert not lone(62).reached
    assert lone(62).value.median == pytest.approx(21.0)


def test_a_peer_is_taken_at_the_best_of_its_settings(turns: list[Turn]) -> None:
    default = msgspec.structs.replace(turns[1], setting="default")
    slow = msgspec.structs.replace(default, many=turns[2].many)
    fast = msgspec.structs.replace(default, many=turns[4].many)
    with_slow = by_sentence(bounds([*turns, slow]))["floor", "requests/s, times mosec"]
    with_fast = by_sentence(bounds([*turns, fast]))["floor", "requests/s, times mosec"]
    assert with_slow.value.maximum == 3.0
    assert with_fast.value.maximum == 2.5


def test_without_shoal_there_is_nothing_to_hold_to(turns: list[Turn]) -> None:
    assert bounds([turn for turn in turns if turn.server != "shoal"]) == []


def test_without_echo_there_is_no_limit(turns: list[Turn]) -> None:
    found = bounds([turn for turn in turns if turn.server != "echo"])
    assert [bound.sentence for bound in found] == [
        "requests/s, times mosec",
        "requests/s, times pytriton",
    ]
