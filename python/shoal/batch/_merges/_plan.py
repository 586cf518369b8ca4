"""Several merges over the same records, grouped or not, as one.

- A `Partial` is what some micro-batches amount to: the types that were merged, and one row of
  states per group. Both can be stored and sent as Arrow.
- Groups stand in the order in which their keys were first met. A null is a key like any other.
- Types may widen from micro-batch to micro-batch (nulls to numbers, integers to floats); a state
  is then cast, never rounded. Types that share no wider one are refused by name.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa

from shoal.batch._groups import group_rows, unpacked
from shoal.batch._merges._columns import type_of
from shoal.batch._merges._contract import Merge
from shoal.batch._records import as_record_batch
from shoal.errors import DtypeError, DuplicateColumnError, InvalidRequestError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import numpy as np
    from numpy.typing import NDArray

# Partials wait for this many others, and for as many rows as the result has, so that combining
# costs about the same per micro-batch whether there is one group or there are many.
WAITING_PARTIALS = 64


@dataclass(frozen=True)
class Partial:
    """What some micro-batches amount to.

    Attributes:
        schema: The merged columns and their types.
        states: One row per group: its keys (`key.<column>`), then `<answer>.<field of the state>`.
    """

    schema: pa.Schema
    states: pa.RecordBatch


class Merges:
    """Merges that read the same records, grouped by the values of some columns.

    Args:
        merges: One merge or several; their answers become columns beside each other.
        by: The column or columns to group by; none means one group, present even without records.

    Raises:
        DuplicateColumnError: Two answers or keys have one name.
        InvalidRequestError: There is no merge.
    """

    def __init__(self, merges: Merge | Sequence[Merge], *, by: str | Sequence[str] = ()) -> None:
        self.merges = (merges,) if isinstance(merges, Merge) else tuple(merges)
        self.by = (by,) if isinstance(by, str) else tuple(by)
        if not self.merges or not all(isinstance(merge, Merge) for merge in self.merges):
            raise InvalidRequestError(
                f"merge={merges!r} holds no merge",
                hint="give shoal.batch.count(), shoal.batch.mean('score'), or a list of such",
            )
        names = [*self.by, *(merge.name for merge in self.merges)]
        for name in names:
            if names.count(name) > 1:
                raise DuplicateColumnError(
                    f"the merged answer would have two columns {name!r}",
                    hint="give one of the merges another name=",
                )

    def lift(self, records: object) -> Partial:
        """Gives the states of one micro-batch: a table, or values (the column `value`).

        Raises:
            MissingColumnError: A merged column is not there.
            DtypeError: A column cannot be merged so.
        """
        batch = as_record_batch(records)
        names = dict.fromkeys([*self.by, *(c for merge in self.merges for c in merge.columns)])
        schema = pa.schema([pa.field(name, type_of(batch.schema, name)) for name in names])
        keys = [unpacked(batch.column(name)) for name in self.by]
        group, firsts = group_rows(keys, batch.num_rows)
        lifted = [merge.lift(batch, group, len(firsts)) for merge in self._bound(schema)]
        return Partial(schema, self._states(keys, firsts, lifted))

    def combine(self, partials: Sequence[Partial]) -> Partial:
        """Gives the states of all; groups in the order of first meeting.

        Raises:
            DtypeError: Two partials have a column of types that share no wider one.
        """
        if not partials:
            return self._nothing()
        schema = _widest([partial.schema for partial in partials])
        merges = self._bound(schema)
        target = self._states_schema(schema, merges)
        states = _stack([_cast(partial.states, target) for partial in partials])
        keys = [states.column(_key(name)) for name in self.by]
        group, firsts = group_rows(keys, states.num_rows)
        combined = [merge.combine(_state_of(merge, states), group, len(firsts)) for merge in merges]
        return Partial(schema, self._states(keys, firsts, combined))

    def finish(self, partial: Partial) -> pa.RecordBatch:
        """Gives the answers: the keys, then the columns of each merge; one row per group."""
        keys = {name: partial.states.column(_key(name)) for name in self.by}
        columns: dict[str, pa.Array] = dict(keys)
        for merge in self._bound(partial.schema):
            answer = merge.finish(_state_of(merge, partial.states))
            columns |= dict(zip(answer.schema.names, answer.columns, strict=True))
        return pa.RecordBatch.from_pydict(columns)

    def gather(self, partials: Iterable[Partial]) -> Partial:
        """Combines partials as they come, holding only a bounded number beside the result."""
        total = self.combine([])
        waiting: list[Partial] = []
        rows = 0
        for partial in partials:
            waiting.append(partial)
            rows += partial.states.num_rows
            if len(waiting) >= WAITING_PARTIALS and rows >= total.states.num_rows:
                total = self.combine([total, *waiting])
                waiting, rows = [], 0
        return self.combine([total, *waiting])

    def _bound(self, schema: pa.Schema) -> list[Merge]:
        return [merge.bind(schema) for merge in self.merges]

    def _nothing(self) -> Partial:
        """Gives the state of no records: no group, or, ungrouped, one that changes no other."""
        names = dict.fromkeys([*self.by, *(c for merge in self.merges for c in merge.columns)])
        fields = [pa.field(name, pa.null()) for name in names]
        empty = pa.RecordBatch.from_pydict({field.name: pa.nulls(0) for field in fields})
        return self.lift(empty)

    def _states(
        self, keys: list[pa.Array], firsts: NDArray[np.int64], lifted: list[pa.RecordBatch]
    ) -> pa.RecordBatch:
        columns = {
            _key(name): key.take(pa.array(firsts)) for name, key in zip(self.by, keys, strict=True)
        }
        for merge, states in zip(self.merges, lifted, strict=True):
            for name, column in zip(states.schema.names, states.columns, strict=True):
                columns[f"{merge.name}.{name}"] = column
        return pa.RecordBatch.from_pydict(columns)

    def _states_schema(self, schema: pa.Schema, merges: list[Merge]) -> pa.Schema:
        fields = [pa.field(_key(name), schema.field(name).type) for name in self.by]
        for merge in merges:
            fields += [pa.field(f"{merge.name}.{f.name}", f.type) for f in merge.state]
        return pa.schema(fields)


def merge(
    batches: Iterable[object],
    merges: Merge | Sequence[Merge],
    *,
    by: str | Sequence[str] = (),
) -> pa.RecordBatch:
    """Merges micro-batches as they are, in this thread, one at a time.

    Args:
        batches: Micro-batches, e.g. from `split`: tables, or values (the column `value`).
        merges: One merge or several, e.g. `[count(), mean("score")]`.
        by: The column or columns to group by.

    Returns:
        One row per group, in the order of first meeting; exactly one row where `by` is empty.

    Raises:
        MissingColumnError: A merged column is not there.
        DtypeError: A column cannot be merged so, or its type changes to an unrelated one.
    """
    plan = Merges(merges, by=by)
    return plan.finish(plan.gather(map(plan.lift, batches)))


def _key(name: str) -> str:
    return f"key.{name}"


def _state_of(merge: Merge, states: pa.RecordBatch) -> pa.RecordBatch:
    columns = [states.column(f"{merge.name}.{field.name}") for field in merge.state]
    return pa.RecordBatch.from_arrays(columns, schema=merge.state)


def _widest(schemas: list[pa.Schema]) -> pa.Schema:
    try:
        return pa.unify_schemas(schemas, promote_options="permissive")
    except pa.ArrowException as cause:
        raise DtypeError(
            f"micro-batches give a column in types that cannot be merged: {cause}",
            hint="let the function always answer with the same types",
        ) from cause


def _cast(states: pa.RecordBatch, target: pa.Schema) -> pa.RecordBatch:
    if states.schema.equals(target):
        return states
    try:
        return states.cast(target)
    except pa.ArrowException as cause:
        raise DtypeError(
            f"a state cannot be widened without loss: {cause}",
            hint="let the function always answer with the same types",
        ) from cause


def _stack(states: Sequence[pa.RecordBatch]) -> pa.RecordBatch:
    return states[0] if len(states) == 1 else pa.concat_batches(states)
