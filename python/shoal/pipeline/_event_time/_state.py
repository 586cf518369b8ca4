"""What open windows hold, in memory, and how it is written down.

- Rows are kept in **runs**: a delta that comes is a run; once the younger runs have as many rows as
  the oldest, all are combined into one. So what is kept costs about the same per record however
  much there is (O'Neil et al., The Log-Structured Merge-Tree, 1996).
- Large state is shared out by bucket of the key (`_buckets`), one share for each worker.
- Written down is each delta with the watermark that it met, and from time to time a snapshot. State
  is read again by applying deltas to the snapshot in order, which is how it came to be.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from shoal.batch import Partial
from shoal.pipeline._event_time._aggregates import PANE, START, STOP, sessions_of
from shoal.pipeline._event_time._buckets import BUCKETS, buckets_of
from shoal.pipeline._event_time._windows import END, Panes, Sessions

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from concurrent.futures import Executor

    from numpy.typing import NDArray

    from shoal.pipeline._event_time._aggregates import Aggregate
    from shoal.pipeline._event_time._windows import Times

# Fewer rows than this are kept by one worker: sharing them out would cost more than it saves.
SHARED_ROWS = 1 << 16
# Rows of one piece of a snapshot.
PIECE_ROWS = 1 << 16

Flags: TypeAlias = "NDArray[np.bool_]"


class State:
    """The open windows of one aggregate."""

    def __init__(
        self, aggregate: Aggregate, *, workers: int = 1, executor: Executor | None = None
    ) -> None:
        """Starts empty.

        Args:
            aggregate: What is kept.
            workers: How many share large state.
            executor: Where they run; without one, in the caller's thread.
        """
        self._aggregate = aggregate
        self._most = min(workers, BUCKETS)
        self._map = executor.map if executor else map
        self._shares = [share_of(aggregate)]

    @property
    def rows(self) -> int:
        """How many rows there are: keys times panes, some perhaps several times."""
        return sum(share.rows for share in self._shares)

    def apply(self, delta: Partial, before: int, after: int) -> Partial | None:
        """Adds a delta, and takes out what the watermark closes from `before` to `after`.

        Returns:
            The states of windows that are closed now; None where there is none.
        """
        self._share_out()
        if len(self._shares) == 1:
            return _applied(self._shares[0], delta, before, after)
        closed = self._map(
            lambda share, part: _applied(share, part, before, after),
            self._shares,
            self._parts(delta),
        )
        found = [part for part in closed if part is not None]
        return self._aggregate.closed(found) if found else None

    def snapshot(self) -> Iterator[Partial]:
        """All that is kept, in pieces."""
        for share in self._shares:
            yield from share.pieces()

    def restore(self, pieces: Iterable[Partial]) -> None:
        """Takes a snapshot for what is kept."""
        self._shares = [share_of(self._aggregate)]
        for piece in pieces:
            self._shares[0].add(piece)

    def _share_out(self) -> None:
        """Shares the state out once it is large."""
        if len(self._shares) == self._most or self.rows < SHARED_ROWS:
            return
        whole = list(self.snapshot())
        self._shares = [share_of(self._aggregate) for _ in range(self._most)]
        for piece in whole:
            for share, part in zip(self._shares, self._parts(piece), strict=True):
                share.add(part)

    def _parts(self, partial: Partial) -> list[Partial]:
        """The rows of each share."""
        count = len(self._shares)
        states = partial.states
        keys = [states.column(f"key.{key}") for key in self._aggregate.keys]
        owner = buckets_of(keys, states.num_rows).astype(np.int64) * count // BUCKETS
        return [
            Partial(partial.schema, states.filter(pa.array(owner == number)))
            for number in range(count)
        ]


class Share:
    """The windows of some keys, in runs of rows."""

    def __init__(self, aggregate: Aggregate) -> None:
        self._aggregate = aggregate
        self._runs: list[Partial] = []

    @property
    def rows(self) -> int:
        """How many rows there are."""
        return sum(run.states.num_rows for run in self._runs)

    def add(self, run: Partial) -> None:
        """Keeps rows."""
        if run.states.num_rows:
            self._runs.append(run)
        younger = sum(run.states.num_rows for run in self._runs[1:])
        if younger and younger >= self._runs[0].states.num_rows:
            self._runs = [self._aggregate.paned.combine(self._runs)]

    def close(self, before: int, after: int) -> Partial | None:
        """Takes out what closes as the watermark goes up; here all, when there is no more."""
        del before
        if after < END or not self._runs:
            return None
        whole = self._aggregate.paned.combine(self._runs)
        self._runs = []
        return whole

    def pieces(self) -> Iterator[Partial]:
        """All that is kept, in pieces."""
        if not self._runs:
            return
        self._runs = [self._aggregate.paned.combine(self._runs)]
        states = self._runs[0].states
        for start in range(0, states.num_rows, PIECE_ROWS):
            yield Partial(self._runs[0].schema, states.slice(start, PIECE_ROWS))

    def _keep(self, open_rows: Callable[[Partial], Flags]) -> None:
        """Drops all rows but those that are open."""
        kept = [rows_where(run, open_rows(run)) for run in self._runs]
        self._runs = [run for run in kept if run.states.num_rows]


class PaneShare(Share):
    """Panes of tumbling and sliding windows."""

    def __init__(self, aggregate: Aggregate, window: Panes) -> None:
        super().__init__(aggregate)
        self._window = window

    def close(self, before: int, after: int) -> Partial | None:
        """Takes out the windows that close; panes of open windows stay."""
        closing = [self._closing(run, before, after) for run in self._runs]
        found = [part for part in closing if part.states.num_rows]
        if not found:
            return None
        self._keep(lambda run: self._window.closes(integers_of(run, PANE)) > after)
        return self._aggregate.closing.combine(found)

    def _closing(self, run: Partial, before: int, after: int) -> Partial:
        """The rows of windows that close, as often as there are windows that hold them."""
        rows, ends = self._window.ends(integers_of(run, PANE), before, after)
        states = run.states.take(pa.array(rows))
        place = states.schema.get_field_index(f"key.{PANE}")
        fields = [pa.field(STOP, pa.int64()) if at.name == PANE else at for at in run.schema]
        ended = states.set_column(place, f"key.{STOP}", pa.array(ends))
        return Partial(pa.schema(fields), ended)


class SessionShare(Share):
    """Sessions; those of one key neither meet nor overlap."""

    def add(self, run: Partial) -> None:
        """Joins the sessions that meet."""
        if not run.states.num_rows:
            return
        kept = []
        met = [run]
        for old in self._runs:
            may_meet = self._has_key_of(old, run)
            met.append(rows_where(old, may_meet))
            kept.append(rows_where(old, ~may_meet))
        joined = self._joined(met)
        self._runs = [*(old for old in kept if old.states.num_rows), joined]
        if len(self._runs) > 1:
            stacked = pa.concat_batches([each.states for each in self._runs])
            self._runs = [Partial(joined.schema, stacked)]

    def close(self, before: int, after: int) -> Partial | None:
        """Takes out the sessions that are over."""
        del before
        over = [rows_where(run, integers_of(run, STOP) <= after) for run in self._runs]
        found = [part for part in over if part.states.num_rows]
        if not found:
            return None
        self._keep(lambda run: integers_of(run, STOP) > after)
        return found[0] if len(found) == 1 else self._aggregate.paned.combine(found)

    def _has_key_of(self, old: Partial, run: Partial) -> Flags:
        """Which old rows may have a key of a run; some may be of other keys."""
        keys = self._aggregate.keys
        if not keys or pa.types.is_floating(old.states.column(f"key.{keys[0]}").type):
            return np.ones(old.states.num_rows, bool)
        name = f"key.{keys[0]}"
        found = pc.is_in(old.states.column(name), run.states.column(name))
        flags: Flags = found.to_numpy(zero_copy_only=False)
        return flags

    def _joined(self, runs: Sequence[Partial]) -> Partial:
        """All rows, those of one session put together."""
        whole = self._aggregate.paned.combine(runs)
        keys = [whole.states.column(f"key.{key}") for key in self._aggregate.keys]
        start, stop = sessions_of(keys, integers_of(whole, START), integers_of(whole, STOP))
        states = whole.states
        for name, values in ((START, start), (STOP, stop)):
            place = states.schema.get_field_index(f"key.{name}")
            states = states.set_column(place, f"key.{name}", pa.array(values))
        return self._aggregate.paned.combine([Partial(whole.schema, states)])


def _applied(share: Share, delta: Partial, before: int, after: int) -> Partial | None:
    share.add(delta)
    return share.close(before, after) if after > before else None


def share_of(aggregate: Aggregate) -> Share:
    """An empty share of the windows of an aggregate."""
    if isinstance(aggregate.window, Panes):
        return PaneShare(aggregate, aggregate.window)
    return SessionShare(aggregate) if isinstance(aggregate.window, Sessions) else Share(aggregate)


def integers_of(run: Partial, key: str) -> Times:
    """A column of whole numbers."""
    found: Times = run.states.column(f"key.{key}").to_numpy(zero_copy_only=False)
    return found


def rows_where(run: Partial, flags: Flags) -> Partial:
    """Some rows of a run."""
    if flags.all():
        return run
    return Partial(run.schema, run.states.filter(pa.array(flags)))
