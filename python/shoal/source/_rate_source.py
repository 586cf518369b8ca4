"""Records at a steady rate, for trials and measurements: `value` and the time it stands for.

- Record n has the value n and the time `start + n / rows_per_second`, whole microseconds, rounded
  down: the same whenever it is read.
- It is there to be read from that long after the first opening on, by the clock; that moment is
  remembered, so that a run that goes on finds what fell due while nothing ran.
- With `rows` it ends there, and all are there at once.
- An offset is `{"row": n}`: all before record n are read. Record n belongs to partition
  `n % partitions`.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from threading import Event
from typing import TYPE_CHECKING

import msgspec
import numpy as np
import pyarrow as pa

from shoal.errors import InvalidRequestError, SourceError
from shoal.source._folder import LocalFolder
from shoal.source._pieces import Place, rows_of_a_batch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from shoal.source._contract import Limit, Offset, Split
    from shoal.source._pieces import Placed, Refuse

SCHEMA = pa.schema({"value": pa.int64(), "timestamp": pa.timestamp("us", "UTC")})
BEGAN = "rate.json"
ROW_BYTES = 16
MICROSECONDS = 1_000_000


class Began(msgspec.Struct, frozen=True):
    """When records began to fall due, and the time of the first: since 1970, in microseconds."""

    clock_us: int
    start_us: int


class RateSource:
    """Makes records at a steady rate."""

    replayable = True
    reads_ahead = False
    schema = SCHEMA

    def __init__(
        self,
        rows_per_second: int,
        *,
        start: datetime | None = None,
        rows: int | None = None,
        partitions: int = 1,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Takes how many there are.

        Args:
            rows_per_second: How many, from 1 up.
            start: The time of the first, with a time zone; None for when it is first opened.
            rows: How many in all; None for no end.
            partitions: Over how many partitions they are spread.
            clock: Seconds since 1970.

        Raises:
            InvalidRequestError: a number is too small, or the start has no time zone.
        """
        for name, value, least in (
            ("rows_per_second", rows_per_second, 1),
            ("rows", 0 if rows is None else rows, 0),
            ("partitions", partitions, 1),
        ):
            if value < least:
                raise InvalidRequestError(f"{name} is {value}, expected {least} or more")
        if start is not None and start.tzinfo is None:
            raise InvalidRequestError(f"start is {start}, expected a time with a time zone")
        self.is_bounded = rows is not None
        self._rate, self._rows, self._partitions = rows_per_second, rows, partitions
        self._start, self._clock = start, clock
        self._began = Began(0, 0)
        self._closed = Event()

    def open(self, directory: Path) -> None:
        """Remembers when it began, or reads when that was.

        Raises:
            SourceError: what is remembered cannot be read.
            SinkError: it cannot be written down.
        """
        folder = LocalFolder(directory)
        now_us = int(self._clock() * MICROSECONDS)
        start_us = now_us if self._start is None else _microseconds(self._start)
        folder.create(BEGAN, msgspec.json.encode(Began(now_us, start_us)))
        try:
            self._began = msgspec.json.decode(folder.read(BEGAN) or b"", type=Began)
        except msgspec.DecodeError as error:
            raise SourceError(f"{directory / BEGAN} cannot be read: {error}") from error
        if self._start is not None and self._began.start_us != start_us:
            hint = "Give the start of the first run, or another directory."
            message = f"start is {self._start}, but this source began with another"
            raise SourceError(message, hint=hint)

    def initial(self) -> Offset:
        """Before the first record."""
        return {"row": 0}

    def latest(self, start: Offset, limit: Limit) -> Offset:
        """Where a range ends of what is due; it waits for the next record."""
        due = self._due()
        if self._rows is None and due <= start["row"] and limit.wait_seconds > 0:
            self._closed.wait(min(self._until(start["row"]), limit.wait_seconds))
            due = self._due()
        most = max(min(limit.rows, limit.size_bytes // ROW_BYTES), 1)
        return {"row": max(min(due, start["row"] + most), start["row"])}

    def partitions(self, _offset: Offset) -> Sequence[str]:
        """All of them: records come to each in turn."""
        return [str(number) for number in range(self._partitions)]

    def splits(self, start: Offset, end: Offset) -> Sequence[Split]:
        """One part for each partition that has records in the range."""
        firsts = range(start["row"], min(end["row"], start["row"] + self._partitions))
        ordered = sorted(firsts, key=lambda first: first % self._partitions)
        return [
            {"partition": f"{n % self._partitions}", "first": n, "end": end["row"]} for n in ordered
        ]

    def read(self, split: Split) -> Iterator[pa.RecordBatch]:
        """The records of a split."""
        return (batch for _, batch in self._placed(split))

    def read_placed(self, split: Split, _refuse: Refuse) -> Iterator[Placed]:
        """The records of a split, each with its number as its place; none is refused."""
        return self._placed(split)

    def lag_rows(self, end: Offset) -> int:
        """How many are due behind an offset."""
        return max(self._due() - int(end["row"]), 0)

    def commit(self, _end: Offset) -> None:
        """Every record can be made again."""

    def close(self) -> None:
        """Ends a wait."""
        self._closed.set()

    def _placed(self, split: Split) -> Iterator[Placed]:
        values = range(split["first"], split["end"], self._partitions)
        size = rows_of_a_batch(ROW_BYTES)
        for first in range(0, len(values), size):
            some = values[first : first + size]
            yield Place("rate", "row", some[0], some), self._batch(some)

    def _batch(self, some: range) -> pa.RecordBatch:
        values = np.arange(some.start, some.stop, some.step, dtype=np.int64)
        seconds, rest = np.divmod(values, self._rate)
        times = self._began.start_us + seconds * MICROSECONDS + rest * MICROSECONDS // self._rate
        arrays = [pa.array(values), pa.array(times).cast(SCHEMA.field("timestamp").type)]
        return pa.RecordBatch.from_arrays(arrays, schema=SCHEMA)

    def _due(self) -> int:
        """How many records there are by now: the first at once."""
        if self._rows is not None:
            return self._rows
        passed_us = int(self._clock() * MICROSECONDS) - self._began.clock_us
        return max(passed_us * self._rate // MICROSECONDS + 1, 0)

    def _until(self, row: int) -> float:
        """In how many seconds a record is due."""
        due_us = self._began.clock_us + -(-row * MICROSECONDS // self._rate)
        return max(due_us / MICROSECONDS - self._clock(), 0.0)


def _microseconds(moment: datetime) -> int:
    passed = moment - datetime(1970, 1, 1, tzinfo=UTC)
    return (passed.days * 86_400 + passed.seconds) * MICROSECONDS + passed.microseconds
