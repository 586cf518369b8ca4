"""Records on a terminal, or as JSON lines for the next program, printed as epochs commit.

- It remembers nothing: an epoch that is written again after a crash is printed again.
- A table shows the first records of an epoch and says how many there are more; JSON lines are all.
"""

from __future__ import annotations

import sys
from itertools import islice
from typing import IO, TYPE_CHECKING, Literal, get_args

import msgspec
import pyarrow as pa
from rich.console import Console
from rich.table import Table

from shoal.errors import InvalidRequestError, SinkError
from shoal.source._contract import Guarantee
from shoal.source._json_lines_sink import ENCODED_ROWS, records
from shoal.source._spooled._spool import Spool

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from shoal.source._contract import Offset, SinkState, Token

Form = Literal["table", "json"]

# So many records of an epoch are shown as a table.
SHOWN_ROWS = 20
# So much of a value is shown in a table.
SHOWN_CHARACTERS = 200


class ConsoleSink:
    """Prints each epoch."""

    guarantee = Guarantee.AT_LEAST_ONCE
    least_commit_seconds = 0.0

    def __init__(self, stream: IO[str] | None = None, *, form: Form = "table") -> None:
        """Takes where to print.

        Args:
            stream: Text goes there; None for the standard output.
            form: `table` for people, `json` for one object per line.

        Raises:
            InvalidRequestError: there is no such form.
        """
        if form not in get_args(Form):
            raise InvalidRequestError(f"form is {form!r}, expected 'table' or 'json'")
        self._stream = stream
        self._form = form
        self._spool = Spool()
        self._schema = pa.schema({})

    def open(self, _pipeline_id: str, schema: pa.Schema) -> SinkState | None:
        """Takes the columns; what was printed before is not known."""
        self._schema = schema
        return None

    def write(self, _epoch: int, batches: Iterator[pa.RecordBatch]) -> Token:
        """Holds records; see `Sink.write`."""
        return self._spool.write(self._schema, batches)

    def commit(self, epoch: int, _start: Offset, _end: Offset, tokens: Sequence[Token]) -> None:
        """Prints an epoch.

        Raises:
            SinkError: the stream is closed, or the records are not held here.
        """
        stream = self._stream or sys.stdout
        try:
            if self._form == "json":
                self._print_lines(stream, tokens)
            else:
                self._print_table(stream, epoch, tokens)
            stream.flush()
        except (OSError, ValueError) as error:
            raise SinkError(f"epoch {epoch} cannot be printed: {error}") from error
        self._spool.drop(tokens)

    def abort(self, _epoch: int, tokens: Sequence[Token]) -> None:
        """Throws away what was not printed."""
        self._spool.drop(tokens)

    def close(self) -> None:
        """Throws away what was not printed; the stream stays open."""
        self._spool.clear()

    def _print_lines(self, stream: IO[str], tokens: Sequence[Token]) -> None:
        for rows in self._records(tokens):
            stream.write(msgspec.json.Encoder().encode_lines(rows).decode())

    def _print_table(self, stream: IO[str], epoch: int, tokens: Sequence[Token]) -> None:
        rows = sum(int(token["rows"]) for token in tokens)
        table = Table(*self._schema.names, title=f"epoch {epoch}: {rows} records")
        each = (record for some in self._records(tokens) for record in some)
        for record in islice(each, SHOWN_ROWS):
            table.add_row(*(_shown(value) for value in record.values()))
        if rows > SHOWN_ROWS:
            table.caption = f"and {rows - SHOWN_ROWS} more"
        # Values are shown as they are: what looks like markup in them is none.
        Console(file=stream, markup=False, highlight=False).print(table)

    def _records(self, tokens: Sequence[Token]) -> Iterator[list[dict[str, object]]]:
        for batch in self._spool.read(tokens):
            for first in range(0, batch.num_rows, ENCODED_ROWS):
                yield records(batch.slice(first, ENCODED_ROWS))


def _shown(value: object) -> str:
    """A value in a table: on one line, without what would steer the terminal."""
    text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    short = text[:SHOWN_CHARACTERS]
    return "".join(each if each.isprintable() else "�" for each in short)
