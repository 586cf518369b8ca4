"""What is done with the records of one split, in parallel: steps, and the first aggregate's `lift`.

- A micro-batch is worked by itself, and what it comes to does not depend on who works it, or when.
- A record that fails is found by halving its micro-batch, and set aside as a dead letter; its
  neighbours are none the worse for it.
- Results come in the order of the records.
"""

from __future__ import annotations

import json
from threading import Event
from typing import TYPE_CHECKING, NamedTuple

from shoal.errors import UnavailableError
from shoal.pipeline._event_time._aggregates import check_timed
from shoal.pipeline._isolate import Failed, isolated
from shoal.pipeline._ledger import DeadLetter, records_bytes, records_of
from shoal.pipeline._sizes import Cutter
from shoal.source import Place, PlacedSource

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import pyarrow as pa

    from shoal.batch import Partial
    from shoal.pipeline._crew import Crew
    from shoal.pipeline._ledger import Plan
    from shoal.pipeline._program import Program
    from shoal.pipeline._retry import Clock, Retry
    from shoal.source import Placed, Refused, Sink, Source, Split, Token

# The partition of dead letters that are taken again.
DEAD = "dead letters"
SHOWN_CHARACTERS = 4096


class Worked(NamedTuple):
    """What one micro-batch came to."""

    rows: int
    size_bytes: int
    outputs: list[pa.RecordBatch]
    deltas: list[Partial]
    newest_us: list[int]
    dead: list[DeadLetter]


class Taken(NamedTuple):
    """What a split came to.

    Attributes:
        partition: The partition that it belongs to.
        rows: Records that were read.
        size_bytes: Bytes of them.
        rows_out: Records that were staged.
        token: What the sink staged; None where there is nothing, or an aggregate comes first.
        deltas: What an aggregate has to apply.
        newest_us: The greatest time.
        dead: Records that were set aside.
        seconds: How long it took.
    """

    partition: str
    rows: int
    size_bytes: int
    rows_out: int
    token: Token | None
    deltas: list[Partial]
    newest_us: int | None
    dead: list[DeadLetter]
    seconds: float


class Worker:
    """Takes splits; several threads may at once."""

    def __init__(
        self, source: Source, program: Program, sink: Sink, *, crew: Crew, clock: Clock
    ) -> None:
        self._source = source
        self._program = program
        self._sink = sink
        self._crew = crew
        self._clock = clock
        self.abandoned = Event()
        self._cutter = Cutter()
        self.revived: Mapping[int, bytes] = {}

    def take(self, plan: Plan, split: Split, watermark_us: int, retry: Retry) -> Taken:
        """Reads a split and works it; what comes out is staged in the sink.

        Raises:
            ShoalError: it cannot be read, worked or staged.
        """
        began = self._clock.now_seconds()
        taken = retry(lambda: self._take(plan, split, watermark_us, retry))
        return taken._replace(seconds=self._clock.now_seconds() - began)

    def _take(self, plan: Plan, split: Split, watermark_us: int, retry: Retry) -> Taken:
        tally = Tally(str(split.get("partition", "")))
        placed = self._read(split, tally)

        def work(each: Placed) -> Worked:
            return retry(lambda: self._work(each, watermark_us))

        outputs = tally.outputs(self._crew.answers(placed, work, _size))
        first = next(outputs, None)  # nothing is staged where nothing comes out
        token = None
        if first is not None:
            token = self._sink.write(plan.epoch, _chained(first, outputs))
        return tally.taken(token)

    def _read(self, split: Split, tally: Tally) -> Iterator[Placed]:
        for placed in self._placed(split, tally):
            if self.abandoned.is_set():
                raise UnavailableError("the run was given up")
            yield placed

    def _placed(self, split: Split, tally: Tally) -> Iterator[Placed]:
        if split.get("partition") == DEAD:
            for number in split["numbers"]:
                yield Place(f"dead letter {number}", "row", 0), records_of(self.revived[number])
        elif isinstance(self._source, PlacedSource):
            yield from self._source.read_placed(split, tally.refuse)
        else:
            rows = 0
            for records in self._source.read(split):
                yield Place(tally.partition, "row", rows), records
                rows += records.num_rows

    def _work(self, placed: Placed, watermark_us: int) -> Worked:
        place, records = placed
        worked = Worked(records.num_rows, records.nbytes, [], [], [], [])
        for start, part in self._cutter.cut(records):
            outputs = self._stepped(place, start, part, worked)
            if self._program.parts:
                self._lift(place, outputs, worked, watermark_us)
            else:
                worked.outputs.extend(outputs)
        return worked

    def _stepped(
        self, place: Place, start: int, part: pa.RecordBatch, worked: Worked
    ) -> list[pa.RecordBatch]:
        """What the steps make of some records of a batch."""
        outputs: list[pa.RecordBatch] = []
        for piece in isolated(self._program.head, part):
            if isinstance(piece, Failed):
                letter = failed(place, piece._replace(row=start + piece.row), can_return=True)
                worked.dead.append(letter)
            elif piece.num_rows:
                outputs.append(piece)
        return outputs

    def _lift(
        self, place: Place, outputs: list[pa.RecordBatch], worked: Worked, watermark_us: int
    ) -> None:
        """Gathers what the steps made by key and window."""
        aggregate = self._program.parts[0].aggregate
        for piece in outputs:
            lifted = aggregate.lift(piece, watermark_us)
            worked.dead.extend(late(place, lifted.late, watermark_us))
            worked.dead.extend(timeless(place, lifted.timeless, aggregate.time or ""))
            if lifted.newest is not None:
                worked.newest_us.append(lifted.newest)
            if lifted.delta.states.num_rows:
                worked.deltas.append(lifted.delta)


class Tally:
    """What a split comes to, while it is worked by one thread."""

    def __init__(self, partition: str) -> None:
        self.partition = partition
        self._rows = self._size_bytes = self._rows_out = 0
        self._deltas: list[Partial] = []
        self._newest_us: list[int] = []
        self._dead: list[DeadLetter] = []

    def refuse(self, refused: Refused) -> None:
        """Sets aside what could not be read."""
        place = f"{refused.file}, {refused.place}"
        letter = DeadLetter("unreadable", place, refused.code, refused.message, refused.record)
        self._rows += 1
        self._dead.append(letter)

    def outputs(self, worked: Iterator[Worked]) -> Iterator[pa.RecordBatch]:
        """What comes out, counted as it passes."""
        for each in worked:
            self._rows += each.rows
            self._size_bytes += each.size_bytes
            self._dead += each.dead
            self._deltas += each.deltas
            self._newest_us += each.newest_us
            for records in each.outputs:
                self._rows_out += records.num_rows
                yield records

    def taken(self, token: Token | None) -> Taken:
        """All of it."""
        return Taken(
            self.partition,
            self._rows,
            self._size_bytes,
            self._rows_out,
            token,
            self._deltas,
            max(self._newest_us, default=None),
            self._dead,
            0.0,
        )


def failed(place: Place, piece: Failed, *, can_return: bool) -> DeadLetter:
    """A record that a step could not work."""
    return DeadLetter(
        reason="failed",
        place=f"{place.file}, {place.of(piece.row)}",
        code=piece.error.code,
        message=str(piece.error),
        record=_shown(piece.record.to_pylist()[0]),
        data=records_bytes(piece.record) if can_return else None,
    )


def late(place: Place, records: pa.RecordBatch, watermark_us: int) -> list[DeadLetter]:
    """Records whose windows were closed when they came, as one letter: there may be very many."""
    if not records.num_rows:
        return []
    message = f"all windows were closed: the watermark stood at {watermark_us} us"
    return [_aside("late", place, "late_record", message, records)]


def timeless(place: Place, records: pa.RecordBatch, column: str) -> list[DeadLetter]:
    """Records without a time, as one letter."""
    error = check_timed(records, column)
    return [] if error is None else [_aside("failed", place, error.code, str(error), records)]


def _aside(
    reason: str, place: Place, code: str, message: str, records: pa.RecordBatch
) -> DeadLetter:
    return DeadLetter(
        reason=reason,
        place=f"{place.file}, {place.of(0)}",
        code=code,
        message=message,
        record=_shown(records.slice(0, 1).to_pylist()[0]),
        data=records_bytes(records) if reason == "late" else None,
        rows=records.num_rows,
    )


def _shown(record: Mapping[str, object]) -> str:
    return json.dumps(record, default=str)[:SHOWN_CHARACTERS]


def _size(placed: Placed) -> int:
    size_bytes: int = placed[1].nbytes
    return size_bytes


def _chained(first: pa.RecordBatch, rest: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    yield first
    yield from rest
