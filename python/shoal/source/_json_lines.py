"""JSON lines: one object per line (RFC 8259), of which the named members are columns.

Numbers, texts, booleans and lists of them are read; a member that is not there is missing. Types
are those of the first block of the first file, unless told. Members of no interest are passed over.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.json as arrow_json

from shoal.errors import SourceError
from shoal.source import _text

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from shoal.source._listing import Stored
    from shoal.source._pieces import Piece, Placed, Refuse

LINES = _text.Lines(quote=None)


class JsonLines:
    """Reads JSON lines."""

    def __init__(self, types: Mapping[str, pa.DataType]) -> None:
        """Takes the types of the columns for which they are known."""
        self._types = dict(types)

    def schema(self, file: Stored) -> pa.Schema:
        """The columns of a file, by its first block."""
        with _text.opened(file.path) as content:
            block = next(_text.blocks(content, LINES, _text.BLOCK_BYTES, file.path), b"")
        if not block.strip():
            return pa.schema({})
        try:
            found = decode(block, pa.schema({}), others="infer").schema
        except pa.ArrowException as error:
            raise SourceError(f"{file.path} cannot be read as JSON lines: {error}") from error
        return pa.schema(
            {name: self._types.get(name, found.field(name).type) for name in found.names}
        )

    def pieces(self, file: Stored, start: int) -> Iterator[Piece]:
        """The pieces of a file."""
        return _text.pieces(file, LINES, start)

    def share(self, file: Stored, position: int) -> float:
        """How much of a file lies before a position, from 0 to 1."""
        return position / max(file.size_bytes, 1)

    def read(self, piece: Piece, columns: pa.Schema, refuse: Refuse) -> Iterator[Placed]:
        """The records of a piece."""
        return _text.read(
            piece, LINES, lambda block: decode(block, columns, others="ignore"), refuse
        )


def decode(block: bytes, columns: pa.Schema, *, others: str) -> pa.RecordBatch:
    """Whole lines as records of these columns.

    Args:
        block: The lines; empty ones are passed over.
        columns: The columns whose types are known.
        others: What becomes of other members: `ignore` or `infer`.

    Raises:
        pa.ArrowException: a line is not an object, or a value does not fit its column.
    """
    if not block.strip():
        return pa.RecordBatch.from_pylist([], columns)
    table = arrow_json.read_json(
        pa.BufferReader(block),
        read_options=arrow_json.ReadOptions(use_threads=False, block_size=len(block) + 1),
        parse_options=arrow_json.ParseOptions(
            explicit_schema=columns, unexpected_field_behavior=others
        ),
    ).combine_chunks()
    batches = table.to_batches()
    return batches[0] if batches else pa.RecordBatch.from_pylist([], table.schema)
