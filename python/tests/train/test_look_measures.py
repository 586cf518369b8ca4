"""Measures of a look equal those of SciPy, pandas and scikit-learn, however records are cut."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from scipy.spatial.distance import jensenshannon
from sklearn.metrics import r2_score, roc_auc_score

from shoal import train
from shoal.train._look import _associations as associations
from shoal.train._look._coded import coded
from shoal.train._look._distributions import fences, histogram
from shoal.train._look._drifts import distance, drifts
from shoal.train._look._power import score
from shoal.train._look._read._marks import marks_of
from shoal.train._look._read._sample import Drawing
from shoal.train._look._repeats import Repeating
from tests.train.tables import ROWS, mixed, noise

NUMBERS = st.lists(st.integers(-5, 5), min_size=12, max_size=80)
PAIRS = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 3)), min_size=12, max_size=120)
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "integer": st.one_of(st.none(), st.integers(-2, 2), st.sampled_from([2**53, 2**53 + 1])),
    "float": st.one_of(st.none(), st.sampled_from([0.0, -0.0, 1.5, math.inf, -math.inf, 5e-324])),
    "text": st.one_of(st.none(), st.sampled_from(["", "a", "\0", "a\0", "\N{GRINNING FACE}"])),
    "boolean": st.one_of(st.none(), st.booleans()),
}
TYPES = {"integer": pa.int64(), "float": pa.float64(), "text": pa.string(), "boolean": pa.bool_()}


def cut(table: pa.Table, rows: int) -> list[pa.RecordBatch]:
    batches: list[pa.RecordBatch] = table.combine_chunks().to_batches(rows)
    return batches


@given(NUMBERS, st.randoms(use_true_random=False))
def test_spearman_is_that_of_scipy(values: list[int], random: Any) -> None:
    one = np.array(values, float)
    other = np.array([random.choice(values) for _ in values], float)
    found = associations.spearman(one, other)
    if len(set(one)) == 1 or len(set(other)) == 1:
        assert found is None
    else:
        assert found == pytest.approx(stats.spearmanr(one, other).statistic, abs=1e-12)


@given(PAIRS)
def test_the_rank_correlation_ratio_is_that_of_kruskal_and_wallis(
    pairs: list[tuple[int, int]],
) -> None:
    numbers, groups = (np.array(each) for each in zip(*pairs, strict=True))
    found = associations.rank_correlation_ratio(numbers.astype(float), groups)
    kinds = np.unique(groups)
    if len(kinds) == 1 or len(np.unique(numbers)) == 1:
        assert found is None
        return
    statistic = stats.kruskal(*(numbers[groups == kind] for kind in kinds)).statistic
    expected = (statistic - len(kinds) + 1) / (len(numbers) - len(kinds))
    assert found == pytest.approx(math.sqrt(max(0.0, expected)), abs=1e-7)


@given(PAIRS)
def test_cramers_v_is_that_of_the_chi_squared_statistic_of_scipy(
    pairs: list[tuple[int, int]],
) -> None:
    one, other = (np.array(each) for each in zip(*pairs, strict=True))
    found = associations.cramers_v(one, other)
    counts = pd.crosstab(one, other).to_numpy()
    rows, columns = counts.shape
    if min(rows, columns) == 1:
        assert found is None
        return
    size = counts.sum()
    phi = stats.chi2_contingency(counts, correction=False).statistic / size
    corrected = max(0.0, phi - (rows - 1) * (columns - 1) / (size - 1))
    sides = [side - (side - 1) ** 2 / (size - 1) for side in (rows, columns)]
    assert found == pytest.approx(math.sqrt(min(1.0, corrected / (min(sides) - 1))), abs=1e-7)


def test_measures_of_noise_are_near_zero_and_of_copies_one() -> None:
    rng = np.random.default_rng(0)
    many, few = rng.integers(0, 200, 2000), rng.integers(0, 2, 2000)
    v, ratio = (
        associations.cramers_v(many, few),
        associations.rank_correlation_ratio(rng.normal(size=2000), many),
    )
    assert v is not None
    assert ratio is not None
    assert max(v, ratio) < 0.1
    assert associations.cramers_v(many, many) == pytest.approx(1.0)
    assert associations.rank_correlation_ratio(few.astype(float), few) == pytest.approx(1.0)


@given(
    st.lists(st.integers(0, 50), min_size=2, max_size=12).filter(any),
    st.lists(st.integers(0, 50), min_size=12, max_size=12).filter(any),
)
def test_the_distance_is_that_of_scipy(one: list[int], other: list[int]) -> None:
    here, there = (np.array((each + [0] * 12)[:12], float) for each in (one, other))
    if here.sum() and there.sum():
        assert distance(here, there) == pytest.approx(
            float(jensenshannon(here, there, base=2)), abs=1e-7
        )


def test_the_chance_of_a_drift_is_that_of_scipy() -> None:
    rng = np.random.default_rng(2)
    parts = rng.integers(0, 2, 500)
    letters = np.where(rng.random(500) < 0.2 * parts, "x", rng.choice(list("abc"), 500))
    columns = [coded("letters", "categorical", pa.array(letters))]
    (found,) = drifts(columns, parts, ["first", "second"])
    expected = stats.chi2_contingency(pd.crosstab(parts, letters).to_numpy(), correction=False)
    assert found.p_value == pytest.approx(expected.pvalue)


def test_scores_are_those_of_scikit_learn() -> None:
    rng = np.random.default_rng(3)
    codes = rng.integers(0, 3, 300)
    told = rng.dirichlet([1, 1, 1], 300).round(1) + 0.01
    told /= told.sum(axis=1, keepdims=True)
    answers = np.eye(3)[codes]
    area = roc_auc_score(codes, told, multi_class="ovr", average="macro")
    assert score(answers, told, is_number=False) == pytest.approx(2 * area - 1)
    numbers, near = rng.normal(size=(2, 300, 1))
    assert score(numbers, near, is_number=True) == pytest.approx(r2_score(numbers, near))


def test_totals_are_those_of_pandas() -> None:
    table = mixed()
    frame = table.to_pandas()
    look = train.look(table, settings=train.LookSettings(sample_rows=100))
    assert not look.sample.is_all
    for name in ("price", "calls", "gaps", "income"):
        found, expected = look.column(name), frame[name]
        assert found.missing == expected.isna().sum()
        assert (found.minimum, found.maximum) == (expected.min(), expected.max())
        assert found.mean == pytest.approx(expected.mean(), rel=1e-12)
        assert found.deviation == pytest.approx(expected.std(), rel=1e-12)
    assert look.column("rate").infinite == 1
    assert look.column("since").minimum == frame["since"].min().isoformat()
    lengths = frame["city"].str.len()
    assert look.column("city").mean == lengths.mean() == 4
    assert look.column("is_new").mean == pytest.approx(frame["is_new"].mean())
    counts = frame["left"].value_counts()
    by_class = train.look(table, target="left", settings=look.settings).classes
    assert {each.value: each.records for each in by_class} == counts.to_dict()


def test_columns_missing_together_are_as_correlated_as_pandas_says() -> None:
    table = mixed()
    absent = table.to_pandas()[["income", "tax", "reason", "gaps"]].isna()
    (found,) = train.look(table).together
    assert found.columns == ("income", "tax")
    assert found.records == (absent["income"] & absent["tax"]).sum()
    assert found.by_chance == pytest.approx(absent["income"].mean() * absent["tax"].sum())
    assert found.correlation == pytest.approx(absent.corr().loc["income", "tax"])


def test_a_fence_counts_deviations_of_each_side() -> None:
    numbers = np.r_[np.arange(-50.0, 0), np.arange(0, 501, 10.0)]
    found = fences(numbers, len(numbers))
    assert found is not None
    median = -0.0
    low, high = (1.4826022 * np.median(np.abs(side)) for side in (numbers[:51], numbers[50:]))
    deviations = max(5.0, stats.norm.isf(1 / (20_000 * len(numbers))))
    assert found == pytest.approx((median - deviations * low, deviations * high), rel=1e-2)
    assert fences(np.zeros(100), 100) is None


@given(st.lists(st.integers(-40, 400), min_size=1, max_size=200))
def test_bars_of_whole_numbers_hold_all_of_them_and_as_many_each(values: list[int]) -> None:
    found = histogram(np.array(values, float), None, are_whole=True)
    assert found is not None
    assert sum(found.records) == len(values)
    assert found.below == found.above == 0
    widths = np.diff(found.edges)
    assert (widths == widths[0]).all()
    assert widths[0] == round(widths[0])


@given(st.data())
def test_equal_records_have_equal_marks_and_others_have_others(data: st.DataObject) -> None:
    kinds = data.draw(st.lists(st.sampled_from(sorted(VALUES)), min_size=1, max_size=3))
    rows = data.draw(st.lists(st.tuples(*(VALUES[kind] for kind in kinds)), max_size=30))
    columns = [
        pa.array([row[place] for row in rows], TYPES[kind]) for place, kind in enumerate(kinds)
    ]
    marks = marks_of(columns, len(rows)).tolist()
    for (one, left), (other, right) in itertools.combinations(zip(rows, marks, strict=True), 2):
        assert (one == other) == (left == right)
    halves = [[column.slice(0, len(rows) // 2), column.slice(len(rows) // 2)] for column in columns]
    first = marks_of([half[0] for half in halves], len(rows) // 2)
    second = marks_of([half[1] for half in halves], len(rows) - len(rows) // 2)
    assert [*first.tolist(), *second.tolist()] == marks


@pytest.mark.parametrize("rows_of_a_batch", [7, 1000, ROWS])
def test_equal_records_are_those_of_pandas_however_they_are_cut(rows_of_a_batch: int) -> None:
    rng = np.random.default_rng(4)
    columns = {name: rng.integers(0, 9, ROWS) for name in ("a", "b", "c")}
    letters = rng.choice(["x", "y", ""], ROWS, p=[0.8, 0.1, 0.1])
    target = pa.array(letters, mask=letters == "")
    table = pa.table({**columns, "target": target})
    frame = table.to_pandas()
    repeating = Repeating(["a", "b", "c"], "target")
    start = 0
    for batch in cut(table, rows_of_a_batch):
        repeating.look(batch, np.arange(start, start + batch.num_rows))
        start += batch.num_rows
    found = repeating.repeats((), 1 / 9**3)
    assert found.share == 1.0
    assert found.repeated == frame.duplicated().sum()
    known = frame.dropna()
    answers = known.groupby(["a", "b", "c"])["target"].transform("nunique")
    assert found.contradictory == (answers > 1).sum()
    assert found.pairs_by_chance == pytest.approx(found.pairs, rel=0.1)
    for one, other in found.examples:
        assert one < other
        assert table.slice(one, 1).to_pydict() == table.slice(other, 1).to_pydict()
    for one, other in found.contradictions:
        assert frame.loc[one, ["a", "b", "c"]].equals(frame.loc[other, ["a", "b", "c"]])
        assert frame.loc[one, "target"] != frame.loc[other, "target"]


def test_of_too_many_records_equal_ones_are_estimated_the_same_however_they_are_cut() -> None:
    rng = np.random.default_rng(5)
    ids = rng.permutation(np.r_[np.arange(20_000), np.arange(2_000)])
    table = pa.table({"id": ids, "target": np.where(np.arange(22_000) < 21_000, "x", "y")})
    found = []
    for rows in (100, 3000, 22_000):
        repeating = Repeating(["id"], "target", limit=3000)
        start = 0
        for batch in cut(table, rows):
            repeating.look(batch, np.arange(start, start + batch.num_rows))
            start += batch.num_rows
        found.append(repeating.repeats((), 0.0))
    assert found[0] == found[1] == found[2]
    assert 0 < found[0].share < 0.2
    exact = table.to_pandas().duplicated().sum()
    assert found[0].repeated == pytest.approx(exact, rel=0.2)


def test_records_that_are_all_alike_but_for_the_target_end_in_bounded_memory() -> None:
    table = pa.table({"same": [1] * 5000, "target": np.arange(5000.0)})
    repeating = Repeating(["same"], "target", limit=1000)
    for place, batch in enumerate(cut(table, 500)):
        repeating.look(batch, np.arange(500 * place, 500 * place + 500))
    assert repeating.repeats((), 0.0).share == 0.0


@pytest.mark.parametrize("rows_of_a_batch", [3, 100, ROWS])
def test_a_sample_does_not_depend_on_how_records_are_cut(rows_of_a_batch: int) -> None:
    table = pa.table(noise(3))
    drawing = Drawing(ROWS, table.schema, size=200, seed=5)
    drawing.look(cut(table, rows_of_a_batch))
    drawn = drawing.drawn()
    whole = Drawing(ROWS, table.schema, size=200, seed=5)
    whole.look(cut(table, ROWS))
    assert drawn.table.equals(whole.drawn().table)
    assert len(set(drawn.rows.tolist())) == 200
    assert not drawn.is_all
    assert drawn.table.equals(table.take(pa.array(drawn.rows)).combine_chunks())
    other = Drawing(ROWS, table.schema, size=200, seed=6)
    other.look(cut(table, ROWS))
    assert set(other.drawn().rows.tolist()) != set(drawn.rows.tolist())


def test_a_sample_of_records_that_are_too_wide_is_smaller(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shoal.train._look._read._sample.MOST_BYTES", 100_000)
    table = pa.table({"n": np.arange(ROWS), "text": ["x" * 900] * ROWS})
    sizes = set()
    for rows in (50, 2000):
        drawing = Drawing(ROWS, table.schema, size=1000, seed=0)
        drawing.look(cut(table, rows))
        sizes.add(tuple(drawing.drawn().rows.tolist()))
    assert len(sizes) == 1
    assert 50 <= len(sizes.pop()) < 150
