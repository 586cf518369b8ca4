from __future__ import annotations

import math
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from scipy import stats
from sklearn import metrics

from shoal.errors import InputError, InvalidRequestError
from shoal.evaluate import (
    Classification,
    Comparison,
    Regression,
    Settings,
    compare,
    compare_scores,
    from_json,
    to_json,
)

YES = Classification(labels=("no", "yes"))


def answers_of(right: int, wrong: int) -> pa.Table:
    return pa.table({"label": ["yes"] * right + ["no"] * wrong})


def test_labels_are_compared_by_the_exact_test_of_mcnemar() -> None:
    truth = ["yes"] * 100
    first, second = answers_of(90, 10), answers_of(70, 30)
    settings = Settings(metric="accuracy", replicates=200)
    found = compare(truth, {"b": second, "a": first}, task=YES, baseline="b", settings=settings)
    assert found.winner == "a"
    (pair,) = found.pairs
    assert (pair.role, pair.other) == ("baseline", "b")
    assert pair.difference == pytest.approx(0.2)
    mcnemar, bootstrap = pair.tests
    assert mcnemar.p_value == pytest.approx(2 * 0.5**20)
    assert mcnemar.note == "only a right: 20, only b right: 0"
    assert bootstrap.p_value == pytest.approx(2 / 201)
    assert pair.bounds is not None
    assert 0.1 < pair.bounds.low < 0.2 < pair.bounds.high < 0.3


def test_the_winner_meets_the_baseline_and_the_runner_up_and_tests_are_adjusted() -> None:
    truth = ["yes"] * 100
    models = {name: answers_of(n, 100 - n) for name, n in [("c", 60), ("a", 90), ("b", 88)]}
    settings = Settings(metric="accuracy", replicates=100)
    found = compare(truth, models, task=YES, baseline="c", settings=settings)
    assert [standing.name for standing in found.standings] == ["a", "b", "c"]
    assert [(pair.role, pair.other) for pair in found.pairs] == [
        ("baseline", "c"),
        ("runner-up", "b"),
    ]
    far, near = (pair.tests[0] for pair in found.pairs)
    assert far.adjusted_p_value == pytest.approx(2 * 2 * 0.5**30)
    assert (near.p_value, near.adjusted_p_value) == (0.5, 0.5)


def test_a_baseline_that_wins_is_said_to() -> None:
    settings = Settings(metric="accuracy", replicates=0)
    models = {"dummy": answers_of(9, 1), "model": answers_of(8, 2)}
    found = compare(["yes"] * 10, models, task=YES, baseline="dummy", settings=settings)
    assert found.notes == ("no model is better than the baseline 'dummy'",)
    assert [(pair.role, pair.other) for pair in found.pairs] == [("runner-up", "model")]
    assert found.pairs[0].bounds is None
    assert [test.name for test in found.pairs[0].tests] == ["McNemar, exact"]


def test_models_that_answer_alike_do_not_differ() -> None:
    models = {"first": answers_of(5, 5), "second": answers_of(5, 5)}
    settings = Settings(metric="accuracy", replicates=50)
    found = compare(["yes"] * 10, models, task=YES, settings=settings)
    assert found.winner == "first"
    assert [test.p_value for test in found.pairs[0].tests] == [1.0, 1.0]
    assert found.pairs[0].difference == 0.0


def test_a_metric_of_which_less_is_better_ranks_the_other_way() -> None:
    rng = np.random.default_rng(1)
    truth = rng.normal(size=300)
    models = {
        "rough": pa.table({"prediction": truth + rng.normal(size=300)}),
        "fine": pa.table({"prediction": truth + 0.1 * rng.normal(size=300)}),
    }
    found = compare(truth, models, task=Regression(), settings=Settings(replicates=100))
    assert (found.metric, found.better, found.winner) == ("mean_absolute_error", "lower", "fine")
    (pair,) = found.pairs
    assert pair.difference > 0
    assert [test.name for test in pair.tests] == ["paired bootstrap"]
    errors = [
        metrics.mean_absolute_error(truth, models[name]["prediction"].to_numpy())
        for name in ("rough", "fine")
    ]
    assert pair.difference == pytest.approx(errors[0] - errors[1])


def test_the_bias_nearest_to_zero_is_best() -> None:
    models = {"high": pa.table({"prediction": [3.0]}), "low": pa.table({"prediction": [0.5]})}
    settings = Settings(metric="bias", replicates=0)
    found = compare([1.0], models, task=Regression(), settings=settings)
    assert found.winner == "low"


def test_probabilities_are_compared_by_their_area() -> None:
    truth = ["no", "no", "yes", "yes"]
    models = {
        name: pa.table({"label": truth, "probabilities": scores})
        for name, scores in [("worse", [0.1, 0.5, 0.4, 0.9]), ("better", [0.1, 0.2, 0.8, 0.9])]
    }
    found = compare(truth, models, task=YES, settings=Settings(replicates=20))
    assert (found.metric, found.winner) == ("roc_auc", "better")
    assert [standing.value for standing in found.standings] == [1.0, 0.75]


def test_scores_of_folds_are_compared_by_the_corrected_test() -> None:
    scores = {"a": [0.80, 0.82, 0.79, 0.85, 0.81], "b": [0.78, 0.79, 0.80, 0.80, 0.79]}
    found = compare_scores(scores, metric="accuracy", test_share=0.25, baseline="b")
    (pair,) = found.pairs
    difference = np.subtract(scores["a"], scores["b"])
    error = math.sqrt((1 / 5 + 1 / 4) * difference.var(ddof=1))
    expected = 2 * stats.t.sf(difference.mean() / error, 4)
    assert pair.tests[0].p_value == pytest.approx(expected)
    assert pair.tests[0].name == "corrected resampled t-test (Nadeau and Bengio 2003)"
    # The test that takes folds for independent finds more than there is.
    assert expected > 2 * stats.ttest_1samp(difference, 0).pvalue
    assert pair.bounds is not None
    assert pair.bounds.high - difference.mean() == pytest.approx(stats.t.ppf(0.975, 4) * error)


def test_folds_that_all_differ_by_the_same_say_nothing() -> None:
    found = compare_scores({"a": [1, 1], "b": [0, 0]}, metric="accuracy", test_share=1.0)
    (test,) = found.pairs[0].tests
    assert test.p_value is None
    assert "no variance" in test.note


def test_a_comparison_is_json_and_back() -> None:
    found = compare_scores({"a": [1, 2], "b": [0, 3]}, metric="log_loss", test_share=1.0)
    assert from_json(to_json(found), Comparison) == found


@pytest.mark.parametrize(
    ("scores", "message"),
    [
        ({"a": [1, 2]}, "expected at least 2"),
        ({"a": [1, 2], "b": [1]}, "expected as many each"),
        ({"a": [1], "b": [1]}, "from 2 up"),
        ({"a": [1, math.nan], "b": [1, 2]}, "'a' has a score that is not finite"),
    ],
)
def test_scores_that_cannot_be_compared_are_refused(scores: Any, message: str) -> None:
    with pytest.raises(InvalidRequestError, match=message):
        compare_scores(scores, metric="accuracy", test_share=0.25)


@pytest.mark.parametrize(
    ("settings", "baseline", "message"),
    [
        (Settings(metric="roc_auc"), None, "the answers hold no probabilities or scores"),
        (Settings(metric="speed"), None, "only accuracy"),
        (Settings(metric="accuracy"), "z", "the baseline 'z' is none of the models"),
        (Settings(metric="accuracy", weight="w"), None, "by all records alike"),
        (Settings(metric="accuracy", slices=("w",)), None, "by all records alike"),
    ],
)
def test_models_that_cannot_be_compared_are_refused(
    settings: Settings, baseline: str | None, message: str
) -> None:
    models = {"a": answers_of(1, 1), "b": answers_of(2, 0)}
    with pytest.raises(InputError, match=message):
        compare(["yes", "yes"], models, task=YES, baseline=baseline, settings=settings)


@pytest.mark.parametrize("test_share", [0.0, -1.0, math.nan])
def test_a_share_that_is_none_is_refused(test_share: float) -> None:
    with pytest.raises(InvalidRequestError, match="expected a number above 0"):
        compare_scores({"a": [1, 2], "b": [1, 3]}, metric="accuracy", test_share=test_share)
