"""Sums of many rows: what is fast is also exact, whatever the range, the groups and the cut."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal import batch
from shoal.batch import merge
from shoal.batch._merges._condense import (
    BLOCK_ROWS,
    LARGEST,
    condense,
    condense_products,
)
from shoal.batch._merges._exact import FEW, ExactSums, sum_columns

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Integers = NDArray[np.int64]

ROWS = BLOCK_ROWS + 1000  # more than a block, and no whole number of them

finite = st.floats(allow_nan=False, allow_infinity=False)
moderate = st.floats(-1e130, 1e130).filter(lambda x: x == 0 or abs(x) > 1e-150)


def hard(kind: str, rng: np.random.Generator) -> NDArray[Any]:
    """Gives rows whose sum is hard, each in its own way."""
    normal = rng.normal(size=ROWS)
    made: dict[str, Callable[[], NDArray[Any]]] = {
        "normal": lambda: normal,
        "money": lambda: np.round(normal, 2),
        "positive": lambda: 1 - rng.random(ROWS) / 4,
        "wide": lambda: normal * 10.0 ** rng.integers(-300, 290, ROWS),
        "cancelling": lambda: np.concatenate([normal[: ROWS // 2], -normal[: ROWS // 2]]) * 1e200,
        "subnormal": lambda: rng.integers(-9, 9, ROWS) * 5e-324,
        "edges of binades": lambda: np.exp2(rng.integers(-1070, 800, ROWS)) * (1 - 2.0**-53),
        "halfway": lambda: np.where(normal > 0, 1.0, 2.0**-53),
        "huge": lambda: np.copysign(1.7e308, normal),
        "zeros": lambda: np.where(normal > 0, -0.0, 0.0),
        "one outlier": lambda: np.where(np.arange(ROWS) == 7, 1e300, normal),
    }
    return made[kind]()


KINDS = (
    *("normal", "money", "positive", "wide", "cancelling", "subnormal", "edges of binades"),
    *("halfway", "huge", "zeros", "one outlier"),
)


def exact(values: Floats, group: Integers, groups: int) -> list[Fraction]:
    totals = [Fraction(0)] * groups
    for value, place in zip(values.tolist(), group.tolist(), strict=True):
        totals[place] += Fraction(value)
    return totals


def fsum(values: Floats) -> float:
    try:
        return math.fsum(values)
    except OverflowError:  # the sum, or a partial sum, lies beyond the largest double
        total = sum(map(Fraction, values.tolist()))
        try:
            return float(total)
        except OverflowError:
            return math.inf if total > 0 else -math.inf


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("groups", [1, 3, 2000])
@pytest.mark.parametrize("size", [1024, ROWS])
def test_a_sum_of_many_rows_is_fsum(kind: str, groups: int, size: int) -> None:
    rng = np.random.default_rng(size + groups)
    values = hard(kind, rng)
    keys = rng.integers(0, groups, len(values))
    table = pa.table({"key": keys, "value": values})
    answer = merge(table.to_batches(max_chunksize=size), batch.sum(), by="key").to_pydict()
    expected = [fsum(values[keys == key]) for key in answer["key"]]
    assert answer["sum_value"] == expected
    whole = merge(table.to_batches(max_chunksize=size), batch.sum()).to_pydict()
    assert whole["sum_value"] == [fsum(values)]


@pytest.mark.parametrize("kind", ["normal", "money", "cancelling", "wide", "zeros", "one outlier"])
@pytest.mark.parametrize("groups", [1, 3])
def test_a_variance_of_many_rows_is_exact(kind: str, groups: int) -> None:
    rng = np.random.default_rng(groups)
    values = hard(kind, rng)
    keys = rng.integers(0, groups, len(values))
    table = pa.table({"key": keys, "value": values / 1e200 if kind == "cancelling" else values})
    answer = merge(table.to_batches(max_chunksize=5000), batch.variance(), by="key").to_pydict()
    for key, found in zip(answer["key"], answer["variance_value"], strict=True):
        chosen = table["value"].to_numpy()[keys == key]
        count = len(chosen)
        total = sum(map(Fraction, chosen), Fraction(0))
        squares = sum((Fraction(value) ** 2 for value in chosen), Fraction(0))
        assert_near(found, (count * squares - total**2) / (count * (count - 1)))


def assert_near(found: float, expected: Fraction) -> None:
    if abs(expected) > Fraction(2) ** 1024:
        assert found == math.inf
    else:
        assert abs(Fraction(found) - expected) <= expected / 10**12


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [8, 1024, BLOCK_ROWS, ROWS])
def test_many_rows_condensed_have_the_same_sum(kind: str, size: int) -> None:
    values = hard(kind, np.random.default_rng(size))
    for start in range(0, ROWS, size)[:50]:
        part = values[start : start + size]
        group = np.zeros(len(part), np.int64)
        assert exact(*condense(part, group, 1), 1) == exact(part, group, 1)


@given(st.lists(finite, min_size=8, max_size=60), st.integers(1, 4))
def test_what_is_condensed_has_the_same_sum(numbers: list[float], groups: int) -> None:
    values, group = np.array(numbers), np.arange(len(numbers)) % groups
    condensed = condense(values, group, groups)
    assert exact(*condensed, groups) == exact(values, group, groups)


@given(st.lists(st.tuples(moderate, moderate), min_size=1, max_size=60), st.integers(1, 4))
def test_condensed_products_have_the_same_sum(
    pairs: list[tuple[float, float]], groups: int
) -> None:
    left, right = np.array(pairs).T
    group = np.arange(len(left)) % groups
    condensed = condense_products(left, right, group=group, groups=groups)
    expected = [Fraction(0)] * groups
    for (one, other), place in zip(pairs, group.tolist(), strict=True):
        expected[place] += Fraction(one) * Fraction(other)
    is_tiny = any(0 < abs(Fraction(a) * Fraction(b)) < Fraction(2) ** -901 for a, b in pairs)
    assert (condensed is None) <= is_tiny
    if condensed is not None:
        assert exact(*condensed, groups) == expected


def condensed_product(factor: float, other: float) -> tuple[Floats, Integers] | None:
    left, right = np.array([2.0, factor]), np.array([3.0, other])
    return condense_products(left, right, group=np.zeros(2, np.int64), groups=1)


@pytest.mark.parametrize(
    ("factor", "other"),
    [
        *[(1e-200, 1e-200), (1e-153, 1e-153), (LARGEST, 1.0), (1e200, 1e200)],
        *[(math.inf, 0.0), (math.nan, 1.0), (1.0, -math.inf)],
    ],
)
def test_products_out_of_range_are_left_to_the_digits(factor: float, other: float) -> None:
    assert condensed_product(factor, other) is None


@pytest.mark.parametrize(("factor", "other"), [(1e-200, 1.0), (5e-324, 1e200), (1e-200, 0.0)])
def test_a_small_factor_or_a_zero_is_no_small_product(factor: float, other: float) -> None:
    condensed = condensed_product(factor, other)
    assert condensed is not None
    assert exact(*condensed, 1) == [6 + Fraction(factor) * Fraction(other)]


@given(st.lists(finite, max_size=FEW), st.integers(1, 4))
def test_few_doubles_give_the_state_of_many(numbers: list[float], groups: int) -> None:
    values, group = np.array(numbers), np.arange(len(numbers)) % groups
    state = sum_columns("sum", values, group=group, groups=groups)
    assert state == ExactSums.of_floats(values, group, groups).columns("sum")


def test_what_is_not_finite_spoils_its_group_only() -> None:
    keys = np.arange(ROWS) % 4
    values = np.ones(ROWS)
    values[[0, 1, 2, 6]] = math.nan, math.inf, math.inf, -math.inf
    table = pa.table({"key": keys, "value": values})
    sums = merge(table.to_batches(), [batch.sum(), batch.variance()], by="key")
    assert str(sums["sum_value"].to_pylist()) == f"[nan, inf, nan, {(ROWS + 3 - 3) // 4}.0]"
    assert str(sums["variance_value"].to_pylist()) == "[nan, nan, nan, 0.0]"


@pytest.mark.parametrize("largest", [2**53, 2**53 + 1, 2**62, 2**63 - 1])
def test_integers_are_summed_exactly_whether_a_double_holds_them_or_not(largest: int) -> None:
    values = [largest, 3, -largest, -(largest - 1), largest] * 20
    once = [*values, *(-value for value in values), largest]
    answer = merge([pa.array(once)], [batch.sum(), batch.mean(), batch.variance()]).to_pylist()[0]
    assert answer["sum_value"] == largest
    assert_near(answer["mean_value"], Fraction(largest, len(once)))
    squares = sum(value * value for value in once)
    count = len(once)
    assert_near(
        answer["variance_value"], Fraction(count * squares - largest**2, count * (count - 1))
    )


@pytest.mark.parametrize("value", [2**53 + 1, -(2**53) - 1])
def test_a_large_integer_of_either_sign_is_not_rounded(value: int) -> None:
    assert merge([pa.array([value])], batch.sum()).to_pylist() == [{"sum_value": value}]
