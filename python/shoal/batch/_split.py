"""Cutting data into micro-batches: nothing dropped, nothing repeated, order kept, lazily.

- `rows(n)`: n records each, the last may have fewer.
- `bytes(n)`: as many records as fit into n bytes; a record that is larger goes alone.
- `time(column, window)`: a run of neighbouring records whose time lies in one window. Windows are
  aligned to 1970-01-01 00:00 (UTC where times have a zone, else as written). Records are never
  reordered: a late record closes the micro-batch and opens one for its own window, so a window
  may arrive in several micro-batches. Nulls share a window of their own.
- `key(column)`: records of one key, in order; keys in the order of first meeting; a null is a key.

A micro-batch has the form of the data: record batch, array or list. Empty data gives none. All but
`key` hold no more than one micro-batch; `key` over an iterator, and a `time` window, hold at most
`limit_bytes`, then release what they hold: such a key or window arrives in several micro-batches.
"""

from __future__ import annotations

import datetime
import itertools
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Protocol

import numpy as np
import pyarrow as pa

from shoal.batch._groups import group_rows
from shoal.batch._records import Piece, is_in_memory, read_pieces
from shoal.errors import DtypeError, InvalidRequestError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

# Single records taken from an iterator at once, where the cut does not say how many it needs.
READ_AHEAD_RECORDS: Final = 256
# What `key` and `time` may hold: large enough for real windows, small beside a machine's memory.
HELD_BYTES: Final = 256 * 1024 * 1024

TICKS: Final = {"s": 1_000_000_000, "ms": 1_000_000, "us": 1_000, "ns": 1}  # of Arrow, in ns
NANOSECONDS: Final = {
    "us": 1_000,
    "ms": 1_000_000,
    "s": 1_000_000_000,
    "m": 60 * 1_000_000_000,
    "h": 3_600 * 1_000_000_000,
    "d": 86_400 * 1_000_000_000,
}


class Split(Protocol):
    """How data is cut into micro-batches: made by `rows`, `bytes`, `time` or `key`."""

    def read_ahead(self) -> int:
        """Says how many single records to take from an iterator at a time."""

    def cut(self, pieces: Iterator[Piece], *, is_streamed: bool) -> Iterator[Piece]:
        """Gives pieces of one micro-batch each. `is_streamed`: the data is not in memory yet."""


class Cutter(Protocol):
    """Remembers, from piece to piece, where the open micro-batch must close."""

    def closes(self, piece: Piece) -> Iterator[int]:
        """Gives the places before which to close: ascending, 0 (before the piece) to its length."""


def split(data: object, *, by: Split) -> Iterator[Any]:
    """Cuts data into micro-batches.

    Args:
        data: A table, record batch or frame, a list (of numbers, mappings, anything), an array
            (first dimension the record), or an iterator of these or of single records.
        by: `rows(n)`, `bytes(n)`, `time(column, window)` or `key(column)`.

    Returns:
        Micro-batches in order, each made only when asked for: record batches of tabular data,
        views of arrays, lists of anything else. Every record is in exactly one of them.

    Raises:
        InvalidRequestError: The data has no records, or `by` is no way to cut.
        MissingColumnError: The named column is not there (raised at its micro-batch).
        DtypeError: A time column holds no times, or pieces of an iterator differ in type.
    """
    if not hasattr(by, "cut"):
        raise InvalidRequestError(
            f"by={by!r} does not say how to cut",
            hint="give rows(1024), bytes(65536), time('event_time', '10s') or key('customer')",
        )
    pieces = read_pieces(data, read_ahead=by.read_ahead())
    cut = by.cut(pieces, is_streamed=not is_in_memory(data))
    return (piece.records for piece in cut)


def rows(limit_rows: int) -> Split:
    """Cuts every `limit_rows` records."""
    return _Rows(_at_least_one(limit_rows, "rows"))


def bytes(limit_bytes: int) -> Split:
    """Cuts so that no micro-batch exceeds `limit_bytes`, save a single larger record.

    A record has the bytes of its values; a string, binary or list value has 4 more for its length.
    """
    return _Bytes(_at_least_one(limit_bytes, "bytes"))


def time(column: str, window: str | datetime.timedelta, *, limit_bytes: int = HELD_BYTES) -> Split:
    """Cuts where the time in `column` enters another window, e.g. `time("event_time", "10s")`.

    Args:
        column: Timestamps or dates; in mappings, `datetime` objects.
        window: A number and `us`, `ms`, `s`, `m` (minutes), `h` or `d`; or a timedelta.
        limit_bytes: A window with more is cut into several micro-batches.
    """
    return _Time(column, nanoseconds(window), _at_least_one(limit_bytes, "limit_bytes"))


def key(column: str, *, limit_bytes: int = HELD_BYTES) -> Split:
    """Gathers the records of each value of `column`, e.g. `key("customer")`.

    Args:
        column: Numbers, strings, times or booleans.
        limit_bytes: Of an iterator at most so much is held. Then the keys held so far are
            released, and gathering starts anew. Data in memory gives one micro-batch per key.
    """
    return _Key(column, _at_least_one(limit_bytes, "limit_bytes"))


@dataclass(frozen=True)
class _Rows:
    limit_rows: int

    def read_ahead(self) -> int:
        return self.limit_rows

    def cut(self, pieces: Iterator[Piece], *, is_streamed: bool) -> Iterator[Piece]:
        del is_streamed
        return _cut(pieces, _RowsCutter(self.limit_rows))


@dataclass(frozen=True)
class _Bytes:
    limit_bytes: int

    def read_ahead(self) -> int:
        return READ_AHEAD_RECORDS

    def cut(self, pieces: Iterator[Piece], *, is_streamed: bool) -> Iterator[Piece]:
        del is_streamed
        return _cut(pieces, _BytesCutter(self.limit_bytes))


@dataclass(frozen=True)
class _Time:
    column: str
    window_ns: int
    limit_bytes: int

    def read_ahead(self) -> int:
        return READ_AHEAD_RECORDS

    def cut(self, pieces: Iterator[Piece], *, is_streamed: bool) -> Iterator[Piece]:
        del is_streamed
        return _cut(pieces, _TimeCutter(self))


@dataclass(frozen=True)
class _Key:
    column: str
    limit_bytes: int

    def read_ahead(self) -> int:
        return READ_AHEAD_RECORDS

    def cut(self, pieces: Iterator[Piece], *, is_streamed: bool) -> Iterator[Piece]:
        if not is_streamed:
            return self._release(list(pieces))
        held = _cut(pieces, _BytesCutter(self.limit_bytes))
        return (piece for window in held for piece in self._release([window]))

    def _release(self, held: list[Piece]) -> Iterator[Piece]:
        """Gives what is held, key by key."""
        if not held:
            return
        joined = _join(held)
        group, firsts = group_rows([joined.column(self.column)], len(joined))
        codes = group.to_numpy(zero_copy_only=False)
        order = np.argsort(codes, kind="stable").astype(np.int64)
        ends = np.cumsum(np.bincount(codes, minlength=len(firsts)))
        for start, end in zip(np.concatenate([[0], ends[:-1]]), ends, strict=True):
            yield joined.take(order[start:end])


@dataclass
class _RowsCutter:
    limit_rows: int
    held_rows: int = 0

    def closes(self, piece: Piece) -> Iterator[int]:
        total = self.held_rows + len(piece)
        yield from range(self.limit_rows - self.held_rows, len(piece) + 1, self.limit_rows)
        self.held_rows = total % self.limit_rows


@dataclass
class _BytesCutter:
    limit_bytes: int
    held_bytes: int = 0

    def closes(self, piece: Piece) -> Iterator[int]:
        ends = np.cumsum(piece.record_bytes())
        start = -self.held_bytes  # where, among `ends`, the open micro-batch began
        while True:
            close = int(np.searchsorted(ends, start + self.limit_bytes, side="right"))
            if close == len(ends):
                break
            before = int(ends[close - 1]) if close else 0
            if before == start:  # not even one record fits: it goes alone
                close += 1
                before = int(ends[close - 1])
            yield close
            start = before
        self.held_bytes = int(ends[-1]) - start


@dataclass
class _TimeCutter:
    split: _Time
    window: int | None = None
    is_started: bool = False
    is_zoned: bool | None = None
    held: _BytesCutter = field(init=False)

    def __post_init__(self) -> None:
        self.held = _BytesCutter(self.split.limit_bytes)

    def closes(self, piece: Piece) -> Iterator[int]:
        times = _times(piece.column(self.split.column), self.split.column)
        self._check_zone(times)
        windows, nulls = _windows(times, self.split)
        changes = (np.diff(windows) != 0) | (nulls[1:] != nulls[:-1])
        starts = [0, *(np.flatnonzero(changes) + 1).tolist(), len(piece)]
        for start, end in itertools.pairwise(starts):
            window = None if nulls[start] else int(windows[start])
            if self.is_started and (start > 0 or window != self.window):
                yield start
                self.held.held_bytes = 0
            self.window, self.is_started = window, True
            for close in self.held.closes(piece.slice(start, end)):
                yield start + close

    def _check_zone(self, times: pa.Array) -> None:
        """Refuses times with a zone after times without: they share no clock."""
        if times.null_count == len(times):
            return
        is_zoned = times.type.tz is not None
        if self.is_zoned is not None and is_zoned != self.is_zoned:
            raise DtypeError(
                f"some times of column {self.split.column!r} have a zone and some have none",
                hint="give all of them a zone, or none",
            )
        self.is_zoned = is_zoned


def _cut(pieces: Iterator[Piece], cutter: Cutter) -> Iterator[Piece]:
    """Gives pieces joined and cut where the cutter says; never an empty one."""
    held: list[Any] = []
    for piece in pieces:
        start = 0
        for end in cutter.closes(piece):
            if end > start:
                held.append(piece.slice(start, end))
            if held:
                yield _join(held)
            held, start = [], end
        if start < len(piece):
            held.append(piece.slice(start, len(piece)))
    if held:
        yield _join(held)


def _join(held: Sequence[Any]) -> Piece:
    joined: Piece = held[0].join(held[1:])
    return joined


def _windows(column: pa.Array, split: _Time) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Gives the number of each record's window, and which records have no time."""
    tick_ns = TICKS[column.type.unit]
    if split.window_ns % tick_ns:  # the window ends between two ticks
        column, tick_ns = column.cast(pa.timestamp("us", column.type.tz)), TICKS["us"]
    ticks = column.view(pa.int64()).fill_null(0).to_numpy(zero_copy_only=False)
    nulls = column.is_null().to_numpy(zero_copy_only=False)
    return ticks // (split.window_ns // tick_ns), nulls


def _times(column: pa.Array, name: str) -> pa.Array:
    """Gives dates and times as timestamps.

    Raises:
        DtypeError: The column holds something else.
    """
    kind = column.type
    if pa.types.is_timestamp(kind):
        return column
    if pa.types.is_date(kind) or pa.types.is_null(kind):
        return column.cast(pa.timestamp("ms"))
    raise DtypeError(
        f"column {name!r} is {kind}, not a time",
        hint="cast it to a timestamp, and so say its unit",
    )


def nanoseconds(window: str | datetime.timedelta) -> int:
    """Gives the length of a time such as `"10s"`: a number and `us`, `ms`, `s`, `m`, `h` or `d`.

    Raises:
        InvalidRequestError: It is none, or not above 0.
    """
    if isinstance(window, datetime.timedelta):
        length_ns = window // datetime.timedelta(microseconds=1) * 1_000
    else:
        found = re.fullmatch(r"(\d+)(us|ms|s|m|h|d)", window)
        length_ns = int(found[1]) * NANOSECONDS[found[2]] if found else 0
    if length_ns <= 0:
        raise InvalidRequestError(
            f"{window!r} is no length of time", hint="give '500ms', '10s', '5m', '1h' or '1d'"
        )
    return length_ns


def _at_least_one(number: object, label: str) -> int:
    if isinstance(number, bool) or not isinstance(number, int) or number < 1:
        raise InvalidRequestError(f"{label} is {number!r}, expected a whole number from 1 up")
    return number
