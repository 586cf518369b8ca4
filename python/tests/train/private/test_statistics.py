"""Private statistics and choices: what they promise, and that they are of use."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from scipy import stats
from sklearn.pipeline import make_pipeline

from shoal.errors import BudgetError, InvalidRequestError
from shoal.train import (
    Account,
    BoundedScaler,
    Bounds,
    Budget,
    GradientClassifier,
    PrivateScaler,
    choose_privately,
    choose_threshold_privately,
    private_quantiles,
    private_vocabulary,
)

if TYPE_CHECKING:
    from shoal.train import PrivacySpent

LOOSE = Budget(1e6, 1e-6)


def account(epsilon: float = 5.0, records: int = 10_000) -> Account:
    return Account(Budget(epsilon, 1e-6), records=records)


def epsilons(spent: PrivacySpent) -> list[float]:
    return [use.guarantee.epsilon for use in spent.uses if hasattr(use.guarantee, "epsilon")]


def test_bounds_scale_without_a_look_at_the_records() -> None:
    scaler = BoundedScaler([0.0, -5.0], [10.0, 5.0])
    one = scaler.fit([[1.0, 1.0]]).transform([[0.0, 0.0], [10.0, 99.0], [5.0, np.nan]])
    other = scaler.fit([[7.0, 3.0], [9.0, 2.0]]).transform(
        [[0.0, 0.0], [10.0, 99.0], [5.0, np.nan]]
    )
    assert one.tolist() == other.tolist() == [[-1.0, 0.0], [1.0, 1.0], [0.0, 0.0]]


@pytest.mark.parametrize(
    ("lower", "upper"), [([0.0], [0.0]), ([0.0, 1.0], [1.0]), ([0.0], [np.inf]), ([], [])]
)
def test_bounds_that_are_none_are_refused(lower: list[float], upper: list[float]) -> None:
    with pytest.raises(InvalidRequestError, match="expected"):
        Bounds(lower, upper)


def test_private_means_and_scales_are_near_the_true_ones() -> None:
    rows = np.random.default_rng(0).normal([3.0, -2.0], [1.0, 0.5], size=(10_000, 2))
    used = account()
    scaled = PrivateScaler([-3.0, -5.0], [9.0, 1.0], account=used, epsilon=1.0).fit_transform(rows)
    assert np.abs(scaled.mean(axis=0)).max() < 0.1
    assert np.abs(scaled.std(axis=0) - 1).max() < 0.1
    assert 0.9 < used.epsilon <= 1.0


def test_a_whole_pipeline_spends_one_budget() -> None:
    draw = np.random.default_rng(0)
    rows = draw.normal(size=(2000, 3)) * [1.0, 10.0, 100.0]
    classes = (rows @ [1.0, 0.1, 0.01] > 0).astype(int)
    used = account(epsilon=3.0, records=2000)
    scaler = PrivateScaler([-4, -40, -400], [4, 40, 400], account=used, epsilon=0.5)
    model = make_pipeline(scaler, GradientClassifier(used, epsilon=2.0)).fit(rows, classes)
    threshold = choose_threshold_privately(
        used, model.predict_proba(rows)[:, 1], classes == 1, epsilon=0.5
    )
    assert 0.3 < threshold < 0.7
    assert model.score(rows, classes) > 0.9
    assert [use.purpose for use in used.spent.uses] == ["mean and scale", "training", "threshold"]
    assert used.epsilon <= 3.0
    with pytest.raises(BudgetError, match="the budget is 3"):
        choose_privately(used, [1.0, 2.0], epsilon=2.5, sensitivity=1.0)


def test_quantiles_are_near_the_true_ones_and_within_bounds() -> None:
    values = np.random.default_rng(0).normal(size=10_000)
    used = account()
    found = private_quantiles(used, values, [0.1, 0.5, 0.9], bounds=(-8.0, 8.0), epsilon=1.5)
    assert np.abs(np.asarray(found) - stats.norm.ppf([0.1, 0.5, 0.9])).max() < 0.1
    assert epsilons(used.spent) == [0.5, 0.5, 0.5]
    assert used.epsilon <= 1.5 + 1e-3


def test_a_vocabulary_has_what_many_say_and_not_what_one_does() -> None:
    used = account(records=1000)
    words = [
        ["common", f"secret-{number}", "rare" if number < 3 else "usual"] for number in range(1000)
    ]
    found = private_vocabulary(used, words, epsilon=1.0, delta=1e-7, most_of_a_record=3)
    assert found == ["common", "usual"]
    assert used.spent.uses[0].parameters == {"most_of_a_record": 3}
    with pytest.raises(BudgetError, match="vocabulary would bring epsilon"):
        private_vocabulary(used, words, epsilon=1.0, delta=1e-5)


def test_a_choice_is_drawn_as_the_exponential_mechanism_says() -> None:
    scores = np.asarray([0.0, 1.0, 3.0])
    chances = np.exp(scores * 1.2 / 2)
    used = Account(LOOSE, records=10)
    counts = np.zeros(3)
    for seed in range(3000):
        used._ledger.uses.clear()
        counts[choose_privately(used, scores, epsilon=1.2, sensitivity=1.0, seed=seed)] += 1
    assert stats.chisquare(counts, chances / chances.sum() * 3000).pvalue > 1e-4
    assert not used.spent.private


def test_the_better_threshold_is_found_where_positives_count_more() -> None:
    draw = np.random.default_rng(0)
    is_positive = draw.random(20_000) < 0.05
    shares = np.clip(draw.normal(np.where(is_positive, 0.45, 0.2), 0.1), 0, 1)
    even = choose_threshold_privately(account(), shares, is_positive, epsilon=1.0)
    heavy = choose_threshold_privately(
        account(), shares, is_positive, epsilon=1.0, positive_weight=19.0
    )
    assert heavy < even
    assert abs(heavy - 0.325) < 0.05


@pytest.mark.parametrize("scores", [[], [float("nan")], [[1.0]]])
def test_scores_that_cannot_be_are_refused(scores: list[float]) -> None:
    with pytest.raises(InvalidRequestError, match="scores"):
        choose_privately(account(), scores, epsilon=1.0, sensitivity=1.0)
    with pytest.raises(InvalidRequestError, match="sensitivity is 0"):
        choose_privately(account(), [1.0], epsilon=1.0, sensitivity=0)
