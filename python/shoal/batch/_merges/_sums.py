"""Sum, mean and variance, all from exact sums: rounded once, when the answer is finished.

A NaN makes the answer NaN. Infinities follow IEEE 754: one sign gives that infinity, both give
NaN. A sum of integers is an int64 or a named error, never a wrapped or rounded number.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from shoal.batch._merges._columns import (
    checked_type,
    indices,
    is_number,
    numbers,
    present,
    table_of,
)
from shoal.batch._merges._condense import condense, condense_products
from shoal.batch._merges._contract import EQUAL, Exactness, relative
from shoal.batch._merges._exact import (
    ExactSums,
    Terms,
    any_special,
    multiply,
    multiply_digits,
    shift,
    specials_of,
    state_fields,
    subtract,
    sum_columns,
    terms_of_floats,
    terms_of_integers,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from shoal.batch._merges._contract import Merge

    Pair = tuple[NDArray[Any], NDArray[Any]]

# What the design asks of a float answer. The sums below are exact, so each answer in fact lies
# within a few roundings of a double.
FLOAT_EXACTNESS = relative(1e-12)
EXACT_INTEGER = 2**53  # a double holds every integer up to here


@dataclass(frozen=True)
class Sum:
    """The sum of a column: int64 of integers and booleans, else float64; 0 of no value."""

    name: str
    column: str
    type: pa.DataType = field(default_factory=pa.null)

    @property
    def columns(self) -> tuple[str, ...]:
        """The summed column."""
        return (self.column,)

    @property
    def state(self) -> pa.Schema:
        """An exact sum."""
        return pa.schema(state_fields("sum"))

    @property
    def exactness(self) -> Exactness:
        """Equal: the exact sum, rounded once to the nearest double."""
        return EQUAL

    def bind(self, schema: pa.Schema) -> Merge:
        """Accepts booleans, integers and floats."""
        return replace(
            self, type=checked_type(schema, self.column, verb="summed", accepts=is_number)
        )

    def lift(self, batch: pa.RecordBatch, group: pa.Int32Array, groups: int) -> pa.RecordBatch:
        """Sums the values that are not null."""
        (array,), place = present(batch, self.columns, group)
        columns = summed("sum", numbers(array), group=place, groups=groups)
        return table_of(columns, self.state)

    def combine(self, states: pa.RecordBatch, group: pa.Int32Array, groups: int) -> pa.RecordBatch:
        """Adds sums."""
        sums = ExactSums.of_columns(states, "sum", group=indices(group), groups=groups)
        return table_of(sums.columns("sum"), self.state)

    def finish(self, states: pa.RecordBatch) -> pa.RecordBatch:
        """Rounds.

        Raises:
            DtypeError: A sum of integers lies beyond int64.
        """
        sums = one_by_one(states, "sum")
        if pa.types.is_floating(self.type):
            return _answer(self.name, sums.floats())
        return _answer(self.name, sums.integers(f"the sum of column {self.column!r}"))


@dataclass(frozen=True)
class Mean:
    """The mean of a column as float64, weighted by another if one is named; null of no value."""

    name: str
    column: str
    weight: str | None = None

    @property
    def columns(self) -> tuple[str, ...]:
        """The averaged column and its weight."""
        return (self.column,) if self.weight is None else (self.column, self.weight)

    @property
    def state(self) -> pa.Schema:
        """An exact sum of values times weights, and one of weights."""
        return pa.schema([*state_fields("sum"), *state_fields("weight")])

    @property
    def exactness(self) -> Exactness:
        """Within 1e-12 of the mean: in fact two roundings of a double."""
        return FLOAT_EXACTNESS

    def bind(self, schema: pa.Schema) -> Merge:
        """Accepts booleans, integers and floats."""
        for column in self.columns:
            checked_type(schema, column, verb="averaged", accepts=is_number)
        return self

    def lift(self, batch: pa.RecordBatch, group: pa.Int32Array, groups: int) -> pa.RecordBatch:
        """Sums values times weights, and weights, where neither is null."""
        arrays, place = present(batch, self.columns, group)
        values = numbers(arrays[0])
        if self.weight is None:
            columns = summed("sum", values, group=place, groups=groups)
            weights, place = np.bincount(place, minlength=groups), np.arange(groups)
        else:
            weights = numbers(arrays[1])
            columns = summed_products("sum", (values, weights), group=place, groups=groups)
        columns |= summed("weight", weights, group=place, groups=groups)
        return table_of(columns, self.state)

    def combine(self, states: pa.RecordBatch, group: pa.Int32Array, groups: int) -> pa.RecordBatch:
        """Adds both sums."""
        columns: dict[str, pa.Array] = {}
        for prefix in ("sum", "weight"):
            sums = ExactSums.of_columns(states, prefix, group=indices(group), groups=groups)
            columns |= sums.columns(prefix)
        return table_of(columns, self.state)

    def finish(self, states: pa.RecordBatch) -> pa.RecordBatch:
        """Divides; null where the weights add up to zero."""
        sums, weights = one_by_one(states, "sum"), one_by_one(states, "weight")
        top, top_exponent = sums.scaled()
        bottom, bottom_exponent = weights.scaled()
        is_empty = (bottom == 0) & (weights.special == 0)
        is_special = (sums.special != 0) | (weights.special != 0)
        with np.errstate(divide="ignore", invalid="ignore"):
            finite = shift(top / np.where(bottom == 0, 1.0, bottom), top_exponent - bottom_exponent)
            special = sums.floats() / weights.floats()
        return _answer(self.name, np.where(is_special, special, finite), null=is_empty)


@dataclass(frozen=True)
class Variance:
    """The variance of a column as float64; null where there are not more values than `ddof`."""

    name: str
    column: str
    ddof: int = 1

    @property
    def columns(self) -> tuple[str, ...]:
        """The column whose variance is taken."""
        return (self.column,)

    @property
    def state(self) -> pa.Schema:
        """How many values, their exact sum and the exact sum of their squares."""
        fields = [*state_fields("sum"), *state_fields("square")]
        return pa.schema([pa.field("count", pa.int64()), *fields])

    @property
    def exactness(self) -> Exactness:
        """Within 1e-12 of the variance, however close together the values lie."""
        return FLOAT_EXACTNESS

    def bind(self, schema: pa.Schema) -> Merge:
        """Accepts booleans, integers and floats."""
        checked_type(schema, self.column, verb="given a variance", accepts=is_number)
        return self

    def lift(self, batch: pa.RecordBatch, group: pa.Int32Array, groups: int) -> pa.RecordBatch:
        """Counts and sums the values that are not null, and their squares."""
        (array,), place = present(batch, self.columns, group)
        values = numbers(array)
        columns = summed("sum", values, group=place, groups=groups)
        columns |= summed_products("square", (values, values), group=place, groups=groups)
        columns["count"] = pa.array(np.bincount(place, minlength=groups))
        return table_of(columns, self.state)

    def combine(self, states: pa.RecordBatch, group: pa.Int32Array, groups: int) -> pa.RecordBatch:
        """Adds counts and sums."""
        place = indices(group)
        counts = np.zeros(groups, np.int64)
        np.add.at(counts, place, states.column("count").to_numpy(zero_copy_only=False))
        columns = {"count": pa.array(counts)}
        for prefix in ("sum", "square"):
            sums = ExactSums.of_columns(states, prefix, group=place, groups=groups)
            columns |= sums.columns(prefix)
        return table_of(columns, self.state)

    def finish(self, states: pa.RecordBatch) -> pa.RecordBatch:
        """Gives `(n * sum(x*x) - sum(x)**2) / (n * (n - ddof))`, exact up to the division."""
        counts = states.column("count").to_numpy(zero_copy_only=False).astype(np.int64)
        sums, squares = one_by_one(states, "sum"), one_by_one(states, "square")
        spread, exponent = spread_of(counts, sums, squares).scaled()
        is_null = counts <= self.ddof
        free = np.where(is_null, 1, counts - self.ddof)
        finite = shift(spread / np.maximum(counts, 1) / free, exponent)
        values = np.where((sums.special != 0) | (squares.special != 0), np.nan, finite)
        return _answer(self.name, values, null=is_null)


def times_counts(counts: NDArray[np.int64], sums: ExactSums) -> tuple[NDArray[np.int64], int]:
    """Gives `count * sum` row by row, exactly: digits, and the limb of the first digit."""
    return multiply_digits(terms_of_integers(counts).digits, sums.digits), sums.limb


def spread_of(counts: NDArray[np.int64], sums: ExactSums, squares: ExactSums) -> ExactSums:
    """Gives `n * sum(x*x) - sum(x)**2`, exactly: n * n times the variance of `ddof=0`."""
    squared = multiply_digits(sums.digits, sums.digits)
    return subtract(times_counts(counts, squares), (squared, 2 * sums.limb))


def _terms_of(values: NDArray[Any]) -> Terms:
    if values.dtype.kind == "f":
        return terms_of_floats(values)
    return terms_of_integers(values)


def as_doubles(values: NDArray[Any]) -> NDArray[Any]:
    """Gives integers as doubles where these hold each of them exactly; else what it got."""
    if values.dtype.kind != "f" and values.min(initial=0) >= -EXACT_INTEGER:
        return values.astype(np.float64) if values.max(initial=0) <= EXACT_INTEGER else values
    return values


def summed(
    prefix: str, values: NDArray[Any], *, group: NDArray[np.int64], groups: int
) -> dict[str, pa.Array]:
    """Sums by group; gives the columns of a state."""
    values = as_doubles(values)
    if values.dtype.kind == "f":
        values, group = condense(values, group, groups)
        return sum_columns(prefix, values, group=group, groups=groups)
    return ExactSums.of_terms(terms_of_integers(values), group, groups).columns(prefix)


def summed_products(
    prefix: str, factors: Pair, *, group: NDArray[np.int64], groups: int
) -> dict[str, pa.Array]:
    """Sums exact products by group; gives the columns of a state."""
    left, right = map(as_doubles, factors)
    if left.dtype.kind == right.dtype.kind == "f":
        condensed = condense_products(left, right, group=group, groups=groups)
        if condensed is not None:
            return sum_columns(prefix, condensed[0], group=condensed[1], groups=groups)
    return _exact_products(left, right, group=group, groups=groups).columns(prefix)


def _exact_products(
    left: NDArray[Any], right: NDArray[Any], *, group: NDArray[np.int64], groups: int
) -> ExactSums:
    """Multiplies digit by digit; a product with an infinity or NaN is what IEEE 754 says it is."""
    is_finite = np.isfinite(left) & np.isfinite(right)
    exact = multiply(
        _terms_of(np.where(is_finite, left, 0)), _terms_of(np.where(is_finite, right, 0))
    )
    sums = ExactSums.of_terms(exact, group, groups)
    if is_finite.all():
        return sums
    with np.errstate(invalid="ignore", over="ignore"):
        product = left.astype(np.float64) * right.astype(np.float64)
    bits = np.where(is_finite, np.int8(0), specials_of(product)).astype(np.int8)
    return sums.with_special(any_special(bits, group, groups))


def one_by_one(states: pa.RecordBatch, prefix: str) -> ExactSums:
    """Reads states without adding any two."""
    rows = states.num_rows
    return ExactSums.of_columns(states, prefix, group=np.arange(rows, dtype=np.int64), groups=rows)


def _answer(
    name: str, values: NDArray[Any], *, null: NDArray[np.bool_] | None = None
) -> pa.RecordBatch:
    return pa.RecordBatch.from_pydict({name: pa.array(values, mask=null)})
