"""Records gathered by key and window: lifted in parallel, kept until their window closes.

- `lift` runs in any thread and remembers nothing: it gathers the records of one micro-batch, and
  says which are late.
- What is lifted is a **delta**: one row for each key and pane (or session), with the states of the
  merges. Deltas of an epoch are put together and applied in order.
- What a window answers depends on the records it holds alone: not on micro-batches, epochs,
  workers, or on whether the state was stored and read again on the way.
- Answers come in the order of windows, and of keys within one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from shoal import batch
from shoal.batch import Merges, Partial
from shoal.errors import DuplicateColumnError, NullError
from shoal.pipeline._event_time._windows import (
    END,
    Panes,
    Sessions,
    Whole,
    Window,
    microseconds_of,
)
from shoal.values import no_records

if TYPE_CHECKING:
    from collections.abc import Sequence

    from shoal.batch import Merge
    from shoal.pipeline._event_time._windows import Times

# Columns of a delta; a name of a user's column has no dot in front of it that would meet these.
PANE, START, STOP = "window.pane", "window.start", "window.end"
# Columns of the answers.
WINDOW_START, WINDOW_END = "window_start", "window_end"


class Lifted(NamedTuple):
    """What one micro-batch amounts to.

    Attributes:
        delta: The records, gathered.
        newest: The greatest time there is; None where there is none.
        late: The records whose windows are all closed.
        timeless: The records without a time.
    """

    delta: Partial
    newest: int | None
    late: pa.RecordBatch
    timeless: pa.RecordBatch


class Aggregate:
    """Merges of the records of each key and window."""

    def __init__(
        self,
        merges: Sequence[Merge],
        *,
        keys: Sequence[str],
        window: Window,
        time: str | None,
    ) -> None:
        """Takes what is merged, by which keys, over which window, and the column of the time.

        Raises:
            DuplicateColumnError: two columns of the answers have one name.
        """
        self.window = window
        self.keys = tuple(keys)
        self.time = time
        self._merges = tuple(merges)
        self.paned = Merges(merges, by=(*_window_columns(window), *keys))
        self.closing = Merges(merges, by=(STOP, *keys))
        names = [*keys, *(merge.name for merge in self._merges)]
        if both := {WINDOW_START, WINDOW_END} & set(names):
            message = f"an answer would have two columns {both.pop()!r}"
            raise DuplicateColumnError(message, hint="Give the key or the merge another name.")

    def schema(self, records: pa.Schema) -> pa.Schema:
        """The columns of the answers to such records."""
        delta = self.lift(no_records(records), END).delta
        # Where a pane starts and where a window ends are of one type: the name is all that differs.
        names = [name.replace(PANE, STOP) for name in delta.states.schema.names]
        merged = pa.schema([f.with_name(f.name.replace(PANE, STOP)) for f in delta.schema])
        closed = Partial(merged, delta.states.rename_columns(names))
        return self.answers(closed, self.zone(records)).schema

    def describe(self) -> object:
        """What decides the answers."""
        merges = [repr(merge) for merge in self._merges]
        window = msgspec.to_builtins(self.window)
        return {"aggregate": merges, "by": list(self.keys), "window": window, "time": self.time}

    def lift(self, records: pa.RecordBatch, watermark: int) -> Lifted:
        """Gathers the records of one micro-batch that are not late."""
        if self.time is None:
            return Lifted(self._gathered(records, None), None, records[:0], records[:0])
        times, timed = microseconds_of(records, self.time)
        if self.time == WINDOW_END:
            times = times - 1  # an answer belongs to the last moment of its window
        present = timed.to_numpy(zero_copy_only=False)
        newest = int(times[present].max()) if present.any() else None
        late = present & (self._closes(times) <= watermark)
        good = present & ~late
        kept = records if good.all() else records.filter(pa.array(good))
        return Lifted(
            self._gathered(kept, times[good]),
            newest,
            records.filter(pa.array(late)),
            records.filter(pa.array(~present)),
        )

    def _closes(self, times: Times) -> Times:
        """When the last window that a record of such a time belongs to closes."""
        if isinstance(self.window, Panes):
            return self.window.closes(self.window.panes(times))
        if isinstance(self.window, Sessions):
            return times + self.window.gap_us
        return np.full(len(times), END)

    def _gathered(self, records: pa.RecordBatch, times: Times | None) -> Partial:
        if isinstance(self.window, Panes) and times is not None:
            panes = pa.array(self.window.panes(times))
            return self.paned.lift(records.append_column(PANE, panes))
        if isinstance(self.window, Sessions) and times is not None:
            return self._sessions(records, times, self.window.gap_us)
        return self.paned.lift(records)

    def _sessions(self, records: pa.RecordBatch, times: Times, gap_us: int) -> Partial:
        """Gathers the records of each session of this micro-batch."""
        ends = times + gap_us
        keys = [records.column(key) for key in self.keys]
        start, stop = sessions_of(keys, times, ends)
        marked = records.append_column(START, pa.array(start)).append_column(STOP, pa.array(stop))
        return self.paned.lift(marked)

    def closed(self, parts: Sequence[Partial]) -> Partial:
        """What was closed in several parts, as one."""
        return (self.closing if isinstance(self.window, Panes) else self.paned).combine(parts)

    def answers(self, closed: Partial, zone: str | None) -> pa.RecordBatch:
        """What closed windows answer, in order; `closed` as `closing` or `paned` gathers it."""
        if isinstance(self.window, Whole):
            answers = self.paned.finish(closed)
            return _ordered(answers, self.keys)
        if isinstance(self.window, Sessions):
            answers = self.paned.finish(closed)
            start, stop = answers.column(START), answers.column(STOP)
        else:
            answers = self.closing.finish(closed)
            stop = answers.column(STOP)
            start = pc.subtract(stop, self.window.size_us)
        kind = pa.timestamp("us", zone)
        merged = [name for name in answers.schema.names if name not in {START, STOP, *self.keys}]
        columns = {name: answers.column(name) for name in self.keys}
        columns |= {WINDOW_START: start.cast(kind), WINDOW_END: stop.cast(kind)}
        columns |= {name: answers.column(name) for name in merged}
        return _ordered(pa.RecordBatch.from_pydict(columns), (WINDOW_END, *self.keys))

    def zone(self, records: pa.Schema) -> str | None:
        """The zone of the times of records; None where they have none."""
        zone: str | None = None
        if self.time is not None:
            zone = getattr(records.field(self.time).type, "tz", None)
        return zone


def sessions_of(keys: Sequence[pa.Array], starts: Times, ends: Times) -> tuple[Times, Times]:
    """The session of each row: stretches of one key that meet or overlap are one session."""
    rows = len(starts)
    if not rows:
        return starts, ends
    group = batch.group_rows(keys, rows)[0].to_numpy().astype(np.int64)
    order = np.lexsort((starts, group))
    group, starts, ends = group[order], starts[order], ends[order]
    # The furthest end so far, within each key: ranks of ends, so that keys can be told apart.
    rank = np.empty(rows, np.int64)
    by_end = np.argsort(ends, kind="stable")
    rank[by_end] = np.arange(rows)
    reach = np.maximum.accumulate(group * rows + rank)
    furthest = ends[by_end[reach % rows]]
    is_new = np.ones(rows, bool)
    is_new[1:] = (group[1:] != group[:-1]) | (starts[1:] > furthest[:-1])
    number = np.cumsum(is_new) - 1
    first = starts[is_new]
    last = furthest[np.append(np.flatnonzero(is_new)[1:] - 1, rows - 1)]
    back = np.empty(rows, np.int64)
    back[order] = number
    return first[back], last[back]


def check_timed(timeless: pa.RecordBatch, column: str) -> NullError | None:
    """The error of records that have no time; None if there are none."""
    if not timeless.num_rows:
        return None
    return NullError(f"column {column!r} holds no time for this record")


def _window_columns(window: Window) -> tuple[str, ...]:
    if isinstance(window, Panes):
        return (PANE,)
    return (START, STOP) if isinstance(window, Sessions) else ()


def _ordered(answers: pa.RecordBatch, by: Sequence[str]) -> pa.RecordBatch:
    sortable = [name for name in by if not pa.types.is_nested(answers.schema.field(name).type)]
    if not sortable:
        return answers
    return answers.sort_by([(name, "ascending") for name in sortable])
