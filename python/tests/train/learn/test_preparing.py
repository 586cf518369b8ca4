"""What is learned of columns in one pass is what the steps of a preparation learn at once."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from shoal import train
from shoal.train import Categorical, Date, LearnSettings, Numeric, Preparation
from shoal.train._learn._order import Order
from shoal.train._learn._stored._features import Features, fitted_step
from shoal.train._learn._stored._layout import layout_of
from shoal.train._learn._stored._ranks import Rank, ranked
from shoal.train._learn._stored._records import records_of
from shoal.train._learn._stored._store import Range
from shoal.train._learn._stored._survey import Question, survey
from shoal.train._learn._threads import Threads
from shoal.train._prepare._frames import frame_of, kept, numbers_of
from shoal.train._prepare._steps import steps_of
from tests.train.conftest import customers

if TYPE_CHECKING:
    from shoal.train._prepare._description import Feature

RECORDS = customers(3000, seed=2)
WAYS: dict[str, dict[str, Feature]] = {
    "usual": {"age": Numeric(flag=True), "income": Numeric(missing="mean"), "city": Categorical()},
    "robust": {"age": Numeric(scale="robust"), "income": Numeric(missing=-7.5, scale="robust")},
    "ranges": {"income": Numeric(scale="min_max", flag=True), "age": Numeric(scale="none")},
    "dropped": {"age": Numeric(missing="drop"), "city": Categorical(missing="drop")},
    "rare": {"city": Categorical(least_rows=300, most_categories=4), "is_member": Numeric()},
    "filled": {"city": Categorical(missing="most_frequent", encode="ordinal", least_rows=100)},
    "ordinal": {"city": Categorical(encode="ordinal"), "since": Date(parts=("days", "hour"))},
    "dates": {"since": Date(), "age": Numeric(missing="mean", scale="standard")},
}


@pytest.mark.parametrize("is_scaled", [True, False])
@pytest.mark.parametrize("way", WAYS)
def test_features_are_those_of_the_steps_and_both_those_of_a_fit(way: str, is_scaled: Any) -> None:
    preparation = Preparation(columns=WAYS[way])
    question = Question(preparation, layout_of(preparation), "left", is_scaled, has_classes=True)
    with Threads(2) as threads:
        blocks = records_of(RECORDS).blocks(question.names)
        order = partial(Order, step_rows=4096, held_out=0.0, seed=0)
        found, store = survey(question, blocks, None, threads, order)
    known = RECORDS.filter(kept(RECORDS, preparation))
    frame = frame_of(known, preparation)
    with store:
        features = Features(question.layout, found)(store.read([Range(0, found.rows)]))
    _, step = fitted_step(question, found)
    assert features.dtype == np.float32
    assert found.rows == known.num_rows
    assert (features == np.asarray(step.transform(frame), np.float32)).all()
    ((_, wanted),) = steps_of(preparation, is_scaled=is_scaled, is_classification=True)
    assert np.allclose(features, wanted.fit_transform(frame), rtol=2e-6, atol=2e-6)
    assert found.classes == ["no", "yes"]


@pytest.mark.parametrize("kind", [pa.int64(), pa.uint64(), pa.dictionary(pa.int32(), pa.int64())])
def test_whole_numbers_that_no_double_holds_are_rounded_to_the_nearest(kind: pa.DataType) -> None:
    """Before and after 2^53, and the largest that there are; FP32 rounds all of them."""
    values = [0, 2**53 - 1, 2**53 + 1, 2**62 + 12_345, None]
    found = numbers_of("x", pa.array(values, kind))
    assert found[:4].tolist() == [np.float32(value) for value in values[:4]]
    assert np.isnan(found[4])


def test_a_column_of_long_keys_is_learned_from() -> None:
    keys = pa.array(2**60 + np.random.default_rng(0).integers(0, 2**58, 3000))
    table = pa.table({"key": keys, "left": RECORDS.column("left")})
    fitted = train.learn(table, "left", settings=LearnSettings(epochs=1, held_out=0.1))
    assert np.isfinite(fitted.pipeline.predict_proba(frame_of(table, fitted.preparation))).all()


@given(
    values=arrays.arrays(
        np.float32,
        st.tuples(st.integers(1, 60), st.integers(1, 3)),
        elements=st.floats(width=32, allow_infinity=False, allow_nan=True),
    ),
    cut=st.integers(1, 60),
)
def test_a_rank_is_found_as_sorting_finds_it(values: np.ndarray, cut: int) -> None:
    values[np.isnan(values)] = np.nan
    counts = (~np.isnan(values)).sum(axis=0)
    ranks = [Rank(column, at) for column, count in enumerate(counts) for at in range(count)]
    parts = [values[start : start + cut] for start in range(0, len(values), cut)]
    found = ranked(ranks, lambda: parts, map)
    ordered = np.sort(values, axis=0)
    assert all(found[rank] == ordered[rank.place, rank.column] for rank in ranks)
