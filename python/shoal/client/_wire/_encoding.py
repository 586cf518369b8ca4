"""What the three encodings have in common: pieces of envelopes, made apart and joined at the end.

A task is encoded when it is called, whoever it travels with: so a wrong value fails that call
alone, and how many bytes an envelope has is known before it is made. What depends on the envelope,
the id of a task and what is left of its budget, is added when the envelope is made.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from shoal.client._tables._table import Table
    from shoal.client._task import Task

JSON = "application/json"
NDJSON = "application/x-ndjson"
ARROW = "application/vnd.apache.arrow.stream"
PROTOBUF = "application/x-protobuf"


class Piece(NamedTuple):
    """A table, or a task without its id and its budget, as bytes.

    Attributes:
        head: In the encoding's own form; of a task what stands before its budget.
        tail: What stands behind it.
        streams: Arrow streams that follow, one for each table of the head that is one.
    """

    head: bytes
    tail: bytes = b""
    streams: tuple[bytes, ...] = ()

    @property
    def size_bytes(self) -> int:
        """How many bytes it adds to an envelope."""
        return len(self.head) + len(self.tail) + sum(map(len, self.streams))


class Due(NamedTuple):
    """A task in an envelope.

    Attributes:
        id: By which its result is told; unique in the envelope.
        piece: All else that is said of it.
        budget_us: How many microseconds are left for it; 0 is no limit.
    """

    id: str
    piece: Piece
    budget_us: int = 0


class Reduction(NamedTuple):
    """How the results of an envelope are joined.

    Attributes:
        by: `concat`, `sum`, `mean`, `min`, `max`, `count` or `variance`.
        columns: Which columns; all when empty.
    """

    by: str
    columns: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Envelope:
    """What is sent at once.

    Attributes:
        tasks: In order.
        shared: Tables that tasks refer to, by name.
        merge: How the results are joined, if they are.
        timeout_us: How many microseconds are left for each task that has no fewer; 0 is no limit.
    """

    tasks: Sequence[Due]
    shared: Sequence[tuple[str, Piece]] = ()
    merge: Reduction | None = None
    timeout_us: int = 0


class Body(NamedTuple):
    """A request as it is sent."""

    content_type: str
    content: bytes


class Encoding(Protocol):
    """Envelopes and answers as bytes."""

    def table(self, table: Table) -> Piece:
        """Gives a table.

        Raises:
            DtypeError: A value is one that this encoding cannot say.
        """

    def task(self, task: Task, table: Piece | str, key: str) -> Piece:
        """Gives a task without its id and its budget.

        Args:
            task: What is said of it.
            table: Its own, or the name of a shared one.
            key: Of idempotency.

        Raises:
            InvalidRequestError: A text of it is none.
        """

    def body(self, envelope: Envelope) -> Body:
        """Gives an envelope."""
