"""What privacy is for: a model gives away who it was trained on, a private one does not."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pytest

from shoal.train import Budget, GradientClassifier
from tests.train.private.attack import advantage, records

if TYPE_CHECKING:
    from collections.abc import Callable

EPSILON, DELTA = 1.0, 1e-4
COUNT = 600


def ordinary() -> GradientClassifier:
    return GradientClassifier(
        hidden_layers=(32,), epochs=200, batch_records=50, clip_norm=None, momentum=0.0
    )


def private() -> GradientClassifier:
    return GradientClassifier(
        Budget(EPSILON, DELTA),
        hidden_layers=(32,),
        epochs=30,
        batch_records=150,
        learning_rate=0.3,
    )


@pytest.mark.timeout(900)
def test_an_attack_tells_members_of_an_ordinary_model_and_not_of_a_private_one(
    prove_scale: int, record_property: Callable[[str, object], None]
) -> None:
    seeds, models = 5 * min(prove_scale, 8), 3 * min(prove_scale, 5)
    plain = advantage(ordinary, seeds=seeds, models=models, count=COUNT)
    hidden = advantage(private, seeds=seeds, models=models, count=COUNT)
    record_property("membership advantage of an ordinary model", str(plain))
    record_property("membership advantage of a private model", str(hidden))
    assert hidden.upper < plain.lower
    # The most that is allowed. Source: Kairouz et al. 2015 (arXiv 1311.0776), section 2.
    most = (math.exp(EPSILON) - 1 + 2 * DELTA) / (math.exp(EPSILON) + 1)
    assert hidden.lower < most


def test_the_private_model_of_the_attack_has_learned_something() -> None:
    rows, classes = records(3 * COUNT, seed=7)
    model = private().fit(rows[:COUNT], classes[:COUNT])
    assert model.score(rows[COUNT:], classes[COUNT:]) > 0.57
    assert model.privacy_ is not None
    assert model.privacy_.epsilon <= EPSILON
