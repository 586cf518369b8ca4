"""What scoring is held against is divided by the turns of `score` around it."""

from __future__ import annotations

import pytest

from benchmarks.score._command import AGAIN, OWN, Taken, limit_s, own_s, times


def taken(**seconds: float) -> dict[str, Taken]:
    turns = {name.replace("_", "-"): wall for name, wall in seconds.items()}
    return {name: Taken(wall, wall, 1000, 0) for name, wall in turns.items()}


ROUND = {
    **taken(read=1.0, kernel=3.0, write=2.0, score=4.0, hand_512=9.0),
    AGAIN + "hand-512": Taken(5.0, 5.0, 1000, 0),
    **taken(ray=30.0),
    AGAIN + "ray": Taken(7.0, 7.0, 1000, 0),
    **taken(command=8.0),
}


@pytest.mark.parametrize(("name", "expected"), [("hand-512", 9 / 4.5), ("ray", 30 / 6)])
def test_the_turns_before_and_behind_count(name: str, expected: float) -> None:
    assert times(ROUND, name) == expected


def test_a_round_s_own_time_is_the_median_of_its_turns() -> None:
    assert own_s(ROUND) == 5.0
    assert own_s({OWN: ROUND[OWN]}) == 4.0


def test_the_limit_is_what_all_cores_need_for_the_three_parts() -> None:
    assert limit_s(ROUND, 2) == 3.0
