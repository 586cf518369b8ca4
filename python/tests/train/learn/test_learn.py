"""Learned in micro-batches: the same whatever the workers and the cut, and what others learn."""

from __future__ import annotations

from functools import cache
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import datasets
from sklearn.base import clone
from sklearn.linear_model import (
    LogisticRegression,
    Perceptron,
    Ridge,
    SGDClassifier,
    SGDRegressor,
)
from sklearn.naive_bayes import BernoulliNB, GaussianNB, MultinomialNB
from sklearn.preprocessing import StandardScaler

from shoal import train
from shoal.train import Categorical, Date, Gradient, LearnSettings, Numeric, Preparation
from shoal.train._learn._models._descent import Descent
from shoal.train._learn._models._learner import Facts, Moment, Shard
from shoal.train._learn._order import Order, shards_of
from tests.train.conftest import customers

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

RECORDS = customers(1000, seed=0)
MIXED = Preparation(
    columns={
        "age": Numeric(flag=True),
        "income": Numeric(missing="mean"),
        "city": Categorical(least_rows=30),
        "since": Date(parts=("year", "month", "weekday")),
        "is_member": Numeric(),
    }
)
COUNTS = Preparation(columns={"city": Categorical(), "is_member": Numeric()})
MODELS: dict[str, tuple[Any, str, Preparation]] = {
    "logistic": (Gradient(), "left", MIXED),
    "softmax": (Gradient(clip_norm=0.5), "city", Preparation(columns={"age": Numeric()})),
    "squared": (Gradient(clip_norm=1.0, clipping="record"), "spent", MIXED),
    "network": (Gradient(hidden_layers=(7, 5)), "left", MIXED),
    "sgd": (SGDClassifier(loss="log_loss"), "left", MIXED),
    "perceptron": (Perceptron(), "left", MIXED),
    "sgd_regressor": (SGDRegressor(eta0=1e-4), "spent", MIXED),
    "gaussian": (GaussianNB(), "left", MIXED),
    "multinomial": (MultinomialNB(), "left", COUNTS),
    "bernoulli": (BernoulliNB(), "left", COUNTS),
}
EPOCHS = {"gaussian": None, "multinomial": None, "bernoulli": None}
LEARNED = {
    "gaussian": ("theta_", "var_"),
    "multinomial": ("feature_log_prob_",),
    "bernoulli": ("feature_log_prob_",),
    "network": ("coefs_", "intercepts_"),
}


def learned(name: str, records: Any = RECORDS, **changes: Any) -> list[bytes]:
    """All numbers that a model has learned, to the bit."""
    model, target, preparation = MODELS[name]
    if target == "city":
        records = with_city(records)
    chosen = {"epochs": EPOCHS.get(name, 2), "step_records": 300, "seed": 3, **changes}
    how = LearnSettings(preparation=preparation, **chosen)
    fitted = train.learn(records, target, model, settings=how).pipeline.steps[-1][1]
    arrays = [getattr(fitted, each) for each in LEARNED.get(name, ("coef_", "intercept_"))]
    return [np.asarray(part).tobytes() for each in arrays for part in listed(each)]


def listed(array: Any) -> list[Any]:
    return array if isinstance(array, list) else [array]


def with_city(records: Any) -> Any:
    return records.filter(records.column("city").is_valid())


class Pieces:
    """Records in batches that are cut at some places, each time anew."""

    def __init__(self, records: pa.Table, cuts: list[int]) -> None:
        self.records, self.cuts = records, cuts

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        ends = [0, *sorted(self.cuts), self.records.num_rows]
        for start, end in pairwise(ends):
            yield from self.records.slice(start, end - start).to_batches()


@pytest.mark.parametrize("name", MODELS)
def test_workers_change_not_a_bit(name: str) -> None:
    one = learned(name, workers=1)
    assert learned(name, workers=2) == one
    assert learned(name, workers=4) == one
    assert learned(name, workers=1, seed=4) != one or name in EPOCHS


@given(cuts=st.lists(st.integers(1, 999), unique=True, max_size=30))
@pytest.mark.parametrize("name", ["logistic", "sgd", "gaussian"])
def test_the_cut_of_the_records_changes_not_a_bit(name: str, cuts: list[int]) -> None:
    assert learned(name, Pieces(RECORDS, cuts)) == learned_at_once(name)


@cache
def learned_at_once(name: str) -> list[bytes]:
    return learned(name)


def test_files_datasets_frames_and_tables_are_learned_from_alike(tmp_path: Path) -> None:
    expected = learned("logistic")
    pq.write_table(RECORDS, tmp_path / "records.parquet", row_group_size=77)
    dataset = train.collect(tmp_path / "records.parquet", tmp_path / "dataset")
    kept = dataset.keep(tmp_path / "package", name="records", version="1")
    sources = [tmp_path / "records.parquet", str(tmp_path / "*.parquet"), dataset, kept]
    for source in [*sources, RECORDS.combine_chunks().to_batches()]:
        assert learned("logistic", source) == expected


def test_a_step_goes_along_the_gradient_of_all_its_records() -> None:
    """Of 569 records in one step of 8 shards, against a gradient that numpy computes at once."""
    rows, target = datasets.load_breast_cancer(return_X_y=True)
    table = table_of(rows, target.astype(str))
    model = Gradient(learning_rate=0.5, momentum=0.0, schedule="constant")
    how = LearnSettings(epochs=1, step_records=1000)
    found = train.learn(table, "y", model, settings=how).pipeline.steps[-1][1]
    scaled = StandardScaler().fit_transform(rows.astype(np.float32).astype(np.float64))
    gradient = scaled.T @ (0.5 - target) / len(target)
    assert np.abs(found.coef_[0] + 0.5 * gradient).max() < 1e-6 * np.abs(gradient).max()
    assert abs(found.intercept_[0] + 0.5 * (0.5 - target.mean())) < 1e-12


@given(
    rows=st.integers(1, 60),
    shards=st.integers(1, 9),
    hidden=st.sampled_from([(), (4,)]),
    classes=st.sampled_from([None, ["a", "b"], ["a", "b", "c"]]),
)
def test_shards_of_any_size_merge_to_the_mean_of_all_records(
    rows: int, shards: int, hidden: tuple[int, ...], classes: list[str] | None
) -> None:
    draw = np.random.default_rng(rows)
    facts = Facts(5, classes, (0.5, 2.0), 0)
    learner = Descent(Gradient(hidden_layers=hidden, penalty=0.1), facts)
    target = draw.normal(size=rows) if classes is None else draw.integers(0, len(classes), rows)
    records = Shard(draw.normal(size=(rows, 5)), target.astype(float))
    state = {name: each + 0.1 for name, each in learner.begin().items()}

    def after(count: int) -> Any:
        parts = [Shard(records.rows[at], records.target[at]) for at in shards_of(rows, count)]
        updates = [learner.work(state, part) for part in parts]
        assert sum(update.rows for update in updates) == rows
        return learner.merge(state, updates, Moment(0, 1))["parameters"]

    whole = after(1)
    assert np.abs(after(shards) - whole).max() <= 1e-12 * np.abs(whole).max()


def table_of(rows: Any, target: Any) -> pa.Table:
    columns = {f"x{number}": pa.array(column) for number, column in enumerate(rows.T)}
    return pa.table({**columns, "y": pa.array(target)})


@pytest.mark.parametrize("load", [datasets.load_breast_cancer, datasets.load_digits])
def test_logistic_regression_ends_where_that_of_scikit_learn_does(load: Any) -> None:
    """Its loss within 1e-4 of the least, and all labels the same."""
    rows, target = load(return_X_y=True)
    strength = 0.1
    model = Gradient(learning_rate=0.3, momentum=0.95, penalty=1 / (strength * len(target)))
    how = LearnSettings(epochs=800, step_records=2000)
    table = table_of(rows, target.astype(str))
    fitted = train.learn(table, "y", model, settings=how).pipeline
    frame = table.drop_columns("y").to_pandas()
    scaled = StandardScaler().fit_transform(rows)
    wanted = LogisticRegression(C=strength, max_iter=5000, tol=1e-8).fit(scaled, target.astype(str))
    assert (fitted.predict(frame) == wanted.predict(scaled)).all()
    found = fitted.predict_proba(frame)
    assert np.abs(found - wanted.predict_proba(scaled)).max() < 1e-3


def test_least_squares_end_where_ridge_does() -> None:
    rows, target = datasets.load_diabetes(return_X_y=True)
    alpha = 2.0
    model = Gradient(learning_rate=0.3, momentum=0.95, penalty=alpha / len(target))
    how = LearnSettings(epochs=800, step_records=2000)
    table = table_of(rows, target)
    fitted = train.learn(table, "y", model, settings=how).pipeline
    scaled = StandardScaler().fit_transform(rows)
    wanted = Ridge(alpha).fit(scaled, target).predict(scaled)
    found = fitted.predict(table.drop_columns("y").to_pandas())
    assert np.abs(found - wanted).max() < 1e-3 * np.std(target)


def test_small_steps_over_sorted_records_learn_what_large_ones_do() -> None:
    """Sorted by their class: only an order that mixes from everywhere learns both."""
    rows, target = datasets.load_digits(return_X_y=True)
    order = np.argsort(target, kind="stable")
    table = table_of(rows[order], target[order].astype(str))
    how = LearnSettings(epochs=10, step_records=64)
    fitted = train.learn(table, "y", Gradient(learning_rate=0.05), settings=how).pipeline
    frame = table.drop_columns("y").to_pandas()
    assert fitted.score(frame, target[order].astype(str)) > 0.97


def test_a_network_learns_what_no_line_does() -> None:
    draw = np.random.default_rng(0)
    rows = draw.uniform(-1, 1, (4000, 2))
    target = np.where(rows[:, 0] * rows[:, 1] > 0, "same", "other")
    model = Gradient(hidden_layers=(16, 16), learning_rate=0.05)
    how = LearnSettings(epochs=30, step_records=128)
    table = table_of(rows, target)
    fitted = train.learn(table, "y", model, settings=how).pipeline
    assert fitted.score(table.drop_columns("y").to_pandas(), target) > 0.95


@pytest.mark.parametrize("model", [GaussianNB(), MultinomialNB(), BernoulliNB(binarize=8.0)])
def test_what_only_counts_is_what_scikit_learn_counts_at_once(model: Any) -> None:
    rows, target = datasets.load_digits(return_X_y=True)
    features = Preparation(
        columns={f"x{number}": Numeric(scale="none") for number in range(rows.shape[1])}
    )
    table, names = table_of(rows, target.astype(str)), target.astype(str)
    how = LearnSettings(preparation=features, step_records=200)
    found = train.learn(table, "y", model, settings=how).pipeline.steps[-1][1]
    wanted = clone(model).fit(rows, names)
    for name in ("theta_", "var_", "class_prior_", "feature_log_prob_", "class_log_prior_"):
        if hasattr(wanted, name):
            assert np.allclose(getattr(found, name), getattr(wanted, name), rtol=1e-9, atol=1e-9)
    assert (found.predict(rows) == wanted.predict(rows)).all()


def test_one_shard_of_a_linear_model_is_its_own_partial_fit() -> None:
    rows, target = datasets.load_breast_cancer(return_X_y=True)
    rows = StandardScaler().fit_transform(rows).astype(np.float32).astype(np.float64)
    names = target.astype(str)
    features = Preparation(columns={f"x{n}": Numeric(scale="none") for n in range(30)})
    how = LearnSettings(preparation=features, step_records=100, shards=1, epochs=2, seed=5)
    model = SGDClassifier(loss="log_loss", alpha=1e-3)
    fitted = train.learn(table_of(rows, names), "y", model, settings=how)
    wanted = clone(model).set_params(shuffle=False)
    order = Order(len(names), 100, 0.0, 5)
    places = np.arange(len(names))
    for epoch in range(2):
        for step in order.epoch(epoch):
            at = step.mixed(np.concatenate([places[slice(*each)] for each in step.ranges]))
            wanted.partial_fit(rows[at], names[at], classes=["0", "1"])
    found = fitted.pipeline.steps[-1][1]
    assert np.allclose(found.coef_, wanted.coef_, rtol=1e-9)
    assert found.t_ == wanted.t_


@given(
    rows=st.integers(2, 12_000),
    step_rows=st.integers(1, 3000),
    held_out=st.sampled_from([0.0, 0.3]),
    seed=st.integers(0, 2**40),
)
def test_an_epoch_has_each_record_once(
    rows: int, step_rows: int, held_out: float, seed: int
) -> None:
    order = Order(rows, step_rows, held_out, seed)
    apart = [at for ranges in order.held_out_ranges() for each in ranges for at in range(*each)]
    steps = list(order.epoch(1))
    found = [[at for each in step.ranges for at in range(*each)] for step in steps]
    assert sorted([*apart, *(at for step in found for at in step)]) == list(range(rows))
    assert max(map(len, found)) <= step_rows
    assert len(steps) == order.steps
    assert list(order.epoch(1, first=len(steps) // 2)) == steps[len(steps) // 2 :]
    assert abs(len(apart) - held_out * rows) <= order.run_rows


def test_patience_ends_early_and_takes_the_model_with_the_smallest_loss() -> None:
    """Of noise nothing can be learned, and a large network learns it by heart."""
    draw = np.random.default_rng(0)
    table = table_of(draw.normal(size=(300, 5)), draw.integers(0, 2, 300).astype(str))
    model = Gradient(hidden_layers=(64,), learning_rate=0.2)
    told: list[train.Progress] = []

    def fitted(**changes: Any) -> Any:
        told.clear()
        how = LearnSettings(step_records=50, held_out=0.3, **changes)
        return train.learn(table, "y", model, settings=how, tell=told.append).pipeline

    best = fitted(epochs=60, patience=3)
    losses = [each.held_out_loss for each in told if each.held_out_loss is not None]
    assert len(losses) < 60
    assert losses[-4] == min(losses)
    shorter = fitted(epochs=60, patience=60)
    again = [each.held_out_loss for each in told if each.held_out_loss is not None]
    assert len(again) == 60
    assert again[: len(losses)] == losses
    if min(again) == min(losses):
        frame = table.drop_columns("y").to_pandas()
        assert (best.predict_proba(frame) == shorter.predict_proba(frame)).all()


def test_progress_is_told_of_each_step() -> None:
    told: list[train.Progress] = []
    how = LearnSettings(preparation=MIXED, epochs=2, step_records=300, held_out=0.1)
    train.learn(RECORDS, "left", settings=how, tell=told.append)
    assert [(each.epoch, each.step) for each in told] == [
        (epoch, step) for epoch in (1, 2) for step in (1, 2, 3)
    ]
    assert [each.held_out_loss is not None for each in told] == [False, False, True] * 2
    assert all(each.loss is not None and 0 < each.loss < 2 for each in told)


@pytest.mark.parametrize("clipping", ["record", "sum"])
def test_a_clipped_gradient_keeps_one_wild_record_from_running_away(clipping: Any) -> None:
    draw = np.random.default_rng(0)
    rows = draw.normal(size=(1000, 3))
    target = rows @ [1.0, -2.0, 0.5]
    target[7] = 1e9
    features = Preparation(columns={f"x{n}": Numeric(scale="none") for n in range(3)})
    how = LearnSettings(preparation=features, epochs=1, step_records=2000, shards=8)
    model = Gradient(
        clip_norm=0.1, clipping=clipping, learning_rate=1.0, momentum=0.0, schedule="constant"
    )
    found = train.learn(table_of(rows, target), "y", model, settings=how).pipeline.steps[-1][1]
    step = np.append(found.coef_, found.intercept_ - target.mean()) / target.std()
    scaled = (target - target.mean()) / target.std()
    gradients = -np.column_stack([rows, np.ones(1000)]) * scaled[:, None]
    norms = np.linalg.norm(gradients, axis=1)
    if clipping == "record":
        wanted = (gradients * np.minimum(1, 0.1 / norms)[:, None]).mean(axis=0)
    else:
        mean = gradients.mean(axis=0)
        wanted = mean * min(1, 0.1 / np.linalg.norm(mean))
    assert np.allclose(-step, wanted, rtol=1e-5, atol=1e-9)
