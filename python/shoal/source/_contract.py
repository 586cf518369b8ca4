"""What every source and sink keeps to, so that any source runs into any sink, in any engine.

Rules:

- An **offset** is a place in a source, as JSON. What lies between two offsets never changes: read
  again, it gives the same records in the same order. A source that cannot do that says so
  (`replayable`), and is delivered at most once.
- A **split** is a part of such a range that one worker reads alone, as JSON. Its `partition` names
  the part of the source that it belongs to, for good: event time is watched for each partition.
- A source that receives what nobody can send again stores it first, in a directory of its own
  (`open`), and only then says that it has it.
- A sink shows nothing of an **epoch** before `commit`, and all of it after. It remembers the last
  epoch and where it ended, and refuses one that does not start there; so what commits twice is
  stored once, whoever ran it.
- `commit` may be called again with the same arguments after any failure; `abort` never undoes what
  was committed.

Source: the shapes are those of Spark's Python data sources (`DataSourceStreamReader`,
`DataSourceStreamArrowWriter`), so that one connector can serve both engines.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeAlias, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    import pyarrow as pa

    from shoal.source._pieces import Placed, Refuse

Offset: TypeAlias = dict[str, Any]
Split: TypeAlias = dict[str, Any]
Token: TypeAlias = dict[str, Any]


class Limit(NamedTuple):
    """How much one epoch may hold: it ends at the first piece with which one of these is reached.

    Attributes:
        rows: Records, where the source can tell.
        size_bytes: Bytes, as the source counts them.
        wait_seconds: How long a source may wait for records that are still to come.
    """

    rows: int
    size_bytes: int
    wait_seconds: float = 0.0


class Guarantee(StrEnum):
    """What a sink promises about records that are sent again after a crash."""

    TRANSACTIONAL = "transactional"
    IDEMPOTENT = "idempotent"
    AT_LEAST_ONCE = "at_least_once"


class SinkState(NamedTuple):
    """What a sink remembers: the last epoch that it committed, and where that ended."""

    epoch: int
    end: Offset


class Source(Protocol):
    """Where records come from. `read` may be called by several threads at once, all else by one."""

    @property
    def schema(self) -> pa.Schema:
        """The columns of every batch."""

    @property
    def replayable(self) -> bool:
        """Whether a range can be read again."""

    @property
    def is_bounded(self) -> bool:
        """Whether it ends: nothing new means that all was read."""

    @property
    def reads_ahead(self) -> bool:
        """Whether `latest` already reads the records, and keeps them for `read`."""

    def open(self, directory: Path) -> None:
        """Makes ready; called once, before the offsets are asked for.

        Args:
            directory: For what must be remembered; it lasts as long as the pipeline.

        Raises:
            SourceError: it cannot be reached or read.
        """

    def initial(self) -> Offset:
        """Where the first epoch starts."""

    def latest(self, start: Offset, limit: Limit) -> Offset:
        """Where an epoch from `start` ends; `start` itself where there is nothing new.

        It may wait for the first record; one that `reads_ahead` gathers for all of the time, unless
        the limit is reached.
        """

    def partitions(self, offset: Offset) -> Sequence[str]:
        """The partitions of which records may come after an offset, as far as they are known."""

    def splits(self, start: Offset, end: Offset) -> Sequence[Split]:
        """The parts of a range, in order, each with its `partition`; none of an empty one."""

    def read(self, split: Split) -> Iterator[pa.RecordBatch]:
        """The records of a split.

        Raises:
            SourceError: they cannot be read.
        """

    def lag_rows(self, end: Offset) -> int | None:
        """How many records wait behind an offset; None where the source cannot tell cheaply."""

    def commit(self, end: Offset) -> None:
        """All before `end` is stored for good, and will not be read again."""

    def close(self) -> None:
        """Nothing more will be read."""


@runtime_checkable
class PlacedSource(Protocol):
    """A source that says where each record is, and goes on past one that cannot be read."""

    def read_placed(self, split: Split, refuse: Refuse) -> Iterator[Placed]:
        """The records of a split and where they are; `refuse` is told of those that cannot be read.

        Raises:
            SourceError: the split cannot be read.
        """


class Sink(Protocol):
    """Where records go."""

    @property
    def guarantee(self) -> Guarantee:
        """What happens to an epoch that is written again."""

    @property
    def least_commit_seconds(self) -> float:
        """How long an epoch gathers at least, unless somebody says: 0 where commits cost little."""

    def open(self, pipeline_id: str, schema: pa.Schema) -> SinkState | None:
        """Takes up where an earlier run ended, finishing a commit that was cut short.

        Raises:
            ConflictError: what is there belongs to another pipeline, or has other columns.
            SinkError: it cannot be read or written.
        """

    def write(self, epoch: int, batches: Iterator[pa.RecordBatch]) -> Token:
        """Stages records; nobody sees them. May be called from several threads at once."""

    def commit(self, epoch: int, start: Offset, end: Offset, tokens: Sequence[Token]) -> None:
        """Shows all that was staged for an epoch, at once.

        Raises:
            ConflictError: the last epoch is not the one before, or did not end at `start`.
            SinkError: it cannot be written.
        """

    def abort(self, epoch: int, tokens: Sequence[Token]) -> None:
        """Throws away what was staged and not committed."""

    def close(self) -> None:
        """Nothing more will be written."""
