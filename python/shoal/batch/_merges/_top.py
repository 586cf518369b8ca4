"""The rows with the greatest or least value of each group, and the latest and earliest value.

- Rows are ordered by `by`, then by the other columns: the order never depends on where a row came
  from, so answers are equal under any cut. Rows alike in all columns are told apart by nothing.
- NaN comes after every number, in either direction; a null comes last.
- -0.0 and 0.0 are one value, answered as 0.0.

A column needs values that have an order; lists and structs have none and are refused by name.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from shoal.batch._groups import group_rows, unpacked
from shoal.batch._merges._columns import checked_type, has_order, indices, present, table_of
from shoal.batch._merges._contract import EQUAL, Exactness
from shoal.errors import InvalidRequestError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from shoal.batch._merges._contract import Merge

    Integers = NDArray[np.int64]

ROWS: Final = "rows"


@dataclass(frozen=True)
class Ordered:
    """Rows in the order of their groups, and of their values within a group.

    Attributes:
        rows: The rows.
        group: The group of each.
        rank: The place of each in its group, from 0.
        start: Where each group starts.
    """

    rows: Integers
    group: Integers
    rank: Integers
    start: Integers

    @staticmethod
    def by(
        arrays: list[pa.Array], directions: Sequence[str], group: Integers, groups: int
    ) -> Ordered:
        """Sorts rows by several columns, each `ascending` or `descending`."""
        columns = [pa.array(group), *map(_sortable, arrays)]
        names = [str(place) for place in range(len(columns))]
        keys = list(zip(names, ["ascending", *directions], strict=True))
        table = pa.RecordBatch.from_arrays(columns, names=names)
        rows = (
            pc.sort_indices(table, sort_keys=keys).to_numpy(zero_copy_only=False).astype(np.int64)
        )
        sizes = np.bincount(group, minlength=groups)
        start = np.cumsum(sizes) - sizes
        place = group[rows]
        return Ordered(rows, place, np.arange(len(rows)) - start[place], start)


@dataclass(frozen=True)
class Top:
    """The `k` rows of each group with the greatest (or least) `by`, as a list of structs."""

    name: str
    fields: tuple[str, ...]
    k: int
    largest: bool = True
    ties: bool = False
    types: tuple[pa.DataType, ...] = ()

    @property
    def columns(self) -> tuple[str, ...]:
        """The column ordered by, then those told beside it."""
        return self.fields

    @property
    def state(self) -> pa.Schema:
        """The best rows so far, in order."""
        types = self.types or (pa.null(),) * len(self.fields)
        row = pa.struct(
            [pa.field(name, found) for name, found in zip(self.fields, types, strict=True)]
        )
        return pa.schema([pa.field(ROWS, pa.list_(row))])

    @property
    def exactness(self) -> Exactness:
        """Equal under any cut."""
        return EQUAL

    def bind(self, schema: pa.Schema) -> Merge:
        """Accepts every type whose values have an order."""
        types = [
            checked_type(schema, name, verb="put in order", accepts=has_order)
            for name in self.fields
        ]
        return replace(self, types=tuple(types))

    def lift(self, batch: pa.RecordBatch, group: pa.Int32Array, groups: int) -> pa.RecordBatch:
        """Picks rows whose `by` is not null."""
        arrays = [_unsigned_zeros(unpacked(batch.column(name))) for name in self.fields]
        rows = np.flatnonzero(arrays[0].is_valid().to_numpy(zero_copy_only=False))
        arrays = [array.take(pa.array(rows)) for array in arrays]
        return self._best(arrays, indices(group)[rows], groups)

    def combine(self, states: pa.RecordBatch, group: pa.Int32Array, groups: int) -> pa.RecordBatch:
        """Picks among the rows picked before."""
        lists = states.column(ROWS)
        lengths = lists.value_lengths().to_numpy(zero_copy_only=False)
        return self._best(lists.flatten().flatten(), np.repeat(indices(group), lengths), groups)

    def finish(self, states: pa.RecordBatch) -> pa.RecordBatch:
        """Gives the rows; an empty list of no row."""
        return states.rename_columns([self.name])

    def _best(self, arrays: list[pa.Array], group: Integers, groups: int) -> pa.RecordBatch:
        directions = ["descending" if self.largest else "ascending"]
        directions += ["ascending"] * (len(arrays) - 1)
        ordered = Ordered.by(arrays, directions, group, groups)
        kept = ordered.rank < self.k
        if self.ties:
            kept |= self._ties(arrays[0], ordered)
        chosen = pa.array(ordered.rows[kept])
        offsets = np.zeros(groups + 1, np.int32)
        np.cumsum(np.bincount(ordered.group[kept], minlength=groups), out=offsets[1:])
        listed = self.state.field(ROWS).type
        rows = pa.StructArray.from_arrays(
            [array.take(chosen) for array in arrays], fields=list(listed.value_type)
        )
        return table_of(
            {ROWS: pa.ListArray.from_arrays(pa.array(offsets), rows, listed)}, self.state
        )

    def _ties(self, by: pa.Array, ordered: Ordered) -> NDArray[np.bool_]:
        """Says which rows have the `by` of the last row picked in their group."""
        numbered, _ = group_rows([_sortable(by)], len(by))
        codes = numbered.to_numpy(zero_copy_only=False)[ordered.rows]
        last = np.minimum(ordered.start[ordered.group] + self.k, len(codes)) - 1
        same: NDArray[np.bool_] = (codes == codes[last]) & (ordered.group == ordered.group[last])
        return same


@dataclass(frozen=True)
class Latest:
    """The value of the row with the greatest (or least) `by`, in its own type; null of no row."""

    name: str
    column: str
    by: str
    earliest: bool = False
    types: tuple[pa.DataType, ...] = field(default_factory=lambda: (pa.null(), pa.null()))

    @property
    def columns(self) -> tuple[str, ...]:
        """The column ordered by, and the one answered."""
        return (self.by, self.column)

    @property
    def state(self) -> pa.Schema:
        """The best row so far, nulls while there is none."""
        return pa.schema(list(zip(("by", "value"), self.types, strict=True)))

    @property
    def exactness(self) -> Exactness:
        """Equal under any cut."""
        return EQUAL

    def bind(self, schema: pa.Schema) -> Merge:
        """Accepts every type whose values have an order."""
        types = [
            checked_type(schema, name, verb="put in order", accepts=has_order)
            for name in self.columns
        ]
        return replace(self, types=tuple(types))

    def lift(self, batch: pa.RecordBatch, group: pa.Int32Array, groups: int) -> pa.RecordBatch:
        """Picks a row where neither is null."""
        arrays, place = present(batch, self.columns, group)
        return self._first([_unsigned_zeros(array) for array in arrays], place, groups)

    def combine(self, states: pa.RecordBatch, group: pa.Int32Array, groups: int) -> pa.RecordBatch:
        """Picks among the rows picked before."""
        arrays, place = present(states, ("by", "value"), group)
        return self._first(arrays, place, groups)

    def finish(self, states: pa.RecordBatch) -> pa.RecordBatch:
        """Gives the value."""
        return states.select(["value"]).rename_columns([self.name])

    def _first(self, arrays: list[pa.Array], group: Integers, groups: int) -> pa.RecordBatch:
        directions = ["ascending" if self.earliest else "descending"] * 2
        ordered = Ordered.by(arrays, directions, group, groups)
        chosen = np.full(groups, -1, np.int64)
        is_first = ordered.rank == 0
        chosen[ordered.group[is_first]] = ordered.rows[is_first]
        rows = pa.array(chosen, mask=chosen < 0)
        return table_of(
            {"by": arrays[0].take(rows), "value": arrays[1].take(rows)},
            self.state,
        )


def check_top(k: object, fields: tuple[str, ...]) -> None:
    """Refuses what names no rows.

    Raises:
        InvalidRequestError: `k` is no whole number from 1 up, or a column is named twice.
    """
    if isinstance(k, bool) or not isinstance(k, int) or k < 1:
        raise InvalidRequestError(f"k is {k!r}, expected a whole number from 1 up")
    if len(set(fields)) != len(fields):
        raise InvalidRequestError(
            f"the columns {list(fields)} name a field of the answer twice",
            hint="the column of by= is always told: leave it out of columns=",
        )


def _unsigned_zeros(array: pa.Array) -> pa.Array:
    """Gives a column of floats with 0.0 for -0.0; any other as it is."""
    if not pa.types.is_floating(array.type):
        return array
    values = _sortable(array)
    return pc.add(values, pa.scalar(0, values.type)).cast(array.type)


def _sortable(array: pa.Array) -> pa.Array:
    """Gives a column as Arrow sorts it: it does not sort half floats."""
    return array.cast(pa.float32()) if pa.types.is_float16(array.type) else array
