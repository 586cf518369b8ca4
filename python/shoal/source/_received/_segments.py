"""A durable log of records that nobody can send again, in files of about one size.

    DIRECTORY/000000000001.jsonl    a segment: groups of records, each record a line of JSON
    DIRECTORY/lock                  held by the one process that writes

- What is appended whole or not at all is a **group**: a line `=ROWS BYTES CRC NOTE`, which no JSON
  begins as, and its records, so many rows and bytes. The checksum (CRC-32) is over all of the
  group but itself. A note is JSON that is stored with the group, or nothing.
- `append` returns when its groups are durable, all with one fsync. What a killed writer or a power
  cut left of a group is cut off by the next opening.
- An append that fails (a full disk) leaves nothing to be read. Where not even that is sure,
  nothing more is appended before the log is opened again.
- The log holds at most `limit_bytes`. Above it, `append` raises `BusyError` until `drop` has made
  room: whoever sends waits, and nothing is lost silently.
- An offset is `{"segment": i, "at": byte}`, always where a line ends. Between two of them are the
  same records whenever they are read.
"""

from __future__ import annotations

import os
import re
import zlib
from contextlib import ExitStack, suppress
from threading import Condition
from typing import TYPE_CHECKING, NamedTuple

from shoal.errors import BusyError, InvalidRequestError, SinkError, SourceError
from shoal.source._folder import LocalFolder

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from shoal.source._contract import Limit, Offset

SEGMENT_BYTES = 16 << 20
LIMIT_BYTES = 1 << 30
READ_BYTES = 4 << 20
# What is appended at once is at most a segment: with so many there is room for it as soon as all
# that was read is dropped.
LEAST_SEGMENTS = 4

LOCK = "lock"
NAME = re.compile(r"(\d{12})\.jsonl")
HEAD = b"="
BREAK = b"\n"
HEADS = re.compile(rb"^=.*\n", re.MULTILINE)


class Group(NamedTuple):
    """What is appended whole or not at all.

    Attributes:
        records: JSON documents; a line break in one becomes a space, which means the same in JSON.
        note: JSON that is stored with them, or nothing.
    """

    records: Sequence[bytes]
    note: bytes = b""


class Noted(NamedTuple):
    """The note of a group that is stored, and how many records it has."""

    note: bytes
    rows: int


class Block(NamedTuple):
    """Whole lines of a segment, the heads of groups among them, and the byte they begin at."""

    segment: int
    at: int
    lines: bytes


class _Head(NamedTuple):
    """What the first line of a group says, and where the group ends."""

    end: int
    rows: int
    checksum: int
    note: bytes


class _Tally(NamedTuple):
    """How much of a segment is durable; its rows where they were counted."""

    size_bytes: int
    rows: int | None


class Segments:
    """A durable log; may be used from several threads of one process."""

    def __init__(
        self,
        directory: Path,
        *,
        segment_bytes: int = SEGMENT_BYTES,
        limit_bytes: int = LIMIT_BYTES,
    ) -> None:
        """Opens the log, and cuts off what a killed writer left unfinished.

        Args:
            directory: Where it lies; it is made if it is not there.
            segment_bytes: A segment ends with the append that reaches this size.
            limit_bytes: How much it may hold in all, at least four segments.

        Raises:
            InvalidRequestError: the limit is too small.
            ConflictError: another process writes to it.
            SourceError: it cannot be read or written.
        """
        least = LEAST_SEGMENTS * segment_bytes
        if limit_bytes < least:
            raise InvalidRequestError(f"limit_bytes is {limit_bytes}, expected {least} or more")
        self._directory = directory
        self._append_bytes, self._limit_bytes = segment_bytes, limit_bytes
        self._changed = Condition()
        self._is_closed = False
        self._broken: OSError | None = None
        self._tallies: dict[int, _Tally] = {}
        with ExitStack() as held:
            try:
                held.enter_context(LocalFolder(directory).held(LOCK))
                self._file = self._recover()
            except (OSError, SinkError) as error:
                raise SourceError(f"{directory} cannot be opened: {error}") from error
            held.callback(self._close_file)
            self._held = held.pop_all()

    @property
    def append_bytes(self) -> int:
        """How much may be appended at once."""
        return self._append_bytes

    def initial(self) -> Offset:
        """Where the first record begins that is still there."""
        with self._changed:
            return {"segment": next(iter(self._tallies)), "at": 0}

    def end(self) -> Offset:
        """Where the last durable record ends."""
        with self._changed:
            return self._end()

    def append(self, *groups: Group) -> Offset:
        """Stores groups: they are durable when it returns; if it raises, none of them is there.

        Returns:
            Where they end.

        Raises:
            BusyError: the log is full.
            InvalidRequestError: they are larger than a segment.
            SourceError: the disk refuses, or the log is closed.
        """
        data = b"".join(encoded(group) for group in groups if group.records)
        if len(data) > self._append_bytes:
            most = self._append_bytes
            raise InvalidRequestError(f"{len(data)} bytes at once, expected {most} at most")
        with self._changed:
            self._check_writable(len(data))
            if data:
                self._write(data, sum(len(group.records) for group in groups))
                self._changed.notify_all()
            return self._end()

    def wait_beyond(self, start: Offset, wait_seconds: float) -> bool:
        """Waits until there is something behind an offset; returns whether there is."""
        with self._changed:
            self._changed.wait_for(
                lambda: self._is_closed or self._is_before_end(start), wait_seconds
            )
            return self._is_before_end(start)

    def end_within(self, start: Offset, limit: Limit) -> Offset:
        """Where a range ends with which a limit is reached; `start` if nothing is behind it.

        Raises:
            SourceError: the log does not reach so far, or cannot be read.
        """
        rows, size_bytes, end = max(limit.rows, 1), limit.size_bytes, start
        if _place(start) > _place(self.end()):
            message = f"{self._directory} ends at {self.end()}, before {start}"
            raise SourceError(message, hint="Was its directory removed, or put back from a copy?")
        for block in self.read(start, self.end()):
            length = length_within(block.lines, rows, size_bytes)
            end = {"segment": block.segment, "at": block.at + length}
            rows -= rows_of(block.lines[:length])
            size_bytes -= length
            if rows <= 0 or size_bytes <= 0:
                break
        return end

    def read(self, start: Offset, end: Offset) -> Iterator[Block]:
        """What lies between two offsets.

        Raises:
            SourceError: it was dropped, or cannot be read.
        """
        for segment in range(start["segment"], end["segment"] + 1):
            first = start["at"] if segment == start["segment"] else 0
            yield from self._blocks(segment, first, self._size(segment, end))

    def rows_behind(self, start: Offset) -> int:
        """How many records lie behind an offset."""
        with self._changed:
            numbers = [number for number in self._tallies if number > start["segment"]]
        end = {"segment": start["segment"], "at": self._size(start["segment"], None)}
        rows = sum(rows_of(block.lines) for block in self.read(start, end))
        return rows + sum(self._rows(number) for number in numbers)

    def notes(self, most: int) -> list[Noted]:
        """The notes of the last groups that have one, in order; at least so many, if there are.

        Raises:
            SourceError: they cannot be read.
        """
        found: list[Noted] = []
        for number in reversed(list(self._tallies)):
            heads = _heads(self._content(number))
            found = [Noted(head.note, head.rows) for head in heads if head.note] + found
            if len(found) >= most:
                break
        return found

    def drop(self, end: Offset) -> None:
        """Removes the segments that lie wholly before an offset, but the last one with records.

        Raises:
            SourceError: the disk refuses.
        """
        with self._changed:
            with_records = [number for number, tally in self._tallies.items() if tally.size_bytes]
            for number in with_records[:-1]:
                if number < end["segment"]:
                    try:
                        self._path(number).unlink(missing_ok=True)
                    except OSError as error:
                        message = f"{self._path(number)} cannot be removed: {error.strerror}"
                        raise SourceError(message) from error
                    del self._tallies[number]

    def close(self) -> None:
        """Gives the directory back, and ends every wait."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()
            self._held.close()

    def _recover(self) -> int:
        """Finds the segments, and opens the last one behind its last whole group."""
        names = (NAME.fullmatch(name) for name in LocalFolder(self._directory).names(""))
        for number in sorted(int(name[1]) for name in names if name):
            self._tallies[number] = _Tally(self._path(number).stat().st_size, None)
        number = next(reversed(self._tallies), 1)
        file = self._opened(number)
        try:
            heads = list(_heads(self._path(number).read_bytes()))
            size_bytes = heads[-1].end if heads else 0
            os.ftruncate(file, size_bytes)
            os.fsync(file)
        except BaseException:
            os.close(file)
            raise
        self._tallies[number] = _Tally(size_bytes, sum(head.rows for head in heads))
        return file

    def _opened(self, number: int) -> int:
        """A segment to be appended to; its name is durable."""
        file = os.open(self._path(number), os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
        directory = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(directory)
        except BaseException:
            os.close(file)
            raise
        finally:
            os.close(directory)
        return file

    def _check_writable(self, size_bytes: int) -> None:
        if self._is_closed:
            raise SourceError(f"{self._directory} is closed")
        if self._broken is not None:
            message = f"{self._directory} takes nothing more: {self._broken.strerror}"
            hint = "Open it again once the disk is well: what is whole is kept."
            raise SourceError(message, hint=hint)
        held = sum(tally.size_bytes for tally in self._tallies.values())
        if held + size_bytes > self._limit_bytes:
            message = f"{held} bytes wait to be read, at most {self._limit_bytes} may"
            raise BusyError(message, hint="Send it again later.")

    def _write(self, data: bytes, rows: int) -> None:
        try:
            self._roll()
            number, tally = next(reversed(self._tallies.items()))
            try:
                _write_all(self._file, data)
                os.fsync(self._file)
            except BaseException:
                self._undo(tally.size_bytes)
                raise
        except OSError as error:
            message = f"{self._directory} cannot be written: {error.strerror}"
            raise SourceError(message) from error
        self._tallies[number] = _Tally(tally.size_bytes + len(data), (tally.rows or 0) + rows)

    def _roll(self) -> None:
        """Begins a segment if the last one is full."""
        number, tally = next(reversed(self._tallies.items()))
        if tally.size_bytes >= self._append_bytes:
            following = self._opened(number + 1)
            self._close_file()
            self._file = following
            self._tallies[number + 1] = _Tally(0, 0)

    def _undo(self, size_bytes: int) -> None:
        """Cuts off what a failed append has written; else nothing more may follow it."""
        try:
            os.ftruncate(self._file, size_bytes)
            os.fsync(self._file)
        except OSError as error:
            self._broken = error

    def _close_file(self) -> None:
        os.close(self._file)

    def _end(self) -> Offset:
        """Where the last record ends: an empty segment is not entered."""
        number, tally = next(reversed(self._tallies.items()))
        if not tally.size_bytes and number - 1 in self._tallies:
            return self._end_of(number - 1)
        return self._end_of(number)

    def _end_of(self, number: int) -> Offset:
        return {"segment": number, "at": self._tallies[number].size_bytes}

    def _is_before_end(self, start: Offset) -> bool:
        return _place(start) < _place(self._end())

    def _size(self, segment: int, end: Offset | None) -> int:
        """How far a segment is read."""
        if end is not None and segment == end["segment"]:
            return int(end["at"])
        with self._changed:
            if segment not in self._tallies:
                raise SourceError(f"{self._path(segment)} is not there any more, or not yet")
            return self._tallies[segment].size_bytes

    def _rows(self, number: int) -> int:
        """How many records a segment has; counted once."""
        rows = self._tallies[number].rows
        if rows is None:
            rows = sum(head.rows for head in _heads(self._content(number)))
            with self._changed:
                if number in self._tallies:
                    self._tallies[number] = self._tallies[number]._replace(rows=rows)
        return rows

    def _content(self, number: int) -> bytes:
        return b"".join(block.lines for block in self._blocks(number, 0, self._size(number, None)))

    def _blocks(self, segment: int, first: int, end: int) -> Iterator[Block]:
        try:
            with self._path(segment).open("rb") as file:
                file.seek(first)
                while first < end:
                    lines = file.read(min(READ_BYTES, end - first))
                    lines += b"" if lines.endswith(BREAK) else file.readline()
                    if first + len(lines) > end or not lines.endswith(BREAK):
                        message = f"{self._path(segment)} has no line that ends at byte {end}"
                        raise SourceError(message)
                    yield Block(segment, first, lines)
                    first += len(lines)
        except OSError as error:
            message = f"{self._path(segment)} cannot be read: {error.strerror}"
            raise SourceError(message) from error

    def _path(self, number: int) -> Path:
        return self._directory / f"{number:012}.jsonl"


def encoded(group: Group) -> bytes:
    """A group as it is stored."""
    lines = [record.replace(b"\r", b" ").replace(BREAK, b" ") for record in group.records]
    body = BREAK.join([*lines, b""])
    note = group.note.replace(b"\r", b" ").replace(BREAK, b" ")
    return b"=%d %d %08x %b\n%b" % (len(lines), len(body), _checksum(body, note), note, body)


def rows_of(lines: bytes) -> int:
    """How many records whole lines are."""
    return lines.count(BREAK) - lines.count(BREAK + HEAD) - lines.startswith(HEAD)


def records_of(lines: bytes) -> bytes:
    """The lines of records, without those that begin groups."""
    return HEADS.sub(b"", lines)


def length_within(lines: bytes, rows: int, size_bytes: int) -> int:
    """Where the line ends with which so many rows or bytes are reached; a record at least."""
    end = lines.find(BREAK, max(size_bytes - 1, 0)) + 1 or len(lines)
    if rows_of(lines[:end]) < 1:  # nothing but the head of a group
        end = lines.find(BREAK, end) + 1 or len(lines)
    if rows_of(lines[:end]) <= rows:
        return end
    end = 0
    while rows > 0:
        rows -= not lines.startswith(HEAD, end)
        end = lines.find(BREAK, end) + 1
    return end


def _heads(data: bytes) -> Iterator[_Head]:
    """The groups of a segment, up to the first that is not whole."""
    start = 0
    while start < len(data):
        body = data.find(BREAK, start) + 1
        head = _head(data[start:body], body)
        if head is None or head.end > len(data):
            return
        if head.checksum != _checksum(data[body : head.end], head.note):
            return
        yield head
        start = head.end


def _head(line: bytes, body: int) -> _Head | None:
    """What the first line of a group says; None if it is none."""
    with suppress(ValueError):
        rows, size_bytes, checksum, note = (
            line.removeprefix(HEAD).removesuffix(BREAK).split(b" ", 3)
        )
        if line.startswith(HEAD) and line.endswith(BREAK):
            return _Head(body + int(size_bytes), int(rows), int(checksum, 16), note)
    return None


def _checksum(body: bytes, note: bytes) -> int:
    return zlib.crc32(body, zlib.crc32(note))


def _write_all(file: int, data: bytes) -> None:
    """A write may take a part only, where a limit or the end of the disk is near."""
    left = memoryview(data)
    while left:
        left = left[os.write(file, left) :]


def _place(offset: Offset) -> tuple[int, int]:
    return offset["segment"], offset["at"]
