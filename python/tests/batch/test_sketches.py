from __future__ import annotations

import math
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from shoal import batch
from shoal.batch import Merge, Merges, merge
from shoal.errors import DtypeError, InvalidRequestError

MANY = 200_000
DAYS = pa.array([5], pa.int32()).cast(pa.date32())


def one(batches: list[Any], made: Merge) -> Any:
    (row,) = merge(batches, made).to_pylist()
    return row[made.name]


def test_quantiles_of_few_values_are_exact_in_the_order_asked_for() -> None:
    values = np.random.default_rng(0).normal(size=1000)
    at = (0.99, 0.0, 0.5, 0.25, 1.0)
    expected = np.quantile(values, at, method="inverted_cdf").tolist()
    assert one([values[:300], values[300:310], values[310:]], batch.quantiles(at=at)) == expected


def test_quantiles_skip_nulls_and_are_null_without_a_value() -> None:
    assert one([[3, None], [None, 1]], batch.quantiles(at=[0, 1])) == [1.0, 3.0]
    assert one([[None], []], batch.quantiles()) is None
    assert one([], batch.quantiles()) is None


def test_a_nan_makes_every_quantile_nan_in_its_group_only() -> None:
    table = pa.table({"who": ["a", "b", "a"], "value": [1.0, 2.0, math.nan]})
    answers = merge(table.to_batches(), batch.quantiles(at=[0.5, 1]), by="who").to_pylist()
    assert all(math.isnan(value) for value in answers[0]["quantiles_value"])
    assert answers[1]["quantiles_value"] == [2.0, 2.0]


def test_infinities_are_ranked_and_zero_has_no_sign() -> None:
    found = one([[math.inf, -math.inf, -0.0]], batch.quantiles(at=[0, 0.5, 1]))
    assert repr(found) == "[-inf, 0.0, inf]"


def test_quantiles_of_many_values_keep_their_rank_error_and_exact_ends() -> None:
    made = batch.quantiles(at=[0, 0.5, 0.99, 1])
    values = np.random.default_rng(1).permutation(MANY).astype(np.float64)
    least, middle, high, greatest = one(np.split(values, 40), made)
    assert (least, greatest) == (0, MANY - 1)
    # Twice the stated error: it is kept by 99 of 100 sketches, not by each.
    off = 2 * made.exactness.bound
    assert abs(middle / MANY - 0.5) < off
    assert abs(high / MANY - 0.99) < off
    assert made.exactness.kind == "rank"
    assert made.exactness.bound == pytest.approx(0.00278, abs=1e-5)


def test_a_sketch_takes_bounded_memory() -> None:
    values = np.random.default_rng(2).normal(size=MANY)
    plan = Merges([batch.quantiles(), batch.distinct()])
    states = plan.combine([plan.lift(part) for part in np.split(values, 10)]).states
    assert len(states["quantiles_value.sketch"][0].as_py()) < 24_000
    assert len(states["distinct_value.sketch"][0].as_py()) < 33_000


@pytest.mark.parametrize("at", [[], [-0.1], [0.5, 1.1], [math.nan]])
def test_ranks_that_no_value_has_are_refused(at: list[float]) -> None:
    with pytest.raises(InvalidRequestError, match="name no quantiles"):
        batch.quantiles(at=at)


def test_text_is_not_ranked() -> None:
    with pytest.raises(DtypeError, match="column 'value' is string: it cannot be ranked"):
        one([["a"]], batch.quantiles())


@pytest.mark.parametrize(
    ("batches", "expected"),
    [
        ([], 0),
        ([[None, None]], 0),
        ([[1, 2, 2], [None, 1]], 2),
        ([[True, False], [True]], 2),
        ([["", "a", ""], ["a", None]], 2),
        ([[0.0, -0.0, math.nan], [math.nan, math.inf, -math.inf]], 4),
        ([pa.array([2**64 - 1, 2**64 - 2, 2**63, 1], pa.uint64())], 4),
        ([pa.array([1.5, 1.5, 2.5], pa.float16())], 2),
        ([[b"\xff", b"\xfe", b"a"], [b"a", b""]], 4),
        ([pa.array(["x", "y", "x"]).dictionary_encode()], 2),
        ([[Decimal("0.1"), Decimal("0.10"), Decimal("12345678901234567890.5")]], 2),
    ],
)
def test_distinct_values_are_counted_exactly(batches: list[Any], expected: int) -> None:
    assert one(batches, batch.distinct()) == expected


@pytest.mark.parametrize(
    ("narrow", "wide"),
    [
        (pa.array([1, 2**53]), pa.array([1.0, 2.0**53])),
        (pa.array([1.5], pa.float32()), pa.array([1.5])),
        (pa.array([2**63], pa.uint64()), pa.array([2.0**63])),
        (pa.array([1, 7]), pa.array([Decimal("1.00"), Decimal("7.00")], pa.decimal128(21, 2))),
        (pa.array([Decimal("0.5")]), pa.array([0.5])),
        (pa.array([5], pa.timestamp("s", "UTC")), pa.array([5 * 10**6], pa.timestamp("us", "UTC"))),
        (pa.array([2**62], pa.timestamp("s")), pa.array([2**62], pa.timestamp("s"))),
        (pa.array([5], pa.time32("s")), pa.array([5 * 10**9], pa.time64("ns"))),
        (DAYS, DAYS.cast(pa.date64())),
        (pa.array(["é", ""]), pa.array(["é".encode(), b""])),
    ],
    ids=lambda array: str(array.type),
)
def test_equal_values_are_one_when_a_type_widens(narrow: pa.Array, wide: pa.Array) -> None:
    assert one([narrow, wide], batch.distinct()) == len(narrow)
    assert one([wide, narrow], batch.distinct()) == len(narrow)


def test_lists_are_not_counted_as_distinct() -> None:
    with pytest.raises(DtypeError, match="cannot be counted as distinct"):
        one([pa.array([[1]])], batch.distinct())


def test_distinct_is_exact_up_to_4096_values() -> None:
    values = np.repeat(np.arange(4096), 3)
    assert one([values[:5000], values[5000:]], batch.distinct()) == 4096


def test_states_of_many_distinct_values_are_the_same_bytes_under_any_cut() -> None:
    rng = np.random.default_rng(3)
    values = rng.integers(0, 50_000, MANY)
    states = set()
    for cuts in (0, 1, 10, 10, 100):
        parts = np.split(rng.permutation(values), np.sort(rng.integers(0, MANY, cuts)))
        plan = Merges(batch.distinct())
        states.add(plan.gather(map(plan.lift, parts)).states["distinct_value.sketch"][0].as_py())
    assert len(states) == 1
    assert one([values], batch.distinct()) == pytest.approx(len(np.unique(values)), rel=0.047)


def test_a_group_is_counted_and_ranked_apart() -> None:
    table = pa.table({"who": ["a", "b", None, "a"], "n": [1, 5, 6, 3]})
    merges = [batch.distinct("n"), batch.quantiles("n", [1])]
    assert merge(table.to_batches(max_chunksize=1), merges, by="who").to_pylist() == [
        {"who": "a", "distinct_n": 2, "quantiles_n": [3.0]},
        {"who": "b", "distinct_n": 1, "quantiles_n": [5.0]},
        {"who": None, "distinct_n": 1, "quantiles_n": [6.0]},
    ]
