"""Text files of one record per line: a piece is a range of bytes that ends where a record ends.

- A line break inside quotes does not end a record (CSV; RFC 4180, section 2, rule 6). Whether one
  is inside is told by counting the quotes before it: inside a quoted field, one is written twice.
- A compressed file is one piece: it cannot be entered in the middle.
- A piece is decoded block by block. A block that cannot be decoded is halved until the records
  that are to blame are alone; those are refused, and the others decoded.
- Columns of moments are read by the rules of `shoal.values`, not by those of Arrow, which takes a
  zone everywhere or nowhere; they come out as `MOMENT`.
- A record has at most `MAX_RECORD_BYTES`.
"""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, NamedTuple, cast

import pyarrow as pa
import pyarrow.compute as pc

from shoal.errors import DtypeError, SourceError
from shoal.source import _places
from shoal.source._listing import COMPRESSED
from shoal.source._pieces import Piece, Place, Placed, Refuse, Refused
from shoal.values import read_moments

if TYPE_CHECKING:
    from collections.abc import Collection

    from shoal.source._listing import Stored

PIECE_BYTES = 32 << 20
BLOCK_BYTES = 4 << 20
MAX_RECORD_BYTES = 64 << 20
# So much of a refused record is kept.
SHOWN_BYTES = 4096
SHOWN_CHARACTERS = 40

BREAK = b"\n"
# What stands in a kept record for bytes that are not UTF-8.
REPLACED = "\N{REPLACEMENT CHARACTER}"
MOMENT = pa.timestamp("s", "UTC")

Decode = Callable[[bytes], pa.RecordBatch]


class Lines(NamedTuple):
    """How the records of a file are told apart.

    Attributes:
        quote: What a field with line breaks stands in; none where there are no such fields.
    """

    quote: bytes | None

    def last_end(self, data: bytes) -> int:
        """Where the last whole record of the data ends; 0 if none does."""
        end = data.rfind(BREAK) + 1
        if self.quote is None or not end:
            return end
        quotes = data.count(self.quote, 0, end)
        while end and quotes % 2:
            before = data.rfind(BREAK, 0, end - 1) + 1
            quotes -= data.count(self.quote, before, end)
            end = before
        return end

    def first_end(self, data: bytes, start: int) -> int:
        """Where the record ends that begins at `start`; the end of the data if it is the last."""
        end, quotes = start, 0
        while end < len(data):
            after = data.find(BREAK, end) + 1
            if not after:
                return len(data)
            quotes += data.count(self.quote, end, after) if self.quote else 0
            end = after
            if quotes % 2 == 0:
                return end
        return end


def blocks(file: IO[bytes], lines: Lines, size_bytes: int, path: str) -> Iterator[bytes]:
    """What is left of a file, cut where records end, in blocks of about a size.

    Raises:
        SourceError: a record is too long.
    """
    rest = b""
    while more := file.read(size_bytes):
        data = rest + bytes(more)
        end = lines.last_end(data)
        if not end and len(data) > MAX_RECORD_BYTES:
            message = f"a record of {path} is longer than {MAX_RECORD_BYTES} bytes"
            raise SourceError(message, hint="Is a quote left open?")
        if end:
            yield data[:end]
        rest = data[end:]
    if rest:
        yield rest


def is_compressed(path: str) -> bool:
    """Whether the text of a file is packed."""
    return path.lower().endswith(COMPRESSED)


@contextmanager
def opened(path: str) -> Iterator[IO[bytes]]:
    """A text file to be read, unpacked.

    Raises:
        SourceError: it cannot be read.
    """
    try:
        with _places.opened(path) as file:
            yield cast("IO[bytes]", gzip.GzipFile(fileobj=file)) if is_compressed(path) else file
    except (OSError, EOFError) as error:
        raise SourceError(f"{path} cannot be read: {error}") from error


def pieces(file: Stored, lines: Lines, start: int) -> Iterator[Piece]:
    """The pieces of a file from a byte on."""
    if is_compressed(file.path):
        if start < file.size_bytes:
            yield Piece(file.path, 0, file.size_bytes, file.size_bytes)
        return
    with opened(file.path) as content:
        content.seek(start)
        for block in blocks(content, lines, PIECE_BYTES, file.path):
            yield Piece(file.path, start, start + len(block), len(block))
            start += len(block)


def read(piece: Piece, lines: Lines, decode: Decode, refuse: Refuse) -> Iterator[Placed]:
    """The records of a piece, block by block."""
    with opened(piece.file) as content:
        content.seek(piece.start)
        part = content if is_compressed(piece.file) else _Part(content, piece.end - piece.start)
        start = piece.start
        for block in blocks(cast("IO[bytes]", part), lines, BLOCK_BYTES, piece.file):
            for offset, batch in decoded(block, lines, decode, _refusing(piece, start, refuse)):
                if batch.num_rows:
                    yield Place(piece.file, "byte", start + offset), batch
            start += len(block)


class _Part:
    """So many bytes of a file from where it stands."""

    def __init__(self, file: IO[bytes], size_bytes: int) -> None:
        self._file = file
        self._left = size_bytes

    def read(self, size_bytes: int) -> bytes:
        data = self._file.read(min(size_bytes, self._left))
        self._left -= len(data)
        return data


def is_whole(refused: Refused) -> bool:
    """Whether all of a refused record was kept, as it was."""
    record = refused.record
    return len(record.encode()) < SHOWN_BYTES and REPLACED not in record


def decoded(
    block: bytes, lines: Lines, decode: Decode, refuse: Callable[[int, bytes, str], None]
) -> Iterator[tuple[int, pa.RecordBatch]]:
    """What can be decoded of a block, with where it starts; the records that cannot are refused."""
    waiting = [(0, len(block))]
    while waiting:
        start, end = waiting.pop()
        try:
            yield start, decode(block[start:end])
            continue
        except pa.ArrowException as error:
            middle = _middle(block, lines, start, end)
            if middle in {start, end}:
                refuse(start, block[start:end], str(error))
                continue
        waiting += [(middle, end), (start, middle)]


def with_moments(batch: pa.RecordBatch, names: Collection[str], *, digits: bool) -> pa.RecordBatch:
    """The records with these columns, whole seconds or text, as moments.

    Args:
        batch: The records.
        names: The columns of moments; those that are not there are passed over.
        digits: Whether text may be whole seconds.

    Raises:
        pa.ArrowInvalid: a text is no moment.
    """
    for at, name in enumerate(batch.schema.names):
        if name in names:
            moments = _moments(batch.column(at), name, digits=digits)
            batch = batch.set_column(at, name, moments)
    return batch


def _moments(values: pa.Array, name: str, *, digits: bool) -> pa.Array:
    if not pa.types.is_string(values.type):
        return values.cast(MOMENT)
    seconds = read_moments(values, digits=digits)
    if seconds.null_count > values.null_count:
        wrong = values.filter(pc.and_(values.is_valid(), seconds.is_null()))[0].as_py()
        message = f"column {name!r} is {wrong[:SHOWN_CHARACTERS]!r}, expected a moment such as"
        raise pa.ArrowInvalid(f"{message} 2021-05-31T10:20:30Z, or whole seconds since 1970")
    return seconds.cast(MOMENT)


def _middle(block: bytes, lines: Lines, start: int, end: int) -> int:
    """Where a record ends near the middle; the end if there is only one record."""
    half = start + (end - start) // 2
    before = start + lines.last_end(block[start:half])
    return before if before > start else min(lines.first_end(block, start), end)


def _refusing(piece: Piece, block_start: int, refuse: Refuse) -> Callable[[int, bytes, str], None]:
    def refused(offset: int, record: bytes, message: str) -> None:
        text = record[:SHOWN_BYTES].decode("utf-8", "replace").rstrip("\r\n")
        place = f"byte {block_start + offset}"
        refuse(Refused(piece.file, place, DtypeError.code, message, text))

    return refused
