"""Counts, extremes, histogram and confusion matrix: merges that are equal under any cut."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from shoal.batch._merges._columns import (
    checked_type,
    has_order,
    is_half_width,
    is_number,
    is_sorted_by_arrow,
    numbers,
    present,
    table_of,
    type_of,
)
from shoal.batch._merges._contract import EQUAL, Exactness
from shoal.errors import DtypeError, InvalidRequestError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from shoal.batch._merges._contract import Merge

FEWEST_EDGES = 2  # of one bin


@dataclass(frozen=True)
class Count:
    """How many records there are, or how many whose `column` is null, or is not."""

    name: str
    column: str | None = None
    nulls: bool = False

    @property
    def columns(self) -> tuple[str, ...]:
        """The column looked at, if any."""
        return () if self.column is None else (self.column,)

    @property
    def state(self) -> pa.Schema:
        """The count so far."""
        return pa.schema([pa.field("count", pa.int64())])

    @property
    def exactness(self) -> Exactness:
        """Equal under any cut."""
        return EQUAL

    def bind(self, schema: pa.Schema) -> Merge:
        """Accepts any type."""
        for column in self.columns:
            type_of(schema, column)
        return self

    def lift(self, batch: pa.RecordBatch, group: pa.Int32Array, groups: int) -> pa.RecordBatch:
        """Counts rows."""
        counted = group
        if self.column is not None:
            array = batch.column(self.column)
            counted = group.filter(array.is_null() if self.nulls else array.is_valid())
        counts = np.bincount(counted.to_numpy(zero_copy_only=False), minlength=groups)
        return table_of({"count": pa.array(counts)}, self.state)

    def combine(self, states: pa.RecordBatch, group: pa.Int32Array, groups: int) -> pa.RecordBatch:
        """Adds counts."""
        return table_of(_added(states, group, groups), self.state)

    def finish(self, states: pa.RecordBatch) -> pa.RecordBatch:
        """Gives the count as int64."""
        return states.rename_columns([self.name])


@dataclass(frozen=True)
class Extreme:
    """The smallest or largest value of a column, in the column's own type; null of no value.

    Numbers, booleans, times, decimals, strings (by code point) and binary have an order. A NaN
    makes the answer NaN; -0.0 and 0.0 are one value, answered as 0.0.
    """

    name: str
    column: str
    largest: bool = False
    type: pa.DataType = field(default_factory=pa.null)

    @property
    def columns(self) -> tuple[str, ...]:
        """The column compared."""
        return (self.column,)

    @property
    def state(self) -> pa.Schema:
        """The extreme so far, null while there is none."""
        return pa.schema([pa.field("extreme", self.type)])

    @property
    def exactness(self) -> Exactness:
        """Equal under any cut."""
        return EQUAL

    def bind(self, schema: pa.Schema) -> Merge:
        """Accepts every type whose values have an order."""
        found = checked_type(schema, self.column, verb="compared", accepts=has_order)
        return replace(self, type=found)

    def lift(self, batch: pa.RecordBatch, group: pa.Int32Array, groups: int) -> pa.RecordBatch:
        """Compares the values that are not null."""
        (array,), place = present(batch, self.columns, group)
        found = _extremes(array, place, groups=groups, largest=self.largest)
        return table_of({"extreme": found}, self.state)

    def combine(self, states: pa.RecordBatch, group: pa.Int32Array, groups: int) -> pa.RecordBatch:
        """Compares extremes."""
        (array,), place = present(states, ("extreme",), group)
        found = _extremes(array, place, groups=groups, largest=self.largest)
        return table_of({"extreme": found}, self.state)

    def finish(self, states: pa.RecordBatch) -> pa.RecordBatch:
        """Gives the extreme."""
        return states.rename_columns([self.name])


@dataclass(frozen=True)
class Histogram:
    """How many values lie in each bin: `edges[i] <= value < edges[i + 1]`, the last bin closed.

    Nothing is dropped: `_below` and `_above` count what lies outside, `_nan` what is NaN.
    Integers are compared with the edges as integers, never rounded to a double first.
    """

    name: str
    column: str
    edges: tuple[float, ...]

    @property
    def columns(self) -> tuple[str, ...]:
        """The column counted."""
        return (self.column,)

    @property
    def state(self) -> pa.Schema:
        """Counts: below, one per bin, above, NaN."""
        return pa.schema([pa.field("counts", pa.list_(pa.int64(), len(self.edges) + 2))])

    @property
    def exactness(self) -> Exactness:
        """Equal under any cut."""
        return EQUAL

    def bind(self, schema: pa.Schema) -> Merge:
        """Accepts booleans, integers and floats."""
        checked_type(schema, self.column, verb="put in bins", accepts=is_number)
        return self

    def lift(self, batch: pa.RecordBatch, group: pa.Int32Array, groups: int) -> pa.RecordBatch:
        """Counts the values that are not null."""
        (array,), place = present(batch, self.columns, group)
        cells = self._cells(numbers(array))
        return table_of(
            _vectors(cells, place, groups=groups, width=len(self.edges) + 2), self.state
        )

    def combine(self, states: pa.RecordBatch, group: pa.Int32Array, groups: int) -> pa.RecordBatch:
        """Adds counts."""
        return table_of(_added(states, group, groups), self.state)

    def finish(self, states: pa.RecordBatch) -> pa.RecordBatch:
        """Gives the bins as a list of int64, and three counts of what lies in none."""
        counts = _matrix(states)
        bins = pa.FixedSizeListArray.from_arrays(
            pa.array(counts[:, 1:-2].ravel()), len(self.edges) - 1
        )
        outside = {"below": counts[:, 0], "above": counts[:, -2], "nan": counts[:, -1]}
        named = {f"{self.name}_{part}": pa.array(column) for part, column in outside.items()}
        return pa.RecordBatch.from_pydict({self.name: bins} | named)

    def _cells(self, values: NDArray[Any]) -> NDArray[np.int64]:
        """Gives each value's place among the counts."""
        is_float = values.dtype.kind == "f"
        edges, last = self._edges_as(values.dtype)
        # No edge lies beyond int64, so clipping a larger uint64 changes no comparison.
        if values.dtype.kind == "u":
            values = np.minimum(values, np.uint64(2**63 - 1)).astype(np.int64)
        cells = np.searchsorted(edges, values, side="right")
        cells[(cells == len(edges)) & (values <= last)] = len(edges) - 1
        if is_float:
            cells[np.isnan(values)] = len(edges) + 1
        return cells

    def _edges_as(self, dtype: np.dtype[Any]) -> tuple[NDArray[Any], float | int]:
        """Gives the edges, and the end of the last bin, in the values' own kind of number."""
        edges = np.array(self.edges)
        if dtype.kind == "f":
            return edges, self.edges[-1]
        finite = edges[np.isfinite(edges)]
        if (np.abs(finite) >= 2.0**63).any():
            raise DtypeError(
                f"histogram {self.name!r} has an edge beyond int64: {list(finite)}",
                hint="use an infinite edge, or cast the column to float64",
            )
        bounds = np.iinfo(np.int64)
        last = bounds.max if np.isinf(edges[-1]) else int(np.floor(edges[-1]))
        whole = [_whole(edge) for edge in np.ceil(edges)]
        return np.array(whole, dtype=np.int64), last


@dataclass(frozen=True)
class ConfusionMatrix:
    """How often each prediction met each truth: row i, column j is truth `i`, prediction `j`.

    A record whose truth or prediction is not among the labels is counted in `_other`.
    """

    name: str
    truth: str
    prediction: str
    labels: tuple[Any, ...]

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns compared."""
        return (self.truth, self.prediction)

    @property
    def state(self) -> pa.Schema:
        """Counts, row by row, then the count of other records."""
        return pa.schema([pa.field("counts", pa.list_(pa.int64(), len(self.labels) ** 2 + 1))])

    @property
    def exactness(self) -> Exactness:
        """Equal under any cut."""
        return EQUAL

    def bind(self, schema: pa.Schema) -> Merge:
        """Accepts every type that the labels have a value of."""
        for column in self.columns:
            found = type_of(schema, column)
            if not pa.types.is_null(found):
                self._labels_as(found, column)
        return self

    def lift(self, batch: pa.RecordBatch, group: pa.Int32Array, groups: int) -> pa.RecordBatch:
        """Counts pairs where neither is null."""
        arrays, place = present(batch, self.columns, group)
        size = len(self.labels)
        truth, prediction = (
            self._codes(array, column) for array, column in zip(arrays, self.columns, strict=True)
        )
        cells = np.where((truth < 0) | (prediction < 0), size * size, truth * size + prediction)
        return table_of(_vectors(cells, place, groups=groups, width=size * size + 1), self.state)

    def combine(self, states: pa.RecordBatch, group: pa.Int32Array, groups: int) -> pa.RecordBatch:
        """Adds counts."""
        return table_of(_added(states, group, groups), self.state)

    def finish(self, states: pa.RecordBatch) -> pa.RecordBatch:
        """Gives the matrix as a list of rows of int64."""
        counts = _matrix(states)
        size = len(self.labels)
        cells = pa.FixedSizeListArray.from_arrays(pa.array(counts[:, :-1].ravel()), size)
        matrix = pa.FixedSizeListArray.from_arrays(cells, size)
        other = pa.array(counts[:, -1])
        return pa.RecordBatch.from_pydict({self.name: matrix, f"{self.name}_other": other})

    def _labels_as(self, found: pa.DataType, column: str) -> pa.Array:
        try:
            return pa.array(self.labels, type=found)
        except (pa.ArrowException, OverflowError, TypeError) as cause:
            raise DtypeError(
                f"column {column!r} is {found}, the labels are {list(self.labels)!r}",
                hint="give labels of the column's type",
            ) from cause

    def _codes(self, array: pa.Array, column: str) -> NDArray[np.int64]:
        if pa.types.is_null(array.type):
            return np.zeros(0, np.int64)
        codes = pc.index_in(array, value_set=self._labels_as(array.type, column))
        found: NDArray[np.int64] = codes.fill_null(-1).to_numpy(zero_copy_only=False)
        return found.astype(np.int64)


def check_edges(edges: tuple[float, ...]) -> None:
    """Refuses edges that make no bins.

    Raises:
        InvalidRequestError: There are fewer than two, or they do not strictly increase.
    """
    if len(edges) < FEWEST_EDGES or not all(low < high for low, high in itertools.pairwise(edges)):
        raise InvalidRequestError(
            f"the edges {list(edges)} make no bins",
            hint="give at least two edges, each larger than the one before",
        )


def check_labels(labels: tuple[Any, ...]) -> None:
    """Refuses labels that name no rows.

    Raises:
        InvalidRequestError: There is none, or one stands twice.
    """
    if not labels or len(set(labels)) != len(labels):
        raise InvalidRequestError(
            f"the labels {list(labels)} do not name the rows of a matrix",
            hint="give each label once, and at least one",
        )


def _whole(edge: float) -> int:
    bounds = np.iinfo(np.int64)
    if np.isinf(edge):
        return int(bounds.max if edge > 0 else bounds.min)
    return int(edge)


def _extremes(array: pa.Array, group: NDArray[np.int64], *, groups: int, largest: bool) -> pa.Array:
    """Gives the extreme of each group, null for a group without a value."""
    found = array.type
    if is_sorted_by_arrow(found) or pa.types.is_null(found):
        return _sorted_extremes(array, group, groups=groups, largest=largest)
    values = _comparable(array)
    is_float = values.dtype.kind == "f"
    limits: Any = np.finfo(values.dtype) if is_float else np.iinfo(values.dtype)
    worst = limits.min if largest else limits.max
    if is_float:
        worst = -np.inf if largest else np.inf
        values = values + values.dtype.type(0)  # -0.0 becomes 0.0
    best = np.full(groups, worst, dtype=values.dtype)
    with np.errstate(invalid="ignore"):
        (np.maximum if largest else np.minimum).at(best, group, values)
    is_empty = np.bincount(group, minlength=groups) == 0
    if pa.types.is_temporal(found):
        return pa.array(best, mask=is_empty).view(found)
    return pa.array(best, mask=is_empty).cast(found)


def _comparable(array: pa.Array) -> NDArray[Any]:
    """Gives values as numbers of the same order."""
    if pa.types.is_boolean(array.type):
        array = array.cast(pa.uint8())
    elif pa.types.is_temporal(array.type):
        array = array.view(pa.int32() if is_half_width(array.type) else pa.int64())
    values: NDArray[Any] = array.to_numpy(zero_copy_only=False)
    return values


def _sorted_extremes(
    array: pa.Array, group: NDArray[np.int64], *, groups: int, largest: bool
) -> pa.Array:
    """Gives the extremes of what has an order but no number: strings, binary, decimals."""
    rows = pa.RecordBatch.from_pydict({"group": pa.array(group), "value": array})
    direction = "descending" if largest else "ascending"
    keys = [("group", "ascending"), ("value", direction)]
    order = pc.sort_indices(rows, sort_keys=keys).to_numpy(zero_copy_only=False)
    met, first = np.unique(group[order], return_index=True)
    chosen = np.full(groups, -1, dtype=np.int64)
    chosen[met] = order[first]
    return array.take(pa.array(chosen, mask=chosen < 0))


def _vectors(
    cells: NDArray[np.int64], group: NDArray[np.int64], *, groups: int, width: int
) -> dict[str, pa.Array]:
    """Counts cells by group: one list of `width` counts per group."""
    counts = np.bincount(group * width + cells, minlength=groups * width).astype(np.int64)
    return {"counts": pa.FixedSizeListArray.from_arrays(pa.array(counts), width)}


def _matrix(states: pa.RecordBatch) -> NDArray[np.int64]:
    """Gives a column of lists as `(states, width)` counts."""
    lists = states.column("counts")
    flat: NDArray[np.int64] = lists.flatten().to_numpy(zero_copy_only=False)
    return flat.reshape(len(lists), lists.type.list_size)


def _added(states: pa.RecordBatch, group: pa.Int32Array, groups: int) -> dict[str, pa.Array]:
    """Adds the only column of the states by group: counts, or lists of counts."""
    place = group.to_numpy(zero_copy_only=False)
    if states.schema.names == ["count"]:
        total = np.zeros(groups, np.int64)
        np.add.at(total, place, states.column("count").to_numpy(zero_copy_only=False))
        return {"count": pa.array(total)}
    counts = _matrix(states)
    totals = np.zeros((groups, counts.shape[1]), np.int64)
    np.add.at(totals, place, counts)
    lists = pa.FixedSizeListArray.from_arrays(pa.array(totals.ravel()), counts.shape[1])
    return {"counts": lists}
