"""JSON lines: one object per line (RFC 8259), of which the named members are columns.

Numbers, texts, booleans and lists of them are read; a member that is not there is missing. Types
are those of the first block of the first file, unless told. Members of no interest are passed over.
"""

from __future__ import annotations

import codecs
import re
from typing import TYPE_CHECKING, TypeAlias

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json as arrow_json

from shoal.errors import SourceError
from shoal.source import _text
from shoal.values import no_records

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping

    from shoal.source._listing import Stored
    from shoal.source._pieces import Piece, Placed, Refuse, Refused

LINES = _text.Lines(quote=None)
# The first character of each line that is not empty.
FIRST = re.compile(rb"^[ \t\r]*([^ \t\r\n])", re.MULTILINE)
MEMBERS = msgspec.json.Decoder(dict[str, msgspec.Raw])
# What a member is read as, by its first character.
KINDS = {b'"': pa.string(), **dict.fromkeys((b"%c" % each for each in b"-0123456789"), pa.int64())}
# Columns of moments and what they are read as.
Kinds: TypeAlias = tuple[tuple[str, pa.DataType], ...]


class JsonLines:
    """Reads JSON lines."""

    def __init__(self, types: Mapping[str, pa.DataType], *, moments: Collection[str] = ()) -> None:
        """Takes the types of the columns for which they are known, and those of moments."""
        self._types = {**types, **dict.fromkeys(moments, _text.MOMENT)}
        self._moments = moments

    def schema(self, file: Stored) -> pa.Schema:
        """The columns of a file, by its first block."""
        with _text.opened(file.path) as content:
            block = next(_text.blocks(content, LINES, _text.BLOCK_BYTES, file.path), b"")
        if not block.strip():
            return pa.schema({})
        found = _inferred(block, file.path, self._typed)
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
        return _text.read(piece, LINES, lambda block: self._records(block, columns), refuse)

    def alone(self, refused: Refused) -> pa.Schema | None:
        """The columns of a refused record, typed by its values alone; None if it is no record."""
        if not _text.is_whole(refused):
            return None
        try:
            return decode(refused.record.encode(), pa.schema({}), others="infer").schema
        except pa.ArrowException:
            return None

    def _records(self, block: bytes, columns: pa.Schema) -> pa.RecordBatch:
        """Whole lines as records of these columns; moments are whole seconds or text."""
        moments = [name for name in columns.names if name in self._moments]

        def read(lines: bytes, kinds: Kinds) -> pa.RecordBatch:
            as_read = {**dict.fromkeys(moments, pa.string()), **dict(kinds)}
            fields = [pa.field(each.name, as_read.get(each.name, each.type)) for each in columns]
            batch = decode(lines, pa.schema(fields), others="ignore")
            return _text.with_moments(batch, moments, digits=False)

        return _by_kind(block, moments, read)

    def _typed(self, block: bytes) -> pa.RecordBatch:
        """Whole lines as records of the types that their values say; moments are left empty."""

        def read(lines: bytes, kinds: Kinds) -> pa.RecordBatch:
            batch = decode(lines, pa.schema(kinds), others="infer")
            for name in set(batch.schema.names) & set(self._moments):
                empty = pa.nulls(batch.num_rows, _text.MOMENT)
                batch = batch.set_column(batch.schema.get_field_index(name), name, empty)
            return batch

        return _by_kind(block, self._moments, read)


def _by_kind(
    block: bytes, moments: Collection[str], read: Callable[[bytes, Kinds], pa.RecordBatch]
) -> pa.RecordBatch:
    """Whole lines as records, where each line has moments as whole seconds or as text.

    Arrow reads a member as one or the other. All lines are read as the first one says; where they
    differ, those of a kind are read together, and put back in their order.

    Raises:
        pa.ArrowException: a line cannot be read.
    """
    start = block.lstrip()
    first = _kinds(start[: LINES.first_end(start, 0)], moments)
    try:
        return read(block, first)
    except pa.ArrowException:
        lines = [line for line in block.split(_text.BREAK) if line.strip()] if moments else []
        places: dict[Kinds, list[int]] = {}
        for at, line in enumerate(lines):
            places.setdefault(_kinds(line, moments), []).append(at)
        if len(places) <= 1:
            raise
    parts = [
        read(_text.BREAK.join(lines[at] for at in each), kinds) for kinds, each in places.items()
    ]
    tables = [pa.Table.from_batches([part]) for part in parts]
    table = pa.concat_tables(tables, promote_options="permissive")
    order = pc.sort_indices(pa.array([at for each in places.values() for at in each]))
    batch: pa.RecordBatch = table.combine_chunks().take(order).combine_chunks().to_batches()[0]
    return batch


def _kinds(line: bytes, moments: Collection[str]) -> Kinds:
    """What a line holds its moments as: text or whole seconds; nothing of those that it lacks.

    A line that is no object says nothing. Reading it tells what is wrong with it.
    """
    try:
        members = MEMBERS.decode(line.removeprefix(codecs.BOM_UTF8)) if moments else {}
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ()
    firsts = ((name, bytes(members[name])[:1]) for name in moments if name in members)
    return tuple((name, KINDS[first]) for name, first in firsts if first in KINDS)


def _inferred(block: bytes, path: str, typed: _text.Decode) -> pa.Schema:
    """The columns of a block; lines that are no objects have none.

    Where values of a column do not go together, the first ones say its type: a line with another
    one is refused when it is read.

    Raises:
        SourceError: there is no line that is an object.
    """
    wrong: list[str] = []
    parts = _text.decoded(
        block,
        LINES,
        typed,
        lambda _at, _line, message: wrong.append(message),
    )
    fields: dict[str, pa.Field] = {}
    for field in (field for _, part in parts if part.num_rows for field in part.schema):
        fields[field.name] = _together(fields.get(field.name, field), field)
    if not fields:
        said = wrong[0] if wrong else "no line"
        raise SourceError(f"{path} cannot be read as JSON lines: {said}")
    return pa.schema(list(fields.values()))


def _together(known: pa.Field, other: pa.Field) -> pa.Field:
    """A column whose type holds the values of both; the first one where there is no such type."""
    both = [pa.schema([known]), pa.schema([other])]
    try:
        return pa.unify_schemas(both, promote_options="permissive").field(0)
    except pa.ArrowException:
        return known


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
        return no_records(columns)
    lines = _objects(block)
    table = arrow_json.read_json(
        pa.BufferReader(block),
        read_options=arrow_json.ReadOptions(use_threads=False, block_size=len(block) + 1),
        parse_options=arrow_json.ParseOptions(
            explicit_schema=columns, unexpected_field_behavior=others
        ),
    ).combine_chunks()
    if table.num_rows != lines:
        raise pa.ArrowInvalid(
            f"{lines} lines hold {table.num_rows} values, expected an object each"
        )
    # What Arrow makes of text that is not UTF-8, or of a null among structs, is not an array.
    table.validate(full=True)
    batches = table.to_batches()
    return batches[0] if batches else no_records(table.schema)


def _objects(block: bytes) -> int:
    """How many lines there are; Arrow itself takes a null for a record, or reads beyond memory.

    Raises:
        pa.ArrowInvalid: a line does not begin as an object.
    """
    firsts = FIRST.findall(block.removeprefix(codecs.BOM_UTF8))
    if wrong := set(firsts) - {b"{"}:
        shown = ", ".join(sorted(each.decode("latin-1") for each in wrong))
        raise pa.ArrowInvalid(f"a line begins with {shown}, expected an object")
    return len(firsts)
