"""What happens to an epoch once its records are worked: in order, by one thread, exactly once.

1. What was lifted is applied to the state of the aggregates, and windows that close give answers.
2. The sink stages and commits them, with where the epoch ends. From here on the epoch has happened.
3. The ledger stores what the epoch came to, the state, the dead letters, and the next plan.

A crash before 2 leaves nothing that can be seen; one between 2 and 3 lets the epoch run again, with
the same records and the same watermark, and the sink finds that it has it. An epoch of which
nothing comes out leaves the sink alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from shoal.errors import PipelineError
from shoal.pipeline._event_time._state import State
from shoal.pipeline._isolate import Failed, isolated
from shoal.pipeline._ledger import Kept, Result, bytes_of, now_seconds
from shoal.pipeline._work import failed, late
from shoal.source import Place

if TYPE_CHECKING:
    from collections.abc import Sequence
    from concurrent.futures import Executor

    import pyarrow as pa

    from shoal.batch import Partial
    from shoal.pipeline._event_time._watermarks import Watermark
    from shoal.pipeline._ledger import DeadLetter, Ledger, Plan
    from shoal.pipeline._program import Part, Program
    from shoal.pipeline._work import Taken
    from shoal.source import Offset, Sink, Token

# Deltas are folded into a snapshot once they are larger than it, and than this.
LEAST_SNAPSHOT_BYTES = 64 << 10
# Records over which the share of those that fail is taken.
OBSERVED_ROWS = 1000


class Windows:
    """The state of one aggregate, and how much of it was written down since the last snapshot."""

    def __init__(self, number: int, part: Part, workers: int, executor: Executor | None) -> None:
        self.part = part
        self.state = State(part.aggregate, workers=workers, executor=executor)
        self._number = number
        self._snapshot_bytes = self._delta_bytes = 0

    def restore(self, ledger: Ledger) -> None:
        """Takes what the ledger keeps."""
        pieces: list[Partial] = []
        deltas: list[tuple[Partial, int, int]] = []
        for kind, before, after, partial in ledger.state(self._number):
            if kind == "snapshot":
                pieces.append(partial)
            else:
                deltas.append((partial, before, after))
        self.state.restore(pieces)
        for delta, before, after in deltas:
            self.state.apply(delta, before, after)

    def apply(
        self, deltas: Sequence[Partial], before: int, after: int
    ) -> tuple[pa.RecordBatch | None, list[Kept]]:
        """Applies what an epoch lifted.

        Returns:
            The answers of windows that close; and what is to be written down.
        """
        aggregate = self.part.aggregate
        delta = deltas[0] if len(deltas) == 1 else aggregate.paned.combine(deltas)
        closed = self.state.apply(delta, before, after)
        answers = None if closed is None else aggregate.answers(closed, self.part.zone)
        if not deltas and closed is None:
            return None, []
        return answers, self._written(delta, before, after)

    def _written(self, delta: Partial, before: int, after: int) -> list[Kept]:
        data = bytes_of(delta)
        self._delta_bytes += len(data)
        if self._delta_bytes <= max(LEAST_SNAPSHOT_BYTES, self._snapshot_bytes):
            return [Kept(self._number, "delta", before, after, data)]
        pieces = list(self.state.snapshot()) or [self.part.aggregate.paned.combine([])]
        stored = [bytes_of(piece) for piece in pieces]
        self._snapshot_bytes, self._delta_bytes = sum(map(len, stored)), 0
        return [Kept(self._number, "snapshot", before, after, each) for each in stored]


class Worth:
    """Whether too many records fail."""

    def __init__(self, error_rate: float) -> None:
        self._rate = error_rate
        self._rows = self._failed = 0.0

    def check(self, rows: int, dead: Sequence[DeadLetter]) -> None:
        """Counts an epoch.

        Raises:
            PipelineError: more than the allowed share of records failed.
        """
        failures = [each for each in dead if each.reason != "late"]
        self._rows += rows
        self._failed += sum(each.rows for each in failures)
        if self._failed > self._rate * max(self._rows, OBSERVED_ROWS):
            first = failures[0] if failures else None
            shown = f"; the last: {first.place}: {first.message}" if first else ""
            message = f"{self._failed:.0f} of {self._rows:.0f} records failed"
            hint = "Mend the cause and run again, or allow more (error_rate)."
            raise PipelineError(f"{message}, more than {self._rate:.1%}{shown}", hint=hint)
        if self._rows > OBSERVED_ROWS:  # older records count for less and less
            self._rows, self._failed = self._rows / 2, self._failed / 2


class Committer:
    """Commits epochs, one after the other."""

    def __init__(
        self, program: Program, sink: Sink, ledger: Ledger, windows: Sequence[Windows], worth: Worth
    ) -> None:
        self._program = program
        self._sink = sink
        self._ledger = ledger
        self._windows = windows
        self._worth = worth
        self.sink_epoch = 0
        self.sink_end: Offset = {}
        self.totals = (0, 0, 0)

    def apply(
        self, plan: Plan, taken: Sequence[Taken], before: Watermark, after: Watermark
    ) -> Staged:
        """Applies an epoch to the state.

        Raises:
            PipelineError: too many records failed.
        """
        staged = Staged(plan, after)
        staged.tokens += [each.token for each in taken if each.token is not None]
        staged.rows_in = sum(each.rows for each in taken)
        staged.rows_out = sum(each.rows_out for each in taken)
        staged.dead += [letter for each in taken for letter in each.dead]
        self._worth.check(staged.rows_in, staged.dead)
        deltas = [delta for each in taken for delta in each.deltas]
        staged.outputs = self._close(staged, deltas, before.at_us, after.at_us)
        return staged

    def show(self, staged: Staged) -> None:
        """Stages what windows answered, and commits all to the sink; may be repeated.

        Raises:
            SinkError: it could not be done.
        """
        if staged.outputs:
            token = self._sink.write(staged.plan.epoch, iter(staged.outputs))
            staged.tokens.append(token)
            staged.rows_out += sum(records.num_rows for records in staged.outputs)
            staged.outputs = []
        if staged.tokens:
            epoch, start = self.sink_epoch + 1, self.sink_end
            self._sink.commit(epoch, start, staged.plan.end, staged.tokens)

    def store(self, staged: Staged, seconds: float, following: Plan | None) -> Result:
        """Commits to the ledger."""
        if staged.tokens:
            self.sink_epoch, self.sink_end = self.sink_epoch + 1, staged.plan.end
        rows_dead = sum(letter.rows for letter in staged.dead)
        counts = (staged.rows_in, staged.rows_out, rows_dead)
        rows, out, dead = (total + count for total, count in zip(self.totals, counts, strict=True))
        result = Result(
            end=staged.plan.end,
            rows_in=staged.rows_in,
            rows_out=staged.rows_out,
            rows_dead=rows_dead,
            seconds=round(seconds, 6),
            watermark=staged.watermark,
            sink_epoch=self.sink_epoch,
            sink_end=self.sink_end,
            totals=(rows, out, dead),
            committed_at=now_seconds(),
        )
        self._ledger.commit(staged.plan, result, following, kept=staged.kept, dead=staged.dead)
        self.totals = result.totals
        return result

    def _close(
        self, staged: Staged, deltas: list[Partial], before: int, after: int
    ) -> list[pa.RecordBatch]:
        outputs: list[pa.RecordBatch] = []
        for windows in self._windows:
            if outputs or windows is not self._windows[0]:
                deltas = self._lifted(windows, staged, outputs, before)
            answers, kept = windows.apply(deltas, before, after)
            staged.kept += kept
            outputs = [] if answers is None else self._finished(windows.part, staged, answers)
        return outputs

    def _lifted(
        self, windows: Windows, staged: Staged, records: list[pa.RecordBatch], before: int
    ) -> list[Partial]:
        """What a further aggregate makes of the answers of the one before."""
        lifted = [windows.part.aggregate.lift(each, before) for each in records]
        place = Place("windows", "row", 0)
        for each in lifted:
            staged.dead += late(place, each.late, before)
        return [each.delta for each in lifted]

    def _finished(
        self, part: Part, staged: Staged, answers: pa.RecordBatch
    ) -> list[pa.RecordBatch]:
        found: list[pa.RecordBatch] = []
        for piece in isolated(part.tail, answers):
            if isinstance(piece, Failed):
                letter = failed(Place("windows", "row", 0), piece, can_return=False)
                staged.dead.append(letter)
            elif piece.num_rows:
                found.append(piece)
        return found


class Staged:
    """An epoch on its way to the sink."""

    def __init__(self, plan: Plan, watermark: Watermark) -> None:
        self.plan = plan
        self.watermark = watermark
        self.tokens: list[Token] = []
        self.kept: list[Kept] = []
        self.dead: list[DeadLetter] = []
        self.outputs: list[pa.RecordBatch] = []
        self.rows_in = self.rows_out = 0
