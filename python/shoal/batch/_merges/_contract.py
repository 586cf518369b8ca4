"""What a merge is: lift each micro-batch to a state, combine states, finish.

- A state is a row of an Arrow table: one per group, storable, sendable without pickle.
- `combine` is associative: however the data was cut and in whatever order states meet, `finish`
  answers the same, within the merge's `exactness`.
- Nulls are skipped, by every merge; `count` and `nulls` count them. NaN is a value.
- Data without a record has a state too: the one that changes no other state.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol, runtime_checkable

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class Exactness:
    """How near an answer is to the true one, under any cut of the data.

    Attributes:
        kind: `equal` (the same, always), `relative` (the error is at most `bound` times the
            answer) or `rank` (a rank is off by at most `bound` times the number of records).
        bound: The largest error; 0.0 for `equal`.
        confidence: The share of data sets in which the error is within the bound: 1.0 where it
            always is; less for a sketch, whose error has a distribution and no end.
    """

    kind: Literal["equal", "relative", "rank"]
    bound: float = 0.0
    confidence: float = 1.0


EQUAL = Exactness("equal")


def relative(bound: float, *, confidence: float = 1.0) -> Exactness:
    """Gives the exactness of an answer whose error is at most `bound` times the answer."""
    return Exactness("relative", bound, confidence)


def rank_error(bound: float, *, confidence: float = 1.0) -> Exactness:
    """Gives the exactness of a quantile whose rank is off by at most `bound` times the records."""
    return Exactness("rank", bound, confidence)


@runtime_checkable
class Merge(Protocol):
    """How answers of micro-batches become one answer.

    `group` has one entry per row, in `[0, groups)`, and says which state the row belongs to; a
    group may have no row. All three methods are pure: they may run in any thread.
    """

    @property
    def name(self) -> str:
        """Name of the (first) column that `finish` gives."""

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns of a micro-batch that `lift` reads."""

    @property
    def state(self) -> pa.Schema:
        """Columns of a state."""

    @property
    def exactness(self) -> Exactness:
        """How near the answer is to the true one, under any cut."""

    def bind(self, schema: pa.Schema) -> Merge:
        """Gives this merge for columns of these types; called before the other methods.

        Raises:
            DtypeError: A column's type cannot be merged so.
        """

    def lift(self, batch: pa.RecordBatch, group: pa.Int32Array, groups: int) -> pa.RecordBatch:
        """Gives one state row per group."""

    def combine(self, states: pa.RecordBatch, group: pa.Int32Array, groups: int) -> pa.RecordBatch:
        """Gives one state row per group, made from the states of that group."""

    def finish(self, states: pa.RecordBatch) -> pa.RecordBatch:
        """Gives one answer row per state row."""
