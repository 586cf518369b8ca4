from __future__ import annotations

import math
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from sklearn import metrics

from shoal import batch
from shoal.errors import (
    DtypeError,
    InputError,
    InvalidRequestError,
    MissingColumnError,
    NullError,
    ShapeError,
)
from shoal.evaluate import (
    Classification,
    Evaluation,
    Regression,
    Settings,
    from_json,
    measure,
    to_json,
)

ROWS = 400
POINTS = Settings(replicates=0)
YES = Classification(labels=("no", "yes"))


def near(value: Any) -> Any:
    return pytest.approx(value, rel=1e-9, abs=1e-12)


def draw_binary(seed: int) -> tuple[Any, pa.Table, Any]:
    """Gives truths, answers and weights; scores are tied, as those of a tree."""
    rng = np.random.default_rng(seed)
    truth = rng.random(ROWS) < 0.2
    score = np.round(1 / (1 + np.exp(1 - rng.normal(size=ROWS) - 1.5 * truth)), 1)
    answers = pa.table({"label": np.where(score > 0.5, "yes", "no"), "probabilities": score})
    return truth, answers, rng.random(ROWS)


def draw_many(seed: int, labels: int) -> tuple[Any, Any, pa.Table]:
    rng = np.random.default_rng(seed)
    probabilities = rng.dirichlet(np.ones(labels), ROWS)
    truth = np.array([rng.choice(labels, p=row) for row in probabilities])
    answers = {"label": probabilities.argmax(1), "probabilities": list(probabilities)}
    return truth, probabilities, pa.table(answers)


def words(truth: Any) -> pa.Array:
    return pa.array(np.where(truth, "yes", "no"))


def values_of(evaluation: Evaluation) -> dict[str, float | None]:
    return {metric.name: metric.value for metric in evaluation.metrics}


def probabilities_of(rows: list[list[float | None]]) -> pa.Table:
    labels = ["no"] * len(rows)
    return pa.table({"label": labels, "probabilities": pa.array(rows, pa.list_(pa.float64()))})


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("column", [None, "weight"])
def test_metrics_of_two_labels_are_those_of_scikit_learn(seed: int, column: str | None) -> None:
    truth, answers, weight = draw_binary(seed)
    settings = Settings(replicates=0, weight=column)
    records = pa.table({"weight": weight})
    found = values_of(measure(words(truth), answers, task=YES, records=records, settings=settings))
    score = answers["probabilities"].to_numpy()
    guess = score > 0.5
    known = {"sample_weight": weight if column else None}
    assert found == {
        "accuracy": near(metrics.accuracy_score(truth, guess, **known)),
        "balanced_accuracy": near(metrics.balanced_accuracy_score(truth, guess, **known)),
        "matthews_correlation": near(metrics.matthews_corrcoef(truth, guess, **known)),
        "precision": near(metrics.precision_score(truth, guess, **known)),
        "recall": near(metrics.recall_score(truth, guess, **known)),
        "f1": near(metrics.f1_score(truth, guess, **known)),
        "macro_precision": near(metrics.precision_score(truth, guess, average="macro", **known)),
        "macro_recall": near(metrics.recall_score(truth, guess, average="macro", **known)),
        "macro_f1": near(metrics.f1_score(truth, guess, average="macro", **known)),
        "weighted_precision": near(
            metrics.precision_score(truth, guess, average="weighted", **known)
        ),
        "weighted_recall": near(metrics.recall_score(truth, guess, average="weighted", **known)),
        "weighted_f1": near(metrics.f1_score(truth, guess, average="weighted", **known)),
        "roc_auc": near(metrics.roc_auc_score(truth, score, **known)),
        "average_precision": near(metrics.average_precision_score(truth, score, **known)),
        "log_loss": near(metrics.log_loss(truth, score, **known)),
        "brier_score": near(metrics.brier_score_loss(truth, score, **known)),
        "expected_calibration_error": found["expected_calibration_error"],
    }


@pytest.mark.parametrize("labels", [3, 7])
def test_metrics_of_many_labels_are_those_of_scikit_learn(labels: int) -> None:
    truth, probabilities, answers = draw_many(labels, labels)
    task = Classification(labels=tuple(range(labels)))
    found = values_of(measure(truth, answers, task=task, settings=POINTS))
    guess = probabilities.argmax(1)
    assert found["accuracy"] == near(metrics.accuracy_score(truth, guess))
    assert found["macro_f1"] == near(metrics.f1_score(truth, guess, average="macro"))
    area = metrics.roc_auc_score(truth, probabilities, multi_class="ovr")
    assert found["roc_auc"] == near(area)
    one_hot = np.eye(labels)[truth]
    assert found["average_precision"] == near(
        metrics.average_precision_score(one_hot, probabilities)
    )
    assert found["log_loss"] == near(metrics.log_loss(truth, probabilities))
    assert found["brier_score"] == near(((probabilities - one_hot) ** 2).sum(1).mean())


@pytest.mark.parametrize("column", [None, "weight"])
def test_metrics_of_numbers_are_those_of_scikit_learn(column: str | None) -> None:
    rng = np.random.default_rng(4)
    truth = 1e6 + rng.normal(size=ROWS)
    guess, weight = truth + rng.normal(size=ROWS), rng.integers(1, 4, ROWS)
    settings = Settings(replicates=0, weight=column)
    records = pa.table({"weight": weight})
    answers = pa.table({"prediction": guess})
    found = values_of(
        measure(truth, answers, task=Regression(), records=records, settings=settings)
    )
    known = {"sample_weight": weight if column else None}
    assert found["mean_absolute_error"] == near(metrics.mean_absolute_error(truth, guess, **known))
    assert found["mean_squared_error"] == near(metrics.mean_squared_error(truth, guess, **known))
    assert found["r2"] == near(metrics.r2_score(truth, guess, **known))
    repeated = np.repeat(np.abs(guess - truth), weight if column else 1)
    assert found["median_absolute_error"] == near(np.median(repeated))


def test_a_stream_is_measured_as_a_table_is() -> None:
    truth, answers, _ = draw_binary(5)
    table = answers.append_column("truth", words(truth)).append_column("is", pa.array(truth))
    made = [
        batch.classification("truth", "label", labels=["no", "yes"]),
        batch.log_loss("is", "probabilities"),
        batch.brier_score("is", "probabilities"),
        batch.calibration("is", "probabilities"),
        batch.ranking("is", "probabilities"),
    ]
    (streamed,) = batch.merge(batch.split(table, by=batch.rows(37)), made).to_pylist()
    evaluation = measure(words(truth), answers, task=YES, settings=POINTS)
    found = values_of(evaluation)
    for name in ("accuracy", "balanced_accuracy", "macro_f1", "matthews_correlation"):
        assert found[name] == near(streamed["classification"][name])
    assert found["log_loss"] == near(streamed["log_loss"])
    assert found["brier_score"] == near(streamed["brier_score"])
    assert found["roc_auc"] == near(streamed["ranking"]["roc_auc"])
    assert found["average_precision"] == near(streamed["ranking"]["average_precision"])
    table_of = streamed["calibration"]
    assert found["expected_calibration_error"] == near(table_of["expected_calibration_error"])
    assert evaluation.calibration is not None
    assert [bin_.records for bin_ in evaluation.calibration.bins] == table_of["bin_records"]
    assert [bin_.share for bin_ in evaluation.calibration.bins] == near(table_of["share"])


def test_intervals_hold_the_value_and_the_same_seed_gives_the_same() -> None:
    truth, answers, _ = draw_binary(6)
    settings = Settings(replicates=300, seed=7)
    first, again = (measure(words(truth), answers, task=YES, settings=settings) for _ in range(2))
    assert to_json(first) == to_json(again)
    for metric in first.metrics:
        assert metric.bounds is not None
        assert metric.value is not None
        assert metric.bounds.low < metric.bounds.high
        assert metric.bounds.low <= metric.value <= metric.bounds.high or metric.note
    other = measure(words(truth), answers, task=YES, settings=Settings(replicates=300, seed=8))
    assert other.metric("accuracy").bounds != first.metric("accuracy").bounds


def test_an_interval_covers_the_true_metric_as_often_as_it_says() -> None:
    right, covered = 0.8, 0
    settings = Settings(replicates=200, confidence=0.9)
    for seed in range(100):
        rng = np.random.default_rng(seed)
        truth = rng.integers(0, 2, 100)
        guess = np.where(rng.random(100) < right, truth, 1 - truth)
        task = Classification(labels=(0, 1))
        metric = measure(truth, pa.table({"label": guess}), task=task, settings=settings).metric(
            "accuracy"
        )
        assert metric.bounds is not None
        covered += metric.bounds.low <= right <= metric.bounds.high
    assert 80 <= covered <= 98


def test_a_rare_label_is_in_every_replicate() -> None:
    truth = np.array([1] + [0] * 200)
    score = np.linspace(0.9, 0.1, 201)
    answers = pa.table({"label": (score > 0.5).astype(int), "probabilities": score})
    evaluation = measure(truth, answers, task=Classification(labels=(0, 1)))
    area = evaluation.metric("roc_auc")
    assert (area.value, area.bounds and area.bounds.low) == (1.0, 1.0)
    assert evaluation.notes == ("labels of fewer than 10 records: 1 (1)",)


def test_one_class_only_has_no_area_and_says_so() -> None:
    answers = pa.table({"label": ["no", "yes", "no"], "probabilities": [0.1, 0.7, 0.2]})
    evaluation = measure(["no", "no", "no"], answers, task=YES, settings=Settings(replicates=20))
    found = {metric.name: (metric.value, metric.note) for metric in evaluation.metrics}
    assert found["roc_auc"] == (None, "no record is truly 'yes'")
    assert found["average_precision"] == (None, "no record is truly 'yes'")
    assert found["recall"] == (0.0, "no record is truly 'yes': recall counts as 0 there")
    assert found["balanced_accuracy"] == (
        near(2 / 3),
        "of the labels that occur, without 'yes'",
    )
    assert found["matthews_correlation"][0] == 0.0
    assert found["accuracy"][0] == near(2 / 3)
    assert found["log_loss"][0] == near(-np.log([0.9, 0.3, 0.8]).mean())
    assert evaluation.curves == ()


def test_a_class_that_is_never_answered_has_a_precision_of_zero_and_says_so() -> None:
    answers = pa.table({"label": ["no", "no", "no"]})
    evaluation = measure(["no", "yes", "no"], answers, task=YES, settings=POINTS)
    precision = evaluation.metric("precision")
    assert (precision.value, precision.note) == (
        0.0,
        "no record was answered as 'yes': precision counts as 0 there",
    )
    assert evaluation.by_label[1].metrics[0].note == "never answered: counts as 0"


def test_without_probabilities_their_metrics_are_none_with_a_note() -> None:
    evaluation = measure(["no", "yes"], pa.table({"label": ["no", "no"]}), task=YES)
    for name in ("log_loss", "brier_score", "expected_calibration_error"):
        metric = evaluation.metric(name)
        assert (metric.value, metric.note) == (None, "the answers hold no probabilities")
    assert evaluation.metric("roc_auc").note == "the answers hold no probabilities or scores"
    assert evaluation.calibration is None
    assert evaluation.thresholds == ()


def test_scores_that_are_no_probabilities_rank_and_have_no_loss() -> None:
    answers = pa.table({"label": ["no", "yes", "yes"], "scores": [-3.0, 0.5, 7.0]})
    evaluation = measure(["no", "no", "yes"], answers, task=YES, settings=POINTS)
    assert evaluation.metric("roc_auc").value == 1.0
    assert evaluation.metric("log_loss").value is None


def test_more_classes_than_rows_are_measured() -> None:
    task = Classification(labels=tuple(range(20)))
    answers = pa.table({"label": [3, 4], "probabilities": list(np.full((2, 20), 0.05))})
    evaluation = measure([3, 5], answers, task=task, settings=Settings(replicates=10))
    assert evaluation.metric("accuracy").value == 0.5
    assert evaluation.metric("roc_auc").value is None
    assert "no record is truly 0, 1, 2, 4" in str(evaluation.metric("roc_auc").note)
    assert len(evaluation.confusion) == 20


def test_the_first_label_may_be_the_positive_one() -> None:
    task = Classification(labels=("yes", "no"), positive="yes")
    answers = pa.table({"label": ["yes", "no"], "probabilities": [0.9, 0.4]})
    evaluation = measure(["yes", "no"], answers, task=task, settings=POINTS)
    assert evaluation.metric("roc_auc").value == 1.0
    assert evaluation.metric("log_loss").value == near(-np.log([0.9, 0.6]).mean())


def test_a_truth_that_never_changes_has_no_r2() -> None:
    evaluation = measure([2.0] * 12, pa.table({"prediction": np.arange(12.0)}), task=Regression())
    metric = evaluation.metric("r2")
    assert (metric.value, metric.note) == (None, "the truth is always the same")
    assert evaluation.agreement is not None


def test_a_threshold_table_says_what_each_finds() -> None:
    answers = pa.table({"label": ["no"] * 4, "probabilities": [0.1, 0.3, 0.6, 0.8]})
    evaluation = measure(["no", "yes", "no", "yes"], answers, task=YES, settings=POINTS)
    half = next(row for row in evaluation.thresholds if row.threshold == 0.5)
    assert (half.precision, half.recall, half.f1) == (0.5, 0.5, 0.5)
    assert (half.false_positive_rate, half.answered_positive) == (0.5, 0.5)
    assert evaluation.thresholds[-1].precision is None


def test_an_evaluation_is_json_and_back() -> None:
    truth, answers, weight = draw_binary(9)
    records = pa.table(
        {"weight": weight, "side": ["left" if one > 0.5 else None for one in weight]}
    )
    settings = Settings(replicates=20, weight="weight", slices=("side",))
    evaluation = measure(words(truth), answers, task=YES, records=records, settings=settings)
    text = to_json(evaluation)
    assert b"NaN" not in text
    assert from_json(text, Evaluation) == evaluation


def test_a_slice_is_measured_as_its_records_alone() -> None:
    truth, answers, _ = draw_binary(10)
    side = np.array(["left", "right", None], object)[np.arange(ROWS) % 3]
    settings = Settings(replicates=50, slices=("side",))
    records = pa.table({"side": pa.array(side.tolist())})
    evaluation = measure(words(truth), answers, task=YES, records=records, settings=settings)
    (sliced,) = evaluation.slices
    assert {part.value for part in sliced.slices} == {"left", "right", None}
    for part in sliced.slices:
        keep = np.array([value == part.value for value in side])
        alone = measure(
            words(truth[keep]),
            answers.filter(pa.array(keep)),
            task=YES,
            settings=Settings(replicates=50),
        )
        assert part.records == keep.sum()
        assert part.metrics == alone.metrics
    accuracies = [
        metric.value
        for part in sliced.slices
        for metric in part.metrics
        if metric.name == "accuracy" and metric.value is not None
    ]
    assert sliced.differences["accuracy"] == near(max(accuracies) - min(accuracies))


def test_a_slice_of_one_class_has_no_area_and_the_others_are_compared() -> None:
    answers = pa.table({"label": ["no", "yes", "no"], "probabilities": [0.1, 0.7, 0.2]})
    settings = Settings(replicates=0, slices=("side",))
    records = pa.table({"side": [1, 1, 2]})
    evaluation = measure(["no", "yes", "no"], answers, task=YES, records=records, settings=settings)
    (sliced,) = evaluation.slices
    assert sliced.differences["roc_auc"] is None
    assert sliced.differences["accuracy"] == 0.0


@pytest.mark.parametrize(
    ("truth", "answers", "kind", "message"),
    [
        (
            ["no"],
            {"label": ["no", "no"]},
            ShapeError,
            "the answers have 2 records, the truth has 1",
        ),
        ([], {"label": pa.array([], pa.string())}, InvalidRequestError, "there are no records"),
        (["no", None], {"label": ["no", "no"]}, NullError, "the truth is missing in 1 of 2"),
        (["no"], {"label": [None]}, InputError, "column 'label' is missing in 1 of 1"),
        (["no"], {"answer": ["no"]}, MissingColumnError, "no column 'label', only 'answer'"),
        (["maybe"], {"label": ["no"]}, InvalidRequestError, "the truth holds 'maybe' in row 0"),
        ([1], {"label": ["no"]}, DtypeError, "the truth is int64, the labels are"),
        (["no"], {"label": ["no"], "probabilities": [None]}, InputError, "missing in 1 of 1"),
        (["no"], {"label": ["no"], "probabilities": [math.nan]}, InvalidRequestError, "in row 0"),
        (["no"], {"label": ["no"], "probabilities": [math.inf]}, InvalidRequestError, "in row 0"),
        (["no"], {"label": ["no"], "probabilities": [1.5]}, InvalidRequestError, "from 0 to 1"),
        (["no"], {"label": ["no"], "probabilities": ["x"]}, DtypeError, "expected numbers"),
        (["no"], {"label": ["no"], "probabilities": [[0.1] * 3]}, ShapeError, "there are 2 labels"),
        (["no"], {"label": ["no"], "probabilities": [[0.5, 0.6]]}, InputError, "add up to 1"),
        (["no"], {"label": ["no"], "probabilities": [[0.5, None]]}, NullError, "misses a number"),
    ],
)
def test_what_cannot_be_measured_is_refused_by_name(
    truth: list[Any], answers: dict[str, Any], kind: type[InputError], message: str
) -> None:
    with pytest.raises(kind, match=message):
        measure(truth, pa.table(answers), task=YES)


@pytest.mark.parametrize("value", [math.nan, math.inf, None, "x"])
def test_a_number_that_is_none_is_refused_by_row(value: Any) -> None:
    answers = pa.table({"prediction": [1.0, 2.0]})
    with pytest.raises(InputError, match="the truth"):
        measure([1.0, value] if value != "x" else ["a", "x"], answers, task=Regression())


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ([1.0, -1.0], "a weight from 0 up"),
        ([0.0, 0.0], "weighs every record 0"),
        ([1.0, math.inf], "a finite number"),
        ([1.0], "records= has 1 records"),
    ],
)
def test_weights_that_weigh_nothing_are_refused(weights: list[float], message: str) -> None:
    records, settings = pa.table({"w": weights}), Settings(weight="w")
    answers = pa.table({"label": ["no", "no"]})
    with pytest.raises(InputError, match=message):
        measure(["no", "yes"], answers, task=YES, records=records, settings=settings)


@pytest.mark.parametrize("settings", [Settings(weight="w"), Settings(slices=("w",))])
def test_columns_without_records_are_refused(settings: Settings) -> None:
    with pytest.raises(InvalidRequestError, match="there are none"):
        measure(["no"], pa.table({"label": ["no"]}), task=YES, settings=settings)


def test_a_column_of_too_many_slices_is_refused() -> None:
    records, settings = pa.table({"id": range(60)}), Settings(replicates=0, slices=("id",))
    answers = pa.table({"prediction": [1.0] * 60})
    with pytest.raises(InvalidRequestError, match="60 values, expected at most 50"):
        measure([1.0] * 60, answers, task=Regression(), records=records, settings=settings)


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (lambda: Classification(labels=("a",)), "tell two classes apart"),
        (lambda: Classification(labels=("a", "a")), "tell two classes apart"),
        (lambda: Classification(labels=("a", "b"), positive="c"), "none of two"),
        (lambda: Settings(replicates=-1), "replicates is -1"),
        (lambda: Settings(confidence=1.0), "confidence is 1.0"),
        (lambda: Settings(bins=0), "bins is 0"),
    ],
)
def test_a_task_or_settings_that_mean_nothing_are_refused(made: Any, message: str) -> None:
    with pytest.raises(InvalidRequestError, match=message):
        made()


def test_a_metric_that_was_not_measured_is_refused_by_name() -> None:
    evaluation = measure([1.0], pa.table({"prediction": [1.0]}), task=Regression())
    with pytest.raises(InvalidRequestError, match="no metric 'accuracy', only mean_absolute_error"):
        evaluation.metric("accuracy")


def test_json_of_another_kind_is_refused() -> None:
    with pytest.raises(InvalidRequestError, match="no Evaluation"):
        from_json(b"{}", Evaluation)
    with pytest.raises(InputError, match="no JSON"):
        from_json(b"{", Evaluation)


def test_every_replicate_of_many_records_is_not_held_at_a_time() -> None:
    from shoal.evaluate._bootstrap import CELLS, draws

    settings = Settings(replicates=20)
    sizes = [part.shape for part in draws(np.zeros(CELLS // 4, np.int64), settings, CELLS // 4)]
    assert sizes == [(4, CELLS // 4)] * 5


def test_a_replicate_that_weighs_nothing_measures_nothing() -> None:
    truth = np.zeros(50)
    weights = np.zeros(50)
    weights[7] = 2.0
    settings = Settings(replicates=200, weight="w")
    records, answers = pa.table({"w": weights}), pa.table({"prediction": np.arange(50.0)})
    evaluation = measure(truth, answers, task=Regression(), records=records, settings=settings)
    error = evaluation.metric("mean_absolute_error")
    assert error.bounds is not None
    assert (error.value, error.bounds.low, error.bounds.high) == (7.0, 7.0, 7.0)


def test_a_number_whose_square_is_no_double_is_refused() -> None:
    with pytest.raises(InvalidRequestError, match="the truth holds 1e\\+200 in row 1"):
        measure([1.0, 1e200], pa.table({"prediction": [1.0, 1.0]}), task=Regression())


def test_one_record_is_measured() -> None:
    evaluation = measure([1.0], pa.table({"prediction": [3.0]}), task=Regression())
    assert evaluation.metric("mean_squared_error").value == 4.0
    assert evaluation.notes == ("there are fewer than 10 records",)


def test_a_column_of_lists_has_no_slices() -> None:
    records, settings = pa.table({"tags": [["a"], ["b"]]}), Settings(slices=("tags",))
    answers = pa.table({"prediction": [1.0, 1.0]})
    with pytest.raises(DtypeError, match="'tags' is list"):
        measure([1.0, 1.0], answers, task=Regression(), records=records, settings=settings)
