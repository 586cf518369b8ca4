"""Sketches: quantiles and distinct values of any number of records, in bounded memory.

- A sketch is the bytes that Apache DataSketches serializes; null where there was no value. It is
  exact while a group has few values, an estimate with a stated error beyond.
- `Quantiles` is a KLL sketch. It throws coins, so answers beyond `RANKED_VALUES` values of a group
  differ within the stated error from cut to cut, and from run to run of the same cut.
- `Distinct` is a theta sketch, trimmed: it holds the smallest hashes of all values that were ever
  met, and those do not depend on the order or the cut. Its answer is the same under any cut. (An
  HLL sketch is smaller, but its estimate depends on whether it was made by a union.)

Values of a group are handed over together, groups one after the other.

Source: Z. Karnin, K. Lang, E. Liberty, "Optimal quantile approximation in streams" (KLL).
Z. Bar-Yossef, T. Jayram, R. Kumar, D. Sivakumar, L. Trevisan, "Counting distinct elements in a
data stream", algorithm 2; A. Dasgupta, K. Lang, L. Rhodes, J. Thaler, "A framework for estimating
stream expression cardinalities" (theta).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa
from datasketches import (
    compact_theta_sketch,
    kll_doubles_sketch,
    theta_union,
    update_theta_sketch,
)

from shoal.batch._merges._columns import (
    checked_type,
    indices,
    is_number,
    numbers,
    present,
    table_of,
)
from shoal.batch._merges._contract import Exactness, rank_error, relative
from shoal.batch._merges._identities import distinct_rows, has_identity
from shoal.errors import InvalidRequestError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from shoal.batch._merges._contract import Merge

RANKED_VALUES: Final = 1000
LOG2_HASHES: Final = 12
# The package states the error of a rank that 99 of 100 KLL sketches keep. A count of distinct
# values is nearly normal: three standard errors hold 99.7 of 100, and more than 99 of a small one.
CONFIDENCE: Final = 0.99
STANDARD_ERRORS: Final = 3
# Binary with 64-bit offsets: 32 KB for each of 65,536 groups is beyond 32 bits.
SKETCH: Final = pa.field("sketch", pa.large_binary())


@dataclass(frozen=True)
class Quantiles:
    """The values at some ranks, as a list of float64; null of no value, NaN where one is NaN."""

    name: str
    column: str
    at: tuple[float, ...]
    size: int = RANKED_VALUES

    @property
    def columns(self) -> tuple[str, ...]:
        """The column ranked."""
        return (self.column,)

    @property
    def state(self) -> pa.Schema:
        """A KLL sketch of what is not NaN, and whether there was a NaN."""
        return pa.schema([SKETCH, pa.field("nan", pa.bool_())])

    @property
    def exactness(self) -> Exactness:
        """The error of a rank, as the package states it for a sketch of this size."""
        bound = kll_doubles_sketch.get_normalized_rank_error(self.size, False)  # noqa: FBT003 - of one rank
        return rank_error(bound, confidence=CONFIDENCE)

    def bind(self, schema: pa.Schema) -> Merge:
        """Accepts booleans, integers and floats."""
        checked_type(schema, self.column, verb="ranked", accepts=is_number)
        return self

    def lift(self, batch: pa.RecordBatch, group: pa.Int32Array, groups: int) -> pa.RecordBatch:
        """Sketches the values that are not null."""
        (array,), place = present(batch, self.columns, group)
        values = numbers(array).astype(np.float64) + 0.0  # -0.0 becomes 0.0
        is_nan = np.isnan(values)
        values, ranked = values[~is_nan], place[~is_nan]

        def sketch(rows: NDArray[np.int64]) -> bytes:
            made = kll_doubles_sketch(self.size)
            made.update(values[rows])
            return bytes(made.serialize())

        return self._states(_each_group(ranked, groups, sketch), np.unique(place[is_nan]))

    def combine(self, states: pa.RecordBatch, group: pa.Int32Array, groups: int) -> pa.RecordBatch:
        """Merges sketches."""

        def merged(sketches: list[bytes]) -> bytes:
            total = kll_doubles_sketch(self.size)
            for sketch in sketches:
                total.merge(kll_doubles_sketch.deserialize(sketch))
            return bytes(total.serialize())

        has_nan = states.column("nan").to_numpy(zero_copy_only=False)
        return self._states(_merged(states, group, groups, merged), indices(group)[has_nan])

    def finish(self, states: pa.RecordBatch) -> pa.RecordBatch:
        """Gives the smallest value whose rank reaches each of `at`."""
        rows = zip(
            states.column("sketch").to_pylist(), states.column("nan").to_pylist(), strict=True
        )
        answers = [self._answer(sketch, has_nan=has_nan) for sketch, has_nan in rows]
        found = pa.array(answers, pa.list_(pa.float64(), len(self.at)))
        return pa.RecordBatch.from_pydict({self.name: found})

    def _states(self, sketches: list[bytes | None], with_nan: NDArray[np.int64]) -> pa.RecordBatch:
        has_nan = np.zeros(len(sketches), np.bool_)
        has_nan[with_nan] = True
        columns = {"sketch": pa.array(sketches, SKETCH.type), "nan": pa.array(has_nan)}
        return table_of(columns, self.state)

    def _answer(self, sketch: bytes | None, *, has_nan: bool) -> list[float] | None:
        if has_nan:
            return [math.nan] * len(self.at)
        if sketch is None:
            return None
        return _quantiles(kll_doubles_sketch.deserialize(sketch), self.at)


@dataclass(frozen=True)
class Distinct:
    """How many different values there are, as int64: exact up to `2 ** log2_hashes` of them."""

    name: str
    column: str
    log2_hashes: int = LOG2_HASHES

    @property
    def columns(self) -> tuple[str, ...]:
        """The column whose values are counted."""
        return (self.column,)

    @property
    def state(self) -> pa.Schema:
        """A theta sketch."""
        return pa.schema([SKETCH])

    @property
    def exactness(self) -> Exactness:
        """Three standard errors of an estimate from so many hashes."""
        bound = STANDARD_ERRORS / math.sqrt(2**self.log2_hashes - 1)
        return relative(bound, confidence=CONFIDENCE)

    def bind(self, schema: pa.Schema) -> Merge:
        """Accepts numbers, times, decimals, text and binary."""
        checked_type(schema, self.column, verb="counted as distinct", accepts=has_identity)
        return self

    def lift(self, batch: pa.RecordBatch, group: pa.Int32Array, groups: int) -> pa.RecordBatch:
        """Hashes each value of a group once."""
        (array,), place = present(batch, self.columns, group)
        values, owner = distinct_rows(array, place)

        def sketch(rows: NDArray[np.int64]) -> bytes:
            made = update_theta_sketch(self.log2_hashes)
            for row in rows.tolist():
                made.update(values[row])
            # Untrimmed, it holds more hashes than it must, and how many depends on their order.
            made.trim()
            return bytes(made.compact().serialize())

        return _sketches(_each_group(owner, groups, sketch))

    def combine(self, states: pa.RecordBatch, group: pa.Int32Array, groups: int) -> pa.RecordBatch:
        """Unites sketches."""

        def united(sketches: list[bytes]) -> bytes:
            union = theta_union(self.log2_hashes)
            for sketch in sketches:
                union.update(compact_theta_sketch.deserialize(sketch))
            return bytes(union.get_result().serialize())

        return _sketches(_merged(states, group, groups, united))

    def finish(self, states: pa.RecordBatch) -> pa.RecordBatch:
        """Estimates; 0 of no value."""
        sketches = states.column("sketch").to_pylist()
        counts = [0 if sketch is None else _estimate(sketch) for sketch in sketches]
        return pa.RecordBatch.from_pydict({self.name: pa.array(counts, pa.int64())})


def check_ranks(at: tuple[float, ...]) -> None:
    """Refuses ranks that no value has.

    Raises:
        InvalidRequestError: There is none, or one is not from 0 to 1.
    """
    if not at or not all(0 <= rank <= 1 for rank in at):
        raise InvalidRequestError(
            f"the ranks {list(at)} name no quantiles",
            hint="give at least one, each from 0 (the least value) to 1 (the greatest)",
        )


def _quantiles(sketch: kll_doubles_sketch, at: tuple[float, ...]) -> list[float]:
    # The ends are kept apart from the sample that a sketch holds of all other values.
    ends = {0.0: sketch.get_min_value(), 1.0: sketch.get_max_value()}
    inner = sketch.get_quantiles(at, True)  # noqa: FBT003 - a rank counts the value itself
    return [ends.get(rank, found) for rank, found in zip(at, inner, strict=True)]


def _estimate(sketch: bytes) -> int:
    estimate: float = compact_theta_sketch.deserialize(sketch).get_estimate()
    return round(estimate)


def _sketches(sketches: list[bytes | None]) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays([pa.array(sketches, SKETCH.type)], schema=pa.schema([SKETCH]))


def _rows_of_groups(group: NDArray[np.int64]) -> Iterator[tuple[int, NDArray[np.int64]]]:
    """Gives the rows of each group that has any."""
    order = np.argsort(group, kind="stable")
    met, starts = np.unique(group[order], return_index=True)
    return zip(met.tolist(), np.split(order, starts[1:]), strict=False)  # no group: one empty part


def _each_group(
    group: NDArray[np.int64], groups: int, sketch: Callable[[NDArray[np.int64]], bytes]
) -> list[bytes | None]:
    """Sketches the rows of each group; None for a group without one."""
    made: list[bytes | None] = [None] * groups
    for owner, rows in _rows_of_groups(group):
        made[owner] = sketch(rows)
    return made


def _merged(
    states: pa.RecordBatch,
    group: pa.Int32Array,
    groups: int,
    merge: Callable[[list[bytes]], bytes],
) -> list[bytes | None]:
    """Merges the sketches of each group; one alone stays as it is."""
    (sketches,), place = present(states, (SKETCH.name,), group)
    found = sketches.to_pylist()

    def joined(rows: NDArray[np.int64]) -> bytes:
        parts = [found[row] for row in rows.tolist()]
        return parts[0] if len(parts) == 1 else merge(parts)

    return _each_group(place, groups, joined)
