from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest

from benchmarks.serve._bounds import LIMIT_SHARE, LINES, NOT_MEASURED, Bound, bounds
from benchmarks.serve._figures import Costs, Spread, Turn
from benchmarks.serve._readings import Drift, Footprint, ModelCosts, Reading, Seen, ThreadCost

if TYPE_CHECKING:
    from collections.abc import Callable

COSTS = Costs(parse_us=1.0, kernel_us_per_call={1: 6.0, 32: 32.0, 64: 64.0})
SERVERS = ("shoal", "mosec", "pytriton", "echo")
LONE = "1 connection, p50: us above echo and a kernel of one row"


def by_sentence(seen: Seen, *parts: str, servers: tuple[str, ...] = SERVERS) -> dict[str, Bound]:
    return {bound.sentence: bound for bound in bounds(seen, parts, servers)}


@pytest.fixture
def seen(turn: Callable[..., Turn]) -> Seen:
    default = {"is_default": True}
    turns = [
        turn("shoal", 1, 60_000, 50, COSTS),
        msgspec.structs.replace(turn("mosec", 1, 20_000, 2_000), **default),
        turn("pytriton", 1, 5_000, 1_000),
        turn("echo", 1, 100_000, 35),
        turn("shoal", 2, 50_000, 50, COSTS),
        msgspec.structs.replace(turn("mosec", 2, 20_000, 3_000), **default),
        turn("pytriton", 2, 10_000, 1_000),
        turn("echo", 2, 125_000, 35),
    ]
    return Seen(turns=turns)


def test_every_floor_is_easier_than_its_goal() -> None:
    for line in LINES:
        easier = line.floor < line.goal if line.rule == "at least" else line.floor > line.goal
        assert easier, line.sentence
    assert len({line.sentence for line in LINES}) == len(LINES)


def test_ratios_are_taken_round_by_round(seen: Seen) -> None:
    found = by_sentence(seen, "rounds")
    assert found["the same, times mosec"].value == Spread(2.75, 2.5, 3.0)
    assert found["the same, times pytriton"].value == Spread(8.5, 5.0, 12.0)


def test_a_line_is_reached_by_the_median_of_the_rounds(seen: Seen) -> None:
    share = by_sentence(seen, "rounds")[LIMIT_SHARE]
    assert share.value
    assert share.value.median == pytest.approx((0.72 + 0.5) / 2)
    assert (share.floor_reached, share.goal_reached) == (False, False)
    better = msgspec.structs.replace(share, value=Spread(0.85, 0.1, 0.9))
    assert (better.floor_reached, better.goal_reached) == (True, False)
    best = msgspec.structs.replace(share, value=Spread(0.92, 0.1, 0.99))
    assert (best.floor_reached, best.goal_reached) == (True, True)


def test_less_is_better_where_the_line_says_at_most(seen: Seen) -> None:
    lone = by_sentence(seen, "rounds")[LONE]
    assert lone.value
    assert lone.value.median == pytest.approx(50 - 35 - 6)
    assert (lone.floor_reached, lone.goal_reached) == (True, False)


def test_a_peer_is_taken_at_the_best_of_its_settings(seen: Seen) -> None:
    def with_another(like: Turn) -> Spread | None:
        another = msgspec.structs.replace(seen.turns[1], setting="another", many=like.many)
        more = Seen(turns=[*seen.turns, another])
        return by_sentence(more, "rounds")["the same, times mosec"].value

    slow, fast = seen.turns[2], seen.turns[4]
    assert with_another(slow) == Spread(2.75, 2.5, 3.0)
    assert with_another(fast) == Spread((60 / 50 + 50 / 20) / 2, 60 / 50, 2.5)


def test_a_lone_request_is_compared_with_the_default_of_a_peer(seen: Seen) -> None:
    sentence = "1 connection, p50: times lower than mosec's default"
    quick = msgspec.structs.replace(
        seen.turns[1], setting="tuned", is_default=False, one=seen.turns[0].one
    )
    found = by_sentence(Seen(turns=[*seen.turns, quick]), "rounds")[sentence]
    assert found.value == Spread(50.0, 40.0, 60.0)


def test_binary_tensors_are_held_against_the_bare_loop(reading: Callable[..., Reading]) -> None:
    binary = reading("shoal", 1, 12_500, form="binary", rows_per_request=64)
    seen = Seen(readings=[binary], model_costs=[ModelCosts("digits", 1, COSTS)])
    share = by_sentence(seen, "forms")[
        "binary tensors, 64 rows per request: share of a bare ONNX Runtime loop"
    ]
    assert share.value
    assert share.value.median == pytest.approx(12_500 * 64 / 1e6)
    assert share.floor_reached


def test_grpc_is_compared_with_the_grpc_of_pytriton_on_the_same_model(
    reading: Callable[..., Reading],
) -> None:
    readings = [
        reading("shoal", 1, 40_000, form="grpc"),
        reading("pytriton", 1, 5_000, form="grpc"),
        reading("pytriton", 1, 1, form="json"),
        reading("pytriton", 1, 1, form="grpc", model="forest"),
    ]
    found = by_sentence(Seen(readings=readings), "forms")["gRPC, single row: times pytriton"]
    assert found.value == Spread(8.0, 8.0, 8.0)


def test_goodput_in_overload_is_a_share_of_the_most_that_the_open_loop_saw(
    reading: Callable[..., Reading],
) -> None:
    readings = [
        reading("shoal", 1, 60_000, part="loads"),
        reading("shoal", 1, 10_000, part="loads", offered_share=0.1, connections=256),
        reading("shoal", 1, 50_000, part="loads", offered_share=0.9, connections=256),
        reading("shoal", 1, 49_000, part="loads", offered_share=1.0, connections=256),
        reading("shoal", 1, 47_500, part="loads", offered_share=1.5, connections=256),
        reading("mosec", 1, 90_000, part="loads", offered_share=1.0, connections=256),
    ]
    found = by_sentence(Seen(readings=readings), "loads")
    goodput = found["150 % of capacity offered: answers per second, of the most at up to 100 %"]
    assert goodput.value
    assert goodput.value.median == pytest.approx(0.95)
    assert (goodput.floor_reached, goodput.goal_reached) == (True, False)


def test_the_footprint_is_shoals_own() -> None:
    own = Footprint("shoal", "", 1, 0.3, 60_000_000, 100_000_000, 90_000_000, 0.0004, 20.0)
    peer = msgspec.structs.replace(own, server="mosec", resident_bytes=1)
    seen = Seen(footprints=[own, peer], drifts=[Drift("shoal", 2_000_000, 100, 102)])
    medians = {
        sentence: bound.value.median
        for sentence, bound in by_sentence(seen, "footprint").items()
        if bound.value
    }
    assert medians == pytest.approx(
        {
            "resident memory, MB": 100,
            "growth of resident memory over 2 million requests, %": 2,
            "idle: processor time, % of a core": 0.04,
            "ready after start, s": 0.3,
        }
    )


def test_a_line_without_a_value_says_why_and_is_not_reached(seen: Seen) -> None:
    alone = Seen(turns=[turn for turn in seen.turns if turn.server != "mosec"])
    mosec = by_sentence(alone, "rounds")["the same, times mosec"]
    assert (mosec.value, mosec.remark, mosec.floor_reached) == (None, NOT_MEASURED, False)


def test_threads_are_compared_round_by_round() -> None:
    costs = [(1, 1, 10.0), (1, 2, 11.0), (2, 1, 20.0), (2, 2, 21.0)]
    seen = Seen(thread_costs=[ThreadCost(*cost) for cost in costs])
    (bound,) = by_sentence(seen, "threads").values()
    assert bound.value
    assert (bound.value.minimum, bound.value.maximum) == pytest.approx((1.05, 1.1))
    assert bound.floor_reached


def test_lines_of_other_parts_and_of_absent_peers_are_left_out(seen: Seen) -> None:
    assert "resident memory, MB" not in by_sentence(seen, "rounds")
    assert "the same, times litserve" not in by_sentence(seen, "rounds")
    assert "the same, times mosec" not in by_sentence(seen, "rounds", servers=("shoal", "echo"))


def test_without_shoal_there_is_nothing_to_hold_to(seen: Seen) -> None:
    assert bounds(seen, ["rounds"], ["mosec", "echo"]) == []
