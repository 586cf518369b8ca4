"""What is learned of columns in one pass is what the steps of a preparation learn at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from shoal.train import Categorical, Date, Numeric, Preparation
from shoal.train._learn._stored._features import Features, fitted_step
from shoal.train._learn._stored._layout import layout_of
from shoal.train._learn._stored._ranks import Rank, ranked
from shoal.train._learn._stored._records import records_of
from shoal.train._learn._stored._store import Range
from shoal.train._learn._stored._survey import Question, survey
from shoal.train._learn._threads import Threads
from shoal.train._prepare._frames import frame_of, kept
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
        found, store = survey(question, records_of(RECORDS).blocks(question.names), None, threads)
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
