"""Frames between the server and a worker, as `protocol/worker.md` specifies them.

A frame is a header of 16 bytes and a body. The body of a micro-batch or an answer holds columns:
their heads, then their data as they lie in memory, each section on 8 bytes, so that numbers are
looked at in place and never copied here. Whatever does not fit the form is refused before it is
used.
"""

from __future__ import annotations

import math
import struct
from enum import IntEnum
from itertools import pairwise
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

import msgspec

from shoal.errors import BinaryError
from shoal.values import Dtype

if TYPE_CHECKING:
    import socket
    from collections.abc import Sequence

    from shoal.values import Column, WireColumn

    Part: TypeAlias = bytes | bytearray | memoryview

MAGIC: Final = b"SHW\x01"
"""The last byte is the version of the protocol."""
BODY_LIMIT_BYTES: Final = 2**30
FIRST_READ_BYTES: Final = 64 * 1024

_HEADER: Final = struct.Struct("<4sB3xQ")
_TABLE: Final = struct.Struct("<QQ")
_COLUMN: Final = struct.Struct("<BBHIQ")
_NUMBERS: Final = {dtype.value: number for number, dtype in enumerate(Dtype, start=1)}
_WIDTHS: Final = dict(zip(Dtype, (1, 1, 2, 4, 8, 1, 2, 4, 8, 2, 4, 8), strict=False))  # no BYTES
_NAMES: Final = {number: name for name, number in _NUMBERS.items()}
_HAS_MISSING: Final = 1
_RANK_LIMIT: Final = 32
_GAPS: Final = [bytes(count) for count in range(8)]
_PARTS_AT_ONCE: Final = 512
"""Below the 1,024 that the system takes in one call."""


class Kind(IntEnum):
    """What a frame carries, and who sends it."""

    SETUP = 1  # server, once: what to run, in JSON
    READY = 2  # worker, once: the model is open
    BATCH = 3  # server: the columns of a micro-batch
    ANSWER = 4  # worker: the columns of its answer
    FAILURE = 5  # worker: why there is none, in JSON


class Setup(msgspec.Struct, frozen=True):
    """What a worker is told to run.

    `description` is the text of the package's `shoal.json`; `directory` holds its files.
    """

    description: msgspec.Raw
    directory: str
    memory_limit_bytes: int | None
    server_process: int


class Failure(msgspec.Struct, frozen=True, omit_defaults=True):
    """Why there is no answer: the code of an error, its message, and the remedy."""

    code: str
    message: str
    hint: str | None = None


def header(kind: Kind, body_bytes: int) -> bytes:
    """The 16 bytes before a body."""
    return _HEADER.pack(MAGIC, kind, body_bytes)


def read_header(data: Part) -> tuple[Kind, int]:
    """The kind of a frame and the length of its body.

    Raises:
        BinaryError: it is no frame of this protocol.
    """
    magic, kind, body_bytes = _HEADER.unpack_from(data)
    if magic != MAGIC or bytes(data[5:8]) != bytes(3) or not 1 <= kind <= len(Kind):
        raise BinaryError(f"a frame begins with {bytes(data[:8])!r}, expected {MAGIC!r} and a kind")
    if body_bytes > BODY_LIMIT_BYTES:
        raise BinaryError(f"a frame announces {body_bytes} bytes, at most {BODY_LIMIT_BYTES}")
    return Kind(kind), body_bytes


def send(stream: socket.socket, kind: Kind, parts: Sequence[Part]) -> None:
    """Writes a frame, as a rule with one call."""
    views = [memoryview(part).cast("B") for part in parts]
    waiting = [memoryview(header(kind, sum(view.nbytes for view in views))), *views]
    while waiting:
        sent = stream.sendmsg(waiting[:_PARTS_AT_ONCE])
        while waiting and sent >= waiting[0].nbytes:
            sent -= waiting.pop(0).nbytes
        if waiting:
            waiting[0] = waiting[0][sent:]


def receive(stream: socket.socket) -> tuple[Kind, memoryview] | None:
    """Reads a frame, as a rule with one call; None where the other side has ended.

    Nothing else refers to the body, so that views of it may be kept.

    Raises:
        BinaryError: it is no frame of this protocol.
    """
    data = stream.recv(FIRST_READ_BYTES)
    while data and len(data) < _HEADER.size:
        more = stream.recv(FIRST_READ_BYTES)
        data = data + more if more else b""
    if not data:
        return None
    kind, body_bytes = read_header(data)
    end = _HEADER.size + body_bytes
    if len(data) > end:
        raise BinaryError("bytes follow a frame that has not been answered")
    whole = data if len(data) == end else _filled(stream, data, end)
    return None if whole is None else (kind, memoryview(whole).toreadonly()[_HEADER.size :])


def _filled(stream: socket.socket, begin: bytes, end: int) -> bytearray | None:
    whole = bytearray(end)
    whole[: len(begin)] = begin
    rest = memoryview(whole)[len(begin) :]
    while rest:
        count = stream.recv_into(rest)
        if not count:
            return None
        rest = rest[count:]
    return whole


def pack_columns(columns: Sequence[WireColumn]) -> list[Part]:
    """The body of a micro-batch or an answer, in parts; numbers are not copied."""
    rows = columns[0][2][0] if columns else 0
    heads = [_TABLE.pack(rows, len(columns))]
    sections: list[Part] = []
    for _, dtype, shape, data, missing in columns:
        packed = memoryview(_offsets_and_texts(data) if isinstance(data, list) else data).cast("B")
        flags = 0 if missing is None else _HAS_MISSING
        heads.append(_COLUMN.pack(_NUMBERS[dtype], flags, len(shape) - 1, 0, packed.nbytes))
        heads.append(struct.pack(f"<{len(shape) - 1}Q", *shape[1:]))
        if missing is not None:
            sections += _padded(memoryview(missing).cast("B"))
        sections += _padded(packed)
    return [b"".join(heads), *sections]


def _padded(section: memoryview) -> list[Part]:
    gap = -section.nbytes % 8
    return [section, _GAPS[gap]] if gap else [section]


def _offsets_and_texts(texts: list[bytes]) -> bytes:
    """Where each text ends, after a 0, as numbers of 8 bytes; then the texts."""
    ends, end = [0], 0
    for text in texts:
        end += len(text)
        ends.append(end)
    return b"".join((struct.pack(f"<{len(ends)}Q", *ends), *texts))


def unpack_columns(body: memoryview, declared: Sequence[Column]) -> list[WireColumn]:
    """The columns in a body, in the order of the signature; their data are views of it.

    Raises:
        BinaryError: the bytes are no columns, or not the declared ones.
    """
    try:
        return _unpacked(body, declared)
    except struct.error as error:
        raise BinaryError(f"a table ends too early: {error}") from error


def _unpacked(body: memoryview, declared: Sequence[Column]) -> list[WireColumn]:
    rows, count = _TABLE.unpack_from(body)
    if count != len(declared) or rows > BODY_LIMIT_BYTES:
        raise BinaryError(f"a table has {count} columns of {rows} rows, expected {len(declared)}")
    heads, place = [], _TABLE.size
    for column in declared:
        heads.append(_read_head(body, place, column))
        place += _COLUMN.size + 8 * len(heads[-1].dims)
    sections = _Sections(body, place)
    columns = [_read_column(sections, head, rows) for head in heads]
    sections.end()
    return columns


class _Head(NamedTuple):
    column: Column
    dims: tuple[int, ...]
    data_bytes: int
    has_missing: bool


def _read_head(body: memoryview, place: int, column: Column) -> _Head:
    dtype, flags, rank, zero, data_bytes = _COLUMN.unpack_from(body, place)
    is_known = _NAMES.get(dtype) == column.dtype.value and flags <= _HAS_MISSING and not zero
    if not is_known or rank > _RANK_LIMIT:
        raise BinaryError(f"column {column.name!r} has a head that is not one of {column.dtype}")
    dims = struct.unpack_from(f"<{rank}Q", body, place + _COLUMN.size)
    return _Head(column, dims, data_bytes, bool(flags))


def _read_column(sections: _Sections, head: _Head, rows: int) -> WireColumn:
    name, dtype = head.column.name, head.column.dtype
    missing = sections.take(rows) if head.has_missing else None
    if missing is not None and not _are_flags(missing):
        raise BinaryError(f"column {name!r} has a flag that is neither 0 nor 1")
    data = sections.take(head.data_bytes)
    count = rows * math.prod(head.dims)
    if dtype is Dtype.BYTES:
        return name, dtype.value, [rows, *head.dims], _texts(data, count, name), missing
    if data.nbytes != count * _WIDTHS[dtype]:
        raise BinaryError(f"column {name!r} has {data.nbytes} bytes for {count} values")
    if dtype is Dtype.BOOL and not _are_flags(data):
        raise BinaryError(f"column {name!r} has a boolean that is neither 0 nor 1")
    return name, dtype.value, [rows, *head.dims], data, missing


def _are_flags(data: memoryview) -> bool:
    return not bytes(data).translate(None, b"\0\1")


def _texts(data: memoryview, count: int, name: str) -> list[bytes]:
    """The texts behind their offsets."""
    if (count + 1) * 8 > data.nbytes:
        raise BinaryError(f"column {name!r} has {data.nbytes} bytes for {count} texts")
    ends = struct.unpack_from(f"<{count + 1}Q", data)
    texts = bytes(data[(count + 1) * 8 :])
    is_rising = all(start <= end for start, end in pairwise(ends))
    if ends[0] != 0 or not is_rising or ends[-1] != len(texts):
        raise BinaryError(f"column {name!r} has offsets that do not fit its texts")
    return [texts[start:end] for start, end in pairwise(ends)]


class _Sections:
    """The data of the columns, one after the other."""

    def __init__(self, body: memoryview, place: int) -> None:
        self._body = body
        self._place = place

    def take(self, count: int) -> memoryview:
        """The next bytes; the gap behind them is passed over, and must be zero."""
        end = self._place + count
        place = end + -end % 8
        if place > self._body.nbytes or any(self._body[end:place]):
            raise BinaryError("a table ends too early, or a gap in it is not zero")
        section = self._body[self._place : end]
        self._place = place
        return section

    def end(self) -> None:
        """Refuses bytes that belong to no column."""
        if self._place != self._body.nbytes:
            raise BinaryError(f"{self._body.nbytes - self._place} bytes are left over in a table")
