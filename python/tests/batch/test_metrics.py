from __future__ import annotations

import math
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest
from sklearn import calibration, metrics

from shoal import batch
from shoal.batch import Merge, merge
from shoal.errors import DtypeError, InvalidRequestError

if TYPE_CHECKING:
    from collections.abc import Callable

LABELS = ["ant", "bee", "cow", "yak"]
ROWS = 5000


def one(batches: list[Any], made: Merge) -> Any:
    (row,) = merge(batches, made).to_pylist()
    return row[made.name]


def near(value: Any) -> Any:
    return pytest.approx(value, rel=1e-12, abs=1e-15)


def slices(table: pa.Table) -> list[pa.RecordBatch]:
    batches: list[pa.RecordBatch] = table.to_batches(max_chunksize=777)
    return batches


def labelled(seed: int) -> tuple[list[str], list[str]]:
    """Gives truths and guesses; the last label is neither, and the third never guessed."""
    rng = np.random.default_rng(seed)
    truth = rng.choice(LABELS[:3], ROWS, p=[0.7, 0.2, 0.1])
    guess = np.where(rng.random(ROWS) < 0.6, truth, rng.choice(LABELS[:2], ROWS))
    return truth.tolist(), np.where(guess == "cow", "ant", guess).tolist()


@pytest.mark.parametrize("seed", range(3))
def test_metrics_of_labels_are_those_of_scikit_learn(seed: int) -> None:
    truth, guess = labelled(seed)
    made = batch.classification("truth", "guess", labels=LABELS)
    found = one(slices(pa.table({"truth": truth, "guess": guess})), made)
    assert found["records"] == ROWS
    assert found["other"] == 0
    assert found["accuracy"] == near(metrics.accuracy_score(truth, guess))
    assert found["balanced_accuracy"] == near(metrics.balanced_accuracy_score(truth, guess))
    assert found["matthews_correlation"] == near(metrics.matthews_corrcoef(truth, guess))
    for average in ("macro", "weighted", None):
        scores = metrics.precision_recall_fscore_support(
            truth, guess, labels=LABELS, average=average, zero_division=0.0
        )
        for name, score in zip(("precision", "recall", "f1"), scores, strict=False):
            assert found[f"{average}_{name}" if average else name] == near(score)
    assert found["support"] == [truth.count(label) for label in LABELS]


def test_records_of_other_labels_are_counted_and_part_of_no_metric() -> None:
    pairs = [("ant", "ant"), ("ant", "elk"), ("elk", "ant"), ("bee", "bee"), (None, "ant")]
    records = [{"truth": truth, "guess": guess} for truth, guess in pairs]
    found = one([records], batch.classification("truth", "guess", labels=["ant", "bee"]))
    assert (found["records"], found["other"], found["accuracy"]) == (2, 2, 1.0)


def test_no_record_has_no_metric() -> None:
    made = [
        batch.classification("a", "b", labels=["x"]),
        batch.regression("a", "b"),
        batch.log_loss("a", "b"),
        batch.brier_score("a", "b"),
    ]
    (found,) = merge([], made).to_pylist()
    assert found["classification"].pop("records") == 0
    assert found["classification"].pop("other") == 0
    assert found["regression"].pop("records") == 0
    assert set(found["classification"].values()) == {None}
    assert set(found["regression"].values()) == {None}
    assert (found["log_loss"], found["brier_score"]) == (None, None)


def test_a_truth_that_never_changes_has_no_correlation() -> None:
    records = [{"truth": "ant", "guess": guess} for guess in ("ant", "bee")]
    found = one([records], batch.classification("truth", "guess", labels=["ant", "bee"]))
    assert found["matthews_correlation"] == 0.0
    assert found["balanced_accuracy"] == 0.5


def test_a_correlation_of_very_many_records_is_not_wrapped() -> None:
    made = batch.classification("truth", "guess", labels=[False, True])
    table = pa.record_batch({"truth": [False, True], "guess": [False, True]})
    states = made.lift(table, pa.array([0, 0], pa.int32()), 1)
    for _ in range(40):
        states = made.combine(pa.concat_batches([states] * 2), pa.array([0, 0], pa.int32()), 1)
    (found,) = made.finish(states).column("classification").to_pylist()
    assert found["records"] == 2**41
    assert found["matthews_correlation"] == near(1.0)


@pytest.mark.parametrize("kind", [bool, int, float])
def test_losses_of_probabilities_are_those_of_scikit_learn(kind: type) -> None:
    rng = np.random.default_rng(1)
    truth, probability = rng.integers(0, 2, ROWS), rng.random(ROWS)
    probability[:3] = [0.0, 1.0, 1e-9]
    table = slices(pa.table({"truth": truth.astype(kind), "probability": probability}))
    assert one(table, batch.log_loss("truth", "probability")) == near(
        metrics.log_loss(truth, probability)
    )
    assert one(table, batch.brier_score("truth", "probability")) == near(
        metrics.brier_score_loss(truth, probability)
    )


def test_a_small_probability_keeps_its_digits() -> None:
    found = one([[{"truth": 0, "p": 1e-10}]], batch.log_loss("truth", "p"))
    assert found == pytest.approx(-math.log1p(-1e-10), rel=1e-12, abs=0)


def test_certainty_costs_no_more_than_the_clip() -> None:
    records = [{"truth": True, "p": 0.0}]
    assert one([records], batch.log_loss("truth", "p")) == near(52 * math.log(2))


@pytest.mark.parametrize("made", [batch.log_loss("truth", "p"), batch.brier_score("truth", "p")])
def test_a_loss_skips_nulls_and_a_nan_makes_it_nan(made: Merge) -> None:
    records: list[dict[str, Any]] = [{"truth": 1, "p": None}, {"truth": None, "p": 0.5}]
    assert one([records], made) is None
    assert math.isnan(one([[*records, {"truth": 1, "p": math.nan}]], made))


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ({"truth": 2, "p": 0.5}, "column 'truth' holds 2.0, expected 0 or 1"),
        ({"truth": 1, "p": 1.5}, "column 'p' holds 1.5, expected a probability from 0 to 1"),
        ({"truth": 1, "p": -1}, "column 'p' holds -1.0, expected a probability from 0 to 1"),
    ],
)
@pytest.mark.parametrize("make", [batch.log_loss, batch.brier_score])
def test_what_is_no_probability_or_truth_is_refused(
    make: Callable[[str, str], Merge], record: dict[str, Any], message: str
) -> None:
    with pytest.raises(InvalidRequestError, match=message):
        one([[record]], make("truth", "p"))


@pytest.mark.parametrize("seed", range(3))
def test_metrics_of_numbers_are_those_of_scikit_learn(seed: int) -> None:
    rng = np.random.default_rng(seed)
    truth = rng.normal(loc=10, size=ROWS)
    guess = truth + rng.normal(size=ROWS)
    found = one(slices(pa.table({"t": truth, "g": guess})), batch.regression("t", "g"))
    assert found["records"] == ROWS
    assert found["bias"] == near(math.fsum(np.concatenate([guess, -truth])) / ROWS)
    assert found["mean_absolute_error"] == near(metrics.mean_absolute_error(truth, guess))
    assert found["mean_squared_error"] == near(metrics.mean_squared_error(truth, guess))
    assert found["root_mean_squared_error"] == near(metrics.root_mean_squared_error(truth, guess))
    assert found["max_error"] == near(metrics.max_error(truth, guess))
    assert found["r2"] == near(metrics.r2_score(truth, guess))


def test_errors_that_cancel_leave_an_exact_bias_and_r2() -> None:
    truth = [1e9, 1e9 + 1e-6, 1e9 - 1e-6, 0.1]
    guess = [1e9 + 1e-6, 1e9, 1e9 - 1e-6, 0.1 + 1e-16]
    rows = [{"t": t, "g": g} for t, g in zip(truth, guess, strict=True)]
    found = one([rows[:1], rows[1:]], batch.regression("t", "g"))
    errors = [Fraction(g) - Fraction(t) for t, g in zip(truth, guess, strict=True)]
    assert found["bias"] == near(float(sum(errors) / 4))
    assert found["mean_absolute_error"] == near(float(sum(map(abs, errors)) / 4))
    assert found["mean_squared_error"] == near(float(sum(error**2 for error in errors) / 4))


def test_r2_near_zero_keeps_its_digits() -> None:
    truth = np.random.default_rng(4).normal(size=1000)
    guess = np.full(1000, truth.mean() + 1e-9)
    found = one([pa.table({"t": truth, "g": guess})], batch.regression("t", "g"))
    exact, level = list(map(Fraction, truth)), Fraction(float(guess[0]))
    mean = sum(exact) / 1000
    spread = sum((value - mean) ** 2 for value in exact)
    expected = float(1 - sum((value - level) ** 2 for value in exact) / spread)
    assert abs(expected) < 1e-15
    assert found["r2"] == pytest.approx(expected, rel=1e-12, abs=0)


def test_a_truth_that_never_changes_has_no_r2() -> None:
    rows = [{"t": 1, "g": 1}, {"t": 1, "g": 2}]
    found = one([rows], batch.regression("t", "g"))
    assert (found["r2"], found["mean_absolute_error"], found["bias"]) == (None, 0.5, 0.5)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_what_is_not_finite_makes_every_metric_nan(value: float) -> None:
    found = one([[{"t": 1.0, "g": 2.0}, {"t": 2.0, "g": value}]], batch.regression("t", "g"))
    assert found.pop("records") == 2
    assert all(math.isnan(metric) for metric in found.values())


def test_errors_are_as_large_as_doubles_are() -> None:
    rows = [{"t": 0.0, "g": 1e300}, {"t": 1.0, "g": -1e300}]
    found = one([rows], batch.regression("t", "g"))
    assert found["mean_squared_error"] == math.inf
    assert found["root_mean_squared_error"] == near(1e300)
    assert found["bias"] == -0.5


def test_integers_that_are_no_doubles_are_refused() -> None:
    with pytest.raises(DtypeError, match="column 't' is int64 and holds integers beyond"):
        one([[{"t": 2**53 + 1, "g": 0}]], batch.regression("t", "g"))


def test_text_is_no_prediction_of_a_number() -> None:
    with pytest.raises(DtypeError, match="column 'g' is string: it cannot be compared as numbers"):
        one([[{"t": 1, "g": "1"}]], batch.regression("t", "g"))


def test_each_group_has_metrics_of_its_own() -> None:
    table = pa.table({"who": ["a", "b", "a"], "t": [1, 2, 3], "g": [2, 2, 5]})
    answers = merge(table.to_batches(max_chunksize=1), batch.regression("t", "g"), by="who")
    found = answers.column("regression").to_pylist()
    assert [row["records"] for row in found] == [2, 1]
    assert [row["mean_absolute_error"] for row in found] == [1.5, 0.0]


@pytest.mark.parametrize("digits", [1, 4, 16])
@pytest.mark.parametrize("share", [0.001, 0.3, 0.999])
def test_areas_of_binned_scores_are_within_their_error_of_the_exact_ones(
    digits: int, share: float
) -> None:
    rng = np.random.default_rng(digits)
    truth = rng.random(ROWS) < share
    score = np.round(1 / (1 + np.exp(-rng.normal(size=ROWS) - truth)), digits)
    found = one(slices(pa.table({"truth": truth, "score": score})), batch.ranking("truth", "score"))
    assert (found["records"], found["positives"]) == (ROWS, truth.sum())
    assert abs(found["roc_auc"] - metrics.roc_auc_score(truth, score)) <= found["roc_auc_error"]
    exact = metrics.average_precision_score(truth, score)
    assert found["average_precision_low"] <= exact <= found["average_precision_high"]
    assert found["roc_auc_error"] < 0.002 or digits == 1


def test_scores_that_are_the_edges_are_ranked_exactly() -> None:
    score = np.random.default_rng(5).integers(0, 50, ROWS)
    truth = np.random.default_rng(6).random(ROWS) < score / 60
    table = pa.table({"truth": truth, "score": score})
    found = one(slices(table), batch.ranking("truth", "score", edges=range(51)))
    assert found["roc_auc"] == near(metrics.roc_auc_score(truth, score))
    assert found["average_precision"] == near(metrics.average_precision_score(truth, score))


def test_a_ranking_of_one_kind_has_no_area_and_a_nan_no_rank() -> None:
    records = [{"t": True, "s": 0.5}, {"t": False, "s": math.nan}, {"t": None, "s": 0.1}]
    found = one([records], batch.ranking("t", "s"))
    assert (found["records"], found["positives"], found["nan"]) == (1, 1, 1)
    assert (found["roc_auc"], found["average_precision"]) == (None, 1.0)
    assert one([], batch.ranking("t", "s"))["average_precision"] is None


def test_scores_beyond_the_edges_are_ranked_too() -> None:
    records = [{"t": t, "s": s} for t, s in [(1, math.inf), (1, 7.0), (0, -7.0), (0, 0.5)]]
    found = one([records], batch.ranking("t", "s", edges=[0.0, 1.0]))
    assert (found["roc_auc"], found["roc_auc_error"]) == (1.0, 0.0)


def test_a_reliability_table_is_that_of_scikit_learn() -> None:
    rng = np.random.default_rng(7)
    probability = rng.random(ROWS) * 0.85
    truth = rng.random(ROWS) < probability**2
    table = slices(pa.table({"truth": truth, "p": probability}))
    found = one(table, batch.calibration("truth", "p", bins=10))
    share, mean = calibration.calibration_curve(truth, probability, n_bins=10)
    assert [value for value in found["share"] if value is not None] == near(share)
    assert [value for value in found["mean_probability"] if value is not None] == near(mean)
    assert found["share"][9] is None
    weights = np.array(found["bin_records"][:9]) / ROWS
    error = float(np.sum(weights * np.abs(share - mean)))
    assert found["expected_calibration_error"] == pytest.approx(error, rel=1e-9)


def test_a_probability_on_an_edge_belongs_to_the_bin_above_and_one_to_the_last() -> None:
    records = [{"t": 1, "p": p} for p in (0.0, 0.5, 1.0, math.nan, None)]
    found = one([records], batch.calibration("t", "p", bins=2))
    assert (found["bin_records"], found["nan"], found["records"]) == ([1, 2], 1, 3)


@pytest.mark.parametrize("bins", [0, True, 2.0])
def test_bins_that_are_none_are_refused(bins: Any) -> None:
    with pytest.raises(InvalidRequestError, match="expected a whole number"):
        batch.calibration("t", "p", bins=bins)


def test_metrics_of_a_matrix_that_was_weighted_are_those_of_scikit_learn() -> None:
    truth, guess = labelled(8)
    weight = np.random.default_rng(8).random(ROWS)
    matrix = metrics.confusion_matrix(truth, guess, labels=LABELS, sample_weight=weight)
    found = batch.classification_of(matrix[None])
    scores = metrics.precision_recall_fscore_support(
        truth, guess, labels=LABELS, sample_weight=weight, zero_division=0
    )
    names = ("precision", "recall", "f1", "support")
    for name, score in zip(names, scores, strict=True):
        assert found[name][0] == near(score)
    assert found["matthews_correlation"][0] == near(
        metrics.matthews_corrcoef(truth, guess, sample_weight=weight)
    )
