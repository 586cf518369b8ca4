"""What the readers of all formats have in common: pieces, places and refused records."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple, NoReturn, Protocol, TypeAlias

import msgspec

from shoal.errors import error_for

if TYPE_CHECKING:
    import pyarrow as pa

    from shoal.source._listing import Stored

# So many bytes are decoded at a time, or so many rows: each batch pays for the steps around the
# model's calls anew, and twice as many bytes were no quicker.
BATCH_BYTES = 3 << 20
BATCH_ROWS = (1 << 10, 1 << 16)


class Piece(msgspec.Struct, frozen=True):
    """The smallest part of a file that is read alone.

    Attributes:
        file: The path.
        start: Where it starts: a row group, or a byte.
        end: Where it ends, not included.
        size_bytes: About how large its records are in memory.
        rows: How many there are, where that is known.
        first_row: The row of the file at which it starts, where that is known.
    """

    file: str
    start: int
    end: int
    size_bytes: int
    rows: int = 0
    first_row: int = 0


class Place(NamedTuple):
    """Where records come from, for people: `orders.parquet, row 17`.

    Attributes:
        file: The path.
        unit: What is counted from the start of the file to the batch: `row`, `byte` or `offset`.
        first: The row, byte or offset at which the batch starts, from 0.
        each: The place of every record of the batch, where they do not follow one on the other.
    """

    file: str
    unit: str
    first: int
    each: Sequence[int] | None = None

    def of(self, row: int) -> str:
        """The place of one record of the batch."""
        if self.unit == "byte":
            return f"record {row} from byte {self.first}"
        return f"{self.unit} {self.first + row if self.each is None else self.each[row]}"


class Refused(NamedTuple):
    """A record that cannot be used.

    Attributes:
        file: The path of its file.
        place: Where in the file.
        code: The code of the error.
        message: What is wrong with it.
        record: The record itself, as text.
    """

    file: str
    place: str
    code: str
    message: str
    record: str


Refuse: TypeAlias = Callable[[Refused], None]
Placed: TypeAlias = "tuple[Place, pa.RecordBatch]"


def refuse_all(refused: Refused) -> NoReturn:
    """Goes on past no record.

    Raises:
        ShoalError: always; that of the record.
    """
    message = f"{refused.file}, {refused.place}: {refused.message}"
    raise error_for(refused.code, message)


class Format(Protocol):
    """A kind of file."""

    def schema(self, file: Stored) -> pa.Schema:
        """The columns of a file."""

    def pieces(self, file: Stored, start: int) -> Iterator[Piece]:
        """The pieces of a file from a position on, in order."""

    def share(self, file: Stored, position: int) -> float:
        """How much of a file lies before a position, from 0 to 1."""

    def read(self, piece: Piece, columns: pa.Schema, refuse: Refuse) -> Iterator[Placed]:
        """The records of a piece: these columns, in this order and of these types."""

    def alone(self, refused: Refused) -> pa.Schema | None:
        """The columns of a refused record, typed by its values alone; None if it is no record."""


def rows_of_a_batch(row_bytes: float) -> int:
    """How many rows are decoded at a time."""
    least, most = BATCH_ROWS
    return min(max(int(BATCH_BYTES / max(row_bytes, 1.0)), least), most)
