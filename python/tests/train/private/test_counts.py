"""Counts with noise are what they promise, and so are the intervals that come from them."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from shoal.errors import BudgetError
from shoal.evaluate import Classification, Evaluation
from shoal.train import Account, Budget
from shoal.train._private._counts import laplaces, private_counts, settled
from shoal.train._private._records._errors import of_numbers
from shoal.train._private._records._measured import of_classes
from shoal.train._private._spent import Bounded

LABELS = ("a", "b", "c")
ALIKE = 0.03 * np.ones((3, 3)) + np.diag([0.4, 0.2, 0.13])


def account(epsilon: float = 3.0, records: int = 1000) -> Account:
    return Account(Budget(epsilon, 1e-6), records=records)


@pytest.mark.parametrize("epsilon", [0.1, 1.0, 3.0])
def test_the_noise_of_a_count_is_a_discrete_laplace_number(epsilon: float) -> None:
    found, cost = private_counts(account(5.0), np.zeros(20_000), epsilon=epsilon, seed=0)
    assert epsilon - 1 / 1024 <= cost <= epsilon
    most = max(2, int(3 / cost))
    places = np.arange(-most, most + 1)
    inside = np.exp(-cost * np.abs(places)) * np.tanh(cost / 2)
    chances = np.array([*inside, 1 - inside.sum()])
    counts = [int(np.count_nonzero(found == place)) for place in places]
    counts.append(20_000 - sum(counts))
    assert stats.chisquare(counts, chances * 20_000).pvalue > 1e-4
    simulated = laplaces(cost, (20_000,), np.random.default_rng(0))
    assert simulated.std() == pytest.approx(found.std(), rel=0.05)


def test_counts_take_all_that_is_left_and_no_more() -> None:
    used = account()
    _, first = private_counts(used, [[5, 1], [2, 9]], epsilon=1.0)
    found, rest = private_counts(used, [[5, 1], [2, 9]])
    assert found.shape == (2, 2)
    assert first == 1.0
    assert 1.99 < rest <= 2.0
    assert 2.99 < used.epsilon <= 3.0
    assert isinstance(used.spent.uses[1].guarantee, Bounded)
    with pytest.raises(BudgetError, match="less than 1/1024 is left for counts"):
        private_counts(used, [1])
    with pytest.raises(BudgetError, match="would bring epsilon"):
        private_counts(used, [1], epsilon=1.0)


def test_counts_that_cannot_be_are_moved_to_the_nearest_that_can() -> None:
    moved = settled([[7.0, -2.0, 4.0, 3.0], [0.0, 0.0, 0.0, 0.0]], 12)
    assert np.allclose(moved, np.array([[19, 0, 10, 7], [9, 9, 9, 9]]) / 3)


def measured(epsilon: float, records: int, seed: int) -> Evaluation:
    """Of answers whose true and answered classes are drawn as ALIKE says."""
    chances = (ALIKE / ALIKE.sum()).ravel()
    cells = np.random.default_rng(seed).choice(9, records, p=chances)
    labels = np.array(LABELS)
    return of_classes(
        account(epsilon, records),
        labels[cells // 3],
        labels[cells % 3],
        Classification(labels=LABELS),
        seed=seed,
    )


@pytest.mark.parametrize(("epsilon", "records"), [(3.0, 150), (0.5, 400), (0.3, 150)])
def test_intervals_hold_the_true_metrics_about_as_often_as_they_say(
    epsilon: float, records: int
) -> None:
    chances = ALIKE / ALIKE.sum()
    recalls = np.diag(chances) / chances.sum(axis=1)
    true = {"accuracy": np.trace(chances), "balanced_accuracy": recalls.mean()}
    held = dict.fromkeys(true, 0)
    for seed in range(200):
        evaluation = measured(epsilon, records, seed)
        for name, value in true.items():
            bounds = evaluation.metric(name).bounds
            assert bounds is not None
            held[name] += bounds.low <= value <= bounds.high
    # Of 200, 95 % is 190; fewer than 180 would come by chance once in 1,000.
    assert all(count >= 180 for count in held.values()), held


def test_a_noisy_confusion_matrix_is_right_in_the_mean() -> None:
    exact = np.array([[300, 20], [30, 150]])
    found = [private_counts(account(), exact, epsilon=0.3, seed=seed)[0] for seed in range(400)]
    error = np.mean(found, axis=0) - exact
    assert np.abs(error).max() < 4 * np.std(found, axis=0).max() / 20
    confusions = [measured(3.0, 1000, seed).confusion for seed in range(50)]
    assert np.abs(np.mean(confusions, axis=0) / 1000 - ALIKE / ALIKE.sum()).max() < 0.01


def test_intervals_of_numbers_hold_the_true_errors_about_as_often_as_they_say() -> None:
    held = {"mean_absolute_error": 0, "root_mean_squared_error": 0, "bias": 0}
    true = {"mean_absolute_error": 0.8 * np.sqrt(2 / np.pi), "root_mean_squared_error": 0.8}
    for seed in range(200):
        generator = np.random.default_rng(seed)
        truth = generator.uniform(-3, 3, 400)
        answers = truth + generator.normal(0, 0.8, 400)
        evaluation = of_numbers(account(1.0, 400), truth, answers, (-9.0, 9.0), seed=seed)
        for name in held:
            bounds = evaluation.metric(name).bounds
            assert bounds is not None
            held[name] += bounds.low <= true.get(name, 0.0) <= bounds.high
    assert all(count >= 180 for count in held.values()), held


def test_where_noise_is_as_large_as_the_counts_it_is_said() -> None:
    notes = {records: measured(0.3, records, 0).notes for records in (100, 10_000)}
    assert any("few beside the noise" in note for note in notes[100])
    assert not any("few beside the noise" in note for note in notes[10_000])


def test_truths_that_hardly_vary_have_no_r2() -> None:
    truth = np.full(500, 3.0)
    evaluation = of_numbers(account(), truth, truth + 0.1, (0.0, 10.0), seed=0)
    assert evaluation.metric("r2").value is None
    assert evaluation.metric("r2").note is not None
    assert evaluation.metric("bias").value == pytest.approx(0.1, abs=0.05)
