"""Candidates are compared fairly, within a time, and a search that ends early goes on later."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from sklearn import metrics
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from shoal.errors import ConflictError, DtypeError, InvalidRequestError, NullError
from shoal.train._estimators._table import CLASSIFIERS, Choice
from shoal.train._prepare._description import Categorical, Numeric, Preparation
from shoal.train._search._candidates import Candidate
from shoal.train._search._folds import Folds, folds_of, held_out
from shoal.train._search._scores import METRICS, scorer_of
from shoal.train._search._search import Settings, search, target_of
from shoal.train._search._space import Space
from shoal.train._search._study import Tried, attempt_of
from tests.train.conftest import customers

if TYPE_CHECKING:
    from pathlib import Path


NUMBERS = Preparation(columns={"a": Numeric(), "b": Numeric()})
LINEAR = Settings(
    preparation=NUMBERS,
    sampler="grid",
    space=Space(estimators={"logistic_regression": {"C": Choice((0.01, 1.0, 100.0))}}),
)


def numbers(rows: int = 300) -> pa.Table:
    random = np.random.default_rng(0)
    a, b = random.normal(size=(2, rows)).astype(np.float32)
    target = np.where(a + b + random.normal(0, 0.7, rows) > 0, "yes", "no")
    return pa.table({"a": a, "b": b, "target": target, "day": np.arange(rows) % 30})


def test_a_grid_scores_as_scikit_learn_does() -> None:
    records = numbers()
    board = search(records, "target", settings=LINEAR)
    values = np.stack([records["a"].to_numpy(), records["b"].to_numpy()], axis=1)
    target = np.array(records["target"].to_pylist())
    frame = records.select(["a", "b"]).to_pandas()
    cuts = [(fold.learn, fold.test) for fold in folds_of(Folds(), frame, target, "classification")]
    for row in board.rows:
        model = make_pipeline(
            StandardScaler(), LogisticRegression(max_iter=1000, C=row.candidate.parameters["C"])
        )
        assert np.allclose(row.scores, cross_val_score(model, values, target, cv=cuts))
    assert len(board.rows) == 3
    assert board.best.candidate.estimator == "logistic_regression"


BY_NAME = {
    "accuracy": metrics.accuracy_score,
    "balanced_accuracy": metrics.balanced_accuracy_score,
    "macro_f1": partial(metrics.f1_score, average="macro"),
    "macro_precision": partial(metrics.precision_score, average="macro"),
    "macro_recall": partial(metrics.recall_score, average="macro"),
}


@pytest.mark.parametrize("positive", [None, "no"])
@pytest.mark.parametrize("name", list(METRICS["classification"]))
def test_a_score_is_the_metric_that_its_name_says(name: str, positive: str | None) -> None:
    records = numbers().slice(0, 200)
    values = np.stack([records["a"].to_numpy(), records["b"].to_numpy()], axis=1)
    target = np.where(values.sum(axis=1) > 0.7, "yes", "no")  # "yes" is the rarer one
    noisy = values + np.random.default_rng(1).normal(0, 1, values.shape)
    model = LogisticRegression().fit(noisy, target)
    found = scorer_of("classification", name, target, positive)(model, noisy, target)
    answers, shares = model.predict(noisy), model.predict_proba(noisy)
    looked_for = positive or "yes"
    place = list(model.classes_).index(looked_for)
    wanted = {
        "average_precision": lambda: metrics.average_precision_score(
            target == looked_for, shares[:, place]
        ),
        "roc_auc": lambda: metrics.roc_auc_score(target == looked_for, shares[:, place]),
        "log_loss": lambda: -metrics.log_loss(target, shares, labels=model.classes_),
    }
    if name in wanted:
        assert found == pytest.approx(wanted[name]())
    elif name in BY_NAME:
        assert found == pytest.approx(BY_NAME[name](target, answers))
    else:
        function = getattr(metrics, f"{name}_score")
        assert found == pytest.approx(function(target, answers, pos_label=looked_for))


def test_a_score_of_one_of_two_classes_is_refused_for_three() -> None:
    target = np.array(["a", "b", "c"] * 10)
    for name in ("f1", "precision", "recall"):
        with pytest.raises(InvalidRequestError, match="of one of two classes"):
            scorer_of("classification", name, target)
    with pytest.raises(InvalidRequestError, match="the positive class is 'a'"):
        scorer_of("classification", "accuracy", target, "a")


def test_whole_numbers_are_classes_unless_numbers_are_asked_for() -> None:
    records = pa.table({"n": pa.array([3, 1, 2])})
    assert target_of(records, "n").tolist() == ["3", "1", "2"]
    assert target_of(records, "n", task="regression").tolist() == [3.0, 1.0, 2.0]
    infinite = pa.table({"n": [1.0, float("inf")]})
    with pytest.raises(InvalidRequestError, match="row 1 is inf, expected a finite number"):
        target_of(infinite, "n")
    with pytest.raises(InvalidRequestError, match="is string, expected numbers"):
        target_of(pa.table({"n": ["a"]}), "n", task="regression")


def test_every_estimator_is_tried_first(learned: pa.Table) -> None:
    board = search(
        learned.slice(0, 300).drop_columns(["spent"]),
        "left",
        settings=Settings(trials=len(CLASSIFIERS), folds=Folds(count=2)),
    )
    assert {row.candidate.estimator for row in board.rows} == set(CLASSIFIERS)
    assert [row.reason for row in board.rows if row.status == "failed"] == []
    assert board.rows[0].candidate.estimator != "dummy"


def test_a_search_goes_on_where_it_was(tmp_path: Path) -> None:
    journal, told = tmp_path / "journal", []

    def stop(tried: Tried) -> None:
        told.append(tried)
        if len(told) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        search(numbers(), "target", settings=LINEAR, journal=journal, tell=stop)
    board = search(numbers(), "target", settings=LINEAR, journal=journal, tell=told.append)
    assert len(told) == 3
    chosen = sorted(row.candidate.parameters["C"] for row in board.rows)  # type: ignore[type-var]  # they vary
    assert chosen == [0.01, 1.0, 100.0]


def test_no_candidate_is_begun_after_the_time() -> None:
    settings = Settings(preparation=NUMBERS, seconds=0.0)
    board = search(numbers(), "target", settings=settings)
    assert board.rows == ()
    with pytest.raises(InvalidRequestError, match="none was tried"):
        _ = board.best


@pytest.mark.parametrize("balance", ["over", "smote", "noise"])
def test_records_that_are_made_up_are_never_tested(balance: Any) -> None:
    records = numbers(400)
    rare = records.filter(np.arange(400) % 10 == 0)
    settings = Settings(
        preparation=NUMBERS,
        sampler="grid",
        balance=(balance,),
        score="macro_recall",
        space=Space(estimators={"nearest_neighbours": {"n_neighbors": Choice((1,))}}),
    )
    shuffled = np.random.default_rng(1).permutation(rare["target"].to_numpy(zero_copy_only=False))
    noise = rare.set_column(2, "target", pa.array(shuffled))
    # With labels at random, a test record that was copied before the cut would be known by heart.
    board = search(noise, "target", settings=settings)
    assert board.best.status == "done"
    assert np.mean(board.best.scores) < 0.8


def test_groups_stay_together_and_time_goes_forward() -> None:
    records = numbers()
    frame, target = records.to_pandas(), np.array(records["target"].to_pylist())
    for fold in folds_of(Folds(group="day"), frame, target, "classification"):
        assert not set(frame["day"][fold.learn]) & set(frame["day"][fold.test])
    found = folds_of(Folds(time="day"), frame, target, "classification")
    assert len(found) == 5
    for fold in found:
        assert frame["day"][fold.learn].max() < frame["day"][fold.test].min()
    cut = held_out(Folds(time="day"), frame, target, "classification", 0.25)
    assert frame["day"][cut.learn].max() < frame["day"][cut.test].min()
    assert sorted([*cut.learn, *cut.test]) == list(range(len(frame)))


@pytest.mark.parametrize("share", [0.15, 0.25, 0.4, 0.5])
def test_what_is_held_out_is_the_share_that_was_asked_for(share: float) -> None:
    records = numbers(400)
    frame, target = records.to_pandas(), np.array(records["target"].to_pylist())
    for folds in (Folds(), Folds(group="day")):
        cut = held_out(folds, frame, target, "classification", share)
        assert len(cut.test) / 400 == pytest.approx(share, abs=0.02)
        assert sorted([*cut.learn, *cut.test]) == list(range(400))
    shares = [(target[rows] == "yes").mean() for rows in (cut.learn, cut.test)]
    assert shares[0] == pytest.approx(shares[1], abs=0.2)


@pytest.mark.parametrize(
    ("times", "error", "message"),
    [
        ([1.0, None] * 20, NullError, "missing in row 1"),
        (["b", "a"] * 20, DtypeError, "expected moments or numbers"),
        ([1, 2] * 20, InvalidRequestError, "2 different moments of 'at' are too few"),
    ],
)
def test_times_that_are_none_are_refused(
    times: list[Any], error: type[Exception], message: str
) -> None:
    frame, target = pd.DataFrame({"at": times}), np.array(["x", "y"] * 20)
    with pytest.raises(error, match=message):
        folds_of(Folds(time="at", count=3), frame, target, "classification")


def test_a_fold_on_which_a_score_is_not_defined_fails_by_name() -> None:
    target = np.where(np.arange(200) < 40, "yes", "no")
    target[:20] = "no"
    records = pa.table({"a": np.arange(200.0), "day": np.arange(200), "target": target})
    settings = Settings(
        preparation=Preparation(columns={"a": Numeric()}),
        estimators=("dummy",),
        score="roc_auc",
        folds=Folds(count=3, time="day"),
        trials=1,
    )
    board = search(records, "target", settings=settings)
    assert [row.status for row in board.rows] == ["failed"]
    assert "not defined" in str(board.rows[0].reason)


def test_every_candidate_is_tested_on_what_was_prepared_for_it() -> None:
    random = np.random.default_rng(0)
    columns: dict[str, Any] = {}
    preparing: dict[str, Any] = {}
    for place in range(12):
        name = f"a_number_with_a_long_name_{place}"
        columns[name] = random.normal(size=300)
        preparing[name] = Numeric(missing=0.0, scale="none")
    for place in range(3):
        columns[f"n{place}"] = random.normal(0, 10.0 ** (2 * place), 300)
        preparing[f"n{place}"] = Numeric()
    for place in range(8):
        columns[f"c{place}"] = random.choice(["x", "y", "z"], 300)
        preparing[f"c{place}"] = Categorical(least_rows=2)
    columns["target"] = np.where(columns["n0"] + random.normal(size=300) > 0, "yes", "no")
    records, preparation = pa.table(columns), Preparation(columns=preparing)

    def scores(scales: tuple[Any, ...]) -> dict[str, tuple[float, ...]]:
        space = Space(estimators={"nearest_neighbours": {}, "random_forest": {}}, scale=scales)
        settings = Settings(preparation=preparation, sampler="grid", space=space)
        rows = search(records, "target", settings=settings).rows
        return {f"{row.candidate.estimator} {row.candidate.scale}": row.scores for row in rows}

    together = scores(("standard", "min_max", "none"))
    assert together["nearest_neighbours standard"] != together["nearest_neighbours none"]
    for scale in ("standard", "min_max", "none"):
        name = f"nearest_neighbours {scale}"
        assert together[name] == scores((scale,))[name]


def test_a_journal_is_of_one_search(tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    search(numbers(), "target", settings=LINEAR, journal=journal)
    others = numbers().set_column(0, "a", pa.array(np.arange(300.0)))
    for records, settings in [
        (others, LINEAR),
        (numbers(), msgspec.structs.replace(LINEAR, score="roc_auc")),
        (numbers(), msgspec.structs.replace(LINEAR, folds=Folds(count=3))),
    ]:
        with pytest.raises(ConflictError, match="is of another search"):
            search(records, "target", settings=settings, journal=journal)
    journal.write_text("[]\nnothing\n")
    with pytest.raises(ConflictError, match="not the journal of a search"):
        search(numbers(), "target", settings=LINEAR, journal=journal)


def test_a_search_that_was_killed_while_it_began_goes_on(tmp_path: Path) -> None:
    whole, journal = tmp_path / "whole", tmp_path / "journal"
    settings = Settings(preparation=NUMBERS, estimators=("dummy", "naive_bayes"), trials=2)
    board = search(numbers(), "target", settings=settings, journal=whole)
    lines = whole.read_bytes().splitlines(keepends=True)
    for count in (1, 2, 3, 4):
        journal.write_bytes(b"".join(lines[:count]))
        again = search(numbers(), "target", settings=settings, journal=journal)
        assert [row.scores for row in again.rows] == [row.scores for row in board.rows]


@pytest.mark.parametrize(
    ("scores", "sign", "loss"),
    [((0.9, 0.7), 1, 0.2), ((-0.5, -0.5), 1, 1.5), ((-2.0, -4.0), -1, 3.0), ((-0.0,), -1, 0.0)],
)
def test_a_better_score_is_a_smaller_loss(
    scores: tuple[float, ...], sign: int, loss: float
) -> None:
    tried = Tried(candidate=Candidate(estimator="ridge"), scores=scores, seconds=1.0)
    assert attempt_of(tried, sign).loss == pytest.approx(loss)


@pytest.mark.parametrize("cut_bytes", [1, 20, 90])
def test_a_journal_whose_last_line_is_cut_is_gone_on_with(tmp_path: Path, cut_bytes: int) -> None:
    journal = tmp_path / "journal"
    whole = search(numbers(), "target", settings=LINEAR, journal=journal)
    journal.write_bytes(journal.read_bytes()[:-cut_bytes])
    again = search(numbers(), "target", settings=LINEAR, journal=journal)
    assert [row.scores for row in again.rows] == [row.scores for row in whole.rows]


def test_equal_records_are_counted() -> None:
    records = numbers(50)
    twice = pa.concat_tables([records, records])
    settings = Settings(preparation=NUMBERS, estimators=("dummy",), trials=1)
    assert search(records, "target", settings=settings).repeated == 0
    assert search(twice, "target", settings=settings).repeated > 0


@pytest.mark.parametrize(
    ("target", "settings", "message"),
    [
        ("nothing", Settings(), "no column 'nothing'"),
        ("one", Settings(), "one class only, 'x'"),
        ("target", Settings(score="speed"), "no score 'speed'"),
        ("target", Settings(estimators=("oracle",)), "no estimator 'oracle'"),
        ("target", Settings(folds=Folds(count=1)), "expected 2 or more"),
        ("target", Settings(folds=Folds(count=200)), "too few for 200 folds"),
        ("target", Settings(folds=Folds(group="day", count=31)), "30 groups are too few"),
        ("rare", Settings(), "class 'once' has 1 records for 5 folds"),
        ("target", Settings(sampler="grid"), "a grid needs a list"),
    ],
)
def test_what_cannot_be_searched_is_said(target: str, settings: Settings, message: str) -> None:
    records = numbers()
    rare = ["once", *["often"] * 299]
    records = records.append_column("one", pa.array(["x"] * 300)).append_column("rare", [rare])
    chosen = msgspec.structs.replace(settings, preparation=NUMBERS, trials=1)
    with pytest.raises(InvalidRequestError, match=message):
        search(records, target, settings=chosen)


def test_a_target_that_is_missing_is_said() -> None:
    records = pa.table({"a": [1.0, 2.0], "target": ["x", None]})
    with pytest.raises(NullError, match="'target' is missing in row 1 and 0 others"):
        search(records, "target")


def test_an_estimator_that_fails_is_in_the_list_with_its_reason() -> None:
    settings = Settings(
        preparation=NUMBERS, estimators=("linear_svm", "dummy"), score="log_loss", trials=2
    )
    board = search(numbers(), "target", settings=settings)
    assert [row.status for row in board.rows] == ["done", "failed"]
    assert "predict_proba" in str(board.rows[1].reason)


def test_numbers_are_regressed() -> None:
    records = customers(300, seed=3).drop_columns(["left"])
    settings = Settings(estimators=("dummy", "ridge"), trials=2, folds=Folds(count=3))
    board = search(records, "spent", settings=settings)
    assert (board.task, board.score, board.best.candidate.estimator) == (
        "regression",
        "root_mean_squared_error",
        "ridge",
    )
