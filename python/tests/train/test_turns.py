"""Turns go to where an improvement costs least, and none is forgotten."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.train._search._turns import Attempt, cost_of_improving, is_behind, whose_turn

LOSSES = st.lists(
    st.tuples(st.floats(0.01, 10), st.floats(0.001, 1)).map(lambda pair: Attempt(*pair)),
    min_size=1,
    max_size=8,
)


def drawn(history: dict[str, list[Attempt]], count: int = 500) -> Counter[str | None]:
    random = np.random.default_rng(0)
    return Counter(whose_turn(history, random) for _ in range(count))


def test_the_quicker_of_two_equals_has_more_turns() -> None:
    quick = [Attempt(0.1, 0.2), Attempt(0.1, 0.1)]
    slow = [Attempt(10.0, 0.2), Attempt(10.0, 0.1)]
    turns = drawn({"quick": quick, "slow": slow})
    assert turns["quick"] > 10 * turns["slow"] > 0


def test_who_is_far_behind_has_few_turns_but_some() -> None:
    turns = drawn(
        {"near": [Attempt(1.0, 0.10), Attempt(1.0, 0.05)], "far": [Attempt(1.0, 0.9)] * 3}
    )
    assert 0 < turns["far"] < turns["near"] / 2


def test_who_was_never_tested_on_all_folds_has_none() -> None:
    history = {"failed": [Attempt(0.0, None)], "done": [Attempt(1.0, 0.3)]}
    assert drawn(history) == {"done": 500}
    assert whose_turn({"failed": [Attempt(0.0, None)]}, np.random.default_rng(0)) is None


@given(LOSSES)
def test_the_best_pays_for_its_own_improvements_only(attempts: list[Attempt]) -> None:
    least = min(each.loss for each in attempts if each.loss is not None)
    own = cost_of_improving(attempts, least)
    assert 0 < own <= sum(each.seconds for each in attempts)
    assert cost_of_improving(attempts, least / 2) >= own


@given(LOSSES, st.floats(0.01, 10))
def test_a_turn_without_an_improvement_makes_the_next_dearer(
    attempts: list[Attempt], seconds: float
) -> None:
    least = min(each.loss for each in attempts if each.loss is not None)
    wasted = [*attempts, Attempt(seconds, least + 1)]
    assert cost_of_improving(wasted, least) >= cost_of_improving(attempts, least)


@pytest.mark.parametrize(
    ("scores", "behind"), [([0.4, 0.4], True), ([0.6, 0.6], False), ([0.9], False), ([0.1], True)]
)
def test_half_of_the_others_did_better(scores: list[float], *, behind: bool) -> None:
    others = [[score] * 5 for score in (0.3, 0.4, 0.5, 0.6, 0.7)]
    assert is_behind(scores, others) is behind
    assert not is_behind(scores, others[:4])
    assert not is_behind(scores, [])
