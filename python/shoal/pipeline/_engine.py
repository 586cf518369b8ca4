"""The embedded engine: plans epochs, lets them be worked, and commits them in order.

Three threads' work overlaps: while one epoch is committed, the next is worked, and the one after it
is read. What decides the answers is settled in the plan of each epoch (see `_ledger`), so that
neither the overlap nor a crash shows in them.

Source: the log of offsets before and of commits after is that of Spark's micro-batch execution; the
sink that remembers the epoch is that of kafka-delta-ingest.
"""

from __future__ import annotations

from collections import deque
from concurrent.futures import ThreadPoolExecutor
from queue import Empty, Queue
from threading import Condition, Event, Thread
from typing import TYPE_CHECKING, NamedTuple

from shoal.errors import ConflictError, ShoalError
from shoal.pipeline._cadence import Cadence, Seen
from shoal.pipeline._commit import Committer, Windows, Worth
from shoal.pipeline._crew import Crew
from shoal.pipeline._event_time._watermarks import Idleness, Watermark
from shoal.pipeline._event_time._windows import END
from shoal.pipeline._ledger import Plan
from shoal.pipeline._retry import Retry
from shoal.pipeline._work import DEAD, Worker
from shoal.source import Guarantee, Limit

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from concurrent.futures import Future

    from shoal.pipeline._ledger import Ledger, Result
    from shoal.pipeline._options import Options
    from shoal.pipeline._program import Program
    from shoal.pipeline._retry import Clock
    from shoal.pipeline._work import Taken
    from shoal.source import Offset, Sink, SinkState, Source

    Observe = Callable[["Epoch", Result], object]

# Most records of an epoch, whatever their size.
EPOCH_ROWS = 1 << 20
# How long a commit waits for the next plan, to store both at once.
HANDOVER_SECONDS = 0.02
# How often a source that does not wait by itself is asked.
LEAST_POLL_SECONDS = 0.02
# Most that a source is let wait at a time.
MOST_WAIT_SECONDS = 1.0
# How long a source must have nothing new until a run over what is there now is over.
QUIET_SECONDS = 2.0
# A clock that stands for event time moves the watermark by steps of this at least.
CLOCK_STEP_US = 1_000_000


class Handover:
    """Gives the next plan to the commit before it, if that still waits for it."""

    def __init__(self) -> None:
        self._changed = Condition()
        self._is_open = True
        self._plan: Plan | None = None

    def offer(self, plan: Plan | None) -> bool:
        """Says the next plan, or that there is none yet; whether it will be stored."""
        with self._changed:
            was_open, self._is_open = self._is_open, False
            self._plan = plan if was_open else None
            self._changed.notify()
            return was_open

    def claim(self, limit_seconds: float) -> Plan | None:
        """What was offered, or None after that time; later offers are turned down."""
        with self._changed:
            self._changed.wait_for(lambda: not self._is_open, limit_seconds)
            self._is_open = False
            return self._plan


class Epoch(NamedTuple):
    """An epoch that is worked."""

    plan: Plan
    taken: list[Future[Taken]]
    before: Watermark
    began_seconds: float
    gathered_seconds: float
    handover: Handover
    is_stored: bool


class Engine:
    """One run of a pipeline. `all` and `stop` are its words; another thread may stop it.

    Attributes:
        lag_rows: How many records waited in the source when the last epoch was planned, if it knows
            and somebody may ask.
    """

    def __init__(
        self, source: Source, program: Program, sink: Sink, ledger: Ledger, options: Options
    ) -> None:
        self._source = source
        self._program = program
        self._sink = sink
        self._ledger = ledger
        self._options = options
        self._clock: Clock = options.clock
        self._stopped = Event()
        self._retry = Retry(options.retry_seconds, self._clock, self._stopped)
        self._cadence = Cadence(options.commit_every_seconds, sink.least_commit_seconds)
        self._crew = Crew(options.threads, self._cadence.window_bytes)
        self._readers = ThreadPoolExecutor(options.threads, thread_name_prefix="shoal-epoch")
        self._worker = Worker(source, program, sink, crew=self._crew, clock=self._clock)
        self._windows = [
            Windows(number, part, options.threads, self._crew.executor)
            for number, part in enumerate(program.parts)
        ]
        worth = Worth(options.error_rate)
        self._committer = Committer(program, sink, ledger, self._windows, worth)
        self._idleness = Idleness(options.idle_after_seconds, self._clock.now_seconds())
        self._position: Offset = {}
        self._epoch = 0
        self._watermark = Watermark()
        self._committed: deque[Offset] = deque()
        self._dead: tuple[int, ...] = ()
        self._recovered: Plan | None = None
        self._stored = 0
        self.lag_rows: int | None = None

    def recover(self, pipeline_id: str) -> None:
        """Takes up where an earlier run ended.

        Raises:
            ConflictError: the sink and the ledger tell different stories.
        """
        state = self._sink.open(pipeline_id, self._program.schema)
        last, self._recovered = self._ledger.last(), self._ledger.planned()
        initial = self._source.initial() if last is None else {}
        committer = self._committer
        self._position = committer.sink_end = initial
        if last is not None:
            self._epoch, result = last
            self._position, self._watermark = result.end, result.watermark
            committer.sink_epoch, committer.sink_end = result.sink_epoch, result.sink_end
            committer.totals = result.totals
            self._committed.append(result.end)  # the source may not have heard of it
        elif self._recovered is not None:
            self._position = committer.sink_end = self._recovered.start
        self._check_agrees(state, committer.sink_epoch)
        for windows in self._windows:
            windows.restore(self._ledger)
        wanted = self._ledger.wanted()
        self._worker.revived = {each.number: each.data for each in wanted if each.data}
        planned = () if self._recovered is None else self._recovered.dead
        self._dead = tuple(number for number in self._worker.revived if number not in planned)

    def all(self, observe: Observe, *, is_endless: bool) -> None:
        """Runs until the source has no more, or until it is stopped.

        Args:
            observe: Is told of each epoch that is committed.
            is_endless: Whether to wait for more where there is nothing new.

        Raises:
            ShoalError: what ended it.
        """
        epochs: Queue[Epoch | None] = Queue(self._options.epochs_in_flight)
        failures: list[BaseException] = []
        committing = Thread(
            target=self._commit_all, args=(epochs, observe, failures), name="shoal-commit"
        )
        committing.start()
        try:
            self._plan_all(epochs, is_endless=is_endless)
        except BaseException as error:  # noqa: BLE001 - raised again, unless it only follows
            failures.append(error)
            self._abandon()
        finally:
            epochs.put(None)
            committing.join()
        if failures:
            raise failures[0]  # those after it say that the run was given up

    def stop(self) -> None:
        """Plans nothing more; what is worked is committed, if it is ready."""
        self._stopped.set()

    @property
    def held_bytes(self) -> int:
        """Bytes that are read and not yet worked."""
        return self._crew.held_bytes

    @property
    def state_rows(self) -> int:
        """Rows of open windows."""
        return sum(windows.state.rows for windows in self._windows)

    def close(self) -> None:
        """Ends all threads."""
        self._readers.shutdown(wait=True, cancel_futures=True)
        self._crew.close()

    def _plan_all(self, epochs: Queue[Epoch | None], *, is_endless: bool) -> None:
        previous: Epoch | None = None
        quiet_since: float | None = None
        while not self._stopped.is_set():
            began = self._clock.now_seconds()
            if previous is not None and all(each.done() for each in previous.taken):
                self._settle(previous)
            plan = self._next_plan(is_endless=is_endless)
            if plan is None:
                if previous is not None:
                    previous.handover.offer(None)
                quiet_since = began if quiet_since is None else quiet_since
                if not is_endless and self._is_over(began - quiet_since):
                    break
                self._wait_for_more(began)
                continue
            quiet_since = None
            previous = self._submit(plan, previous, began)
            epochs.put(previous)
        if previous is not None:
            previous.handover.offer(None)
        if not is_endless and not self._stopped.is_set():
            self._finish(epochs, previous)

    def _next_plan(self, *, is_endless: bool) -> Plan | None:
        recovered, self._recovered = self._recovered, None
        if recovered is not None:
            self._stored = recovered.epoch
            self._take_position(recovered)
            return recovered
        while self._committed:
            self._source.commit(self._committed.popleft())
        start = self._position
        end = self._gathered(start) if is_endless else self._there(start)
        splits = tuple(self._source.splits(start, end)) if end != start else ()
        now = self._clock.now_seconds()
        by_clock = self._idleness.clock_us(self._watermark, now)
        if not splits and not self._dead and not self._is_clock_due(by_clock):
            return None
        splits += self._revived()
        partitions = sorted({*self._watermark.newest_us, *self._source.partitions(end)})
        plan = Plan(
            epoch=self._epoch + 1,
            start=start,
            end=end,
            splits=splits,
            awaited=self._idleness.awaited(partitions, now),
            at_least_us=by_clock,
            dead=self._dead,
        )
        self._take_position(plan)
        self._dead = ()
        return plan

    def _there(self, start: Offset) -> Offset:
        """Where an epoch ends of what is there now."""
        wait_seconds = 0.0 if self._source.is_bounded else QUIET_SECONDS
        return self._latest(start, wait_seconds)

    def _gathered(self, start: Offset) -> Offset:
        """Where an epoch ends that gathers for as long as an epoch does."""
        began = self._clock.now_seconds()
        gathers = self._cadence.interval_seconds
        if gathers > MOST_WAIT_SECONDS and self._epoch:  # stopping does not wait for a source
            self._clock.wait(self._stopped, gathers - MOST_WAIT_SECONDS)
        end = self._latest(start, min(gathers, MOST_WAIT_SECONDS))
        left = gathers - (self._clock.now_seconds() - began)
        if end == start or self._source.reads_ahead or left <= 0:
            return end
        self._clock.wait(self._stopped, min(left, MOST_WAIT_SECONDS))
        return self._latest(start, 0.0)

    def _latest(self, start: Offset, wait_seconds: float) -> Offset:
        size_bytes = self._options.epoch_bytes or self._cadence.window_bytes
        limit = Limit(EPOCH_ROWS, size_bytes, wait_seconds)
        return self._retry(lambda: self._source.latest(start, limit))

    def _take_position(self, plan: Plan) -> None:
        self._epoch, self._position = plan.epoch, plan.end
        delivering = {str(split.get("partition", "")) for split in plan.splits} - {DEAD}
        self._idleness.heard(delivering, self._clock.now_seconds())
        if self._options.metrics is not None:  # a source is asked by this thread alone
            self.lag_rows = self._source.lag_rows(plan.end)

    def _revived(self) -> tuple[dict[str, object], ...]:
        return ({"partition": DEAD, "numbers": list(self._dead)},) if self._dead else ()

    def _is_clock_due(self, by_clock_us: int) -> bool:
        is_due = by_clock_us >= self._watermark.at_us + CLOCK_STEP_US
        return is_due and self.state_rows > 0

    def _submit(self, plan: Plan, previous: Epoch | None, began_seconds: float) -> Epoch:
        is_stored = plan.epoch == self._stored
        if previous is not None:
            is_stored = previous.handover.offer(plan)
        if previous is not None and self._program.parts:
            self._settle(previous)
        before = self._watermark
        taken = [
            self._readers.submit(self._worker.take, plan, split, before.at_us, self._retry)
            for split in plan.splits
        ]
        gathered = self._clock.now_seconds() - began_seconds
        return Epoch(plan, taken, before, began_seconds, gathered, Handover(), is_stored)

    def _settle(self, epoch: Epoch) -> None:
        """Where the watermark stands after an epoch: its records must have been read."""
        self._watermark = self._after(epoch)

    def _after(self, epoch: Epoch) -> Watermark:
        if not self._program.parts:
            return epoch.before
        seen: dict[str, int] = {}
        for taken in (each.result() for each in epoch.taken):
            if taken.newest_us is not None and taken.partition != DEAD:
                seen[taken.partition] = max(
                    seen.get(taken.partition, taken.newest_us), taken.newest_us
                )
        return epoch.before.after(
            seen,
            awaited=epoch.plan.awaited,
            lateness_us=self._program.lateness_us,
            at_least_us=epoch.plan.at_least_us,
        )

    def _is_over(self, quiet_seconds: float) -> bool:
        return self._source.is_bounded or quiet_seconds >= QUIET_SECONDS

    def _wait_for_more(self, began_seconds: float) -> None:
        spent = self._clock.now_seconds() - began_seconds
        pause = max(self._cadence.interval_seconds, LEAST_POLL_SECONDS) - spent
        if pause > 0:
            self._clock.wait(self._stopped, pause)

    def _finish(self, epochs: Queue[Epoch | None], previous: Epoch | None) -> None:
        """The source has ended: all windows close."""
        if not self._program.parts or not self._source.is_bounded:
            return
        if previous is not None:
            self._settle(previous)
        if self._watermark.at_us >= END:
            return
        end = self._position
        plan = Plan(self._epoch + 1, end, end, (), at_least_us=END)
        epochs.put(self._submit(plan, None, self._clock.now_seconds()))

    def _commit_all(
        self, epochs: Queue[Epoch | None], observe: Observe, failures: list[BaseException]
    ) -> None:
        epoch: Epoch | None = None
        try:
            while (epoch := epochs.get()) is not None:
                self._commit(epoch, observe)
        except BaseException as error:  # noqa: BLE001 - raised again by `all`, in the caller's thread
            failures.append(error)
            self._abandon()
            self._unstage([epoch, *_drained(epochs)], failures)

    def _commit(self, epoch: Epoch, observe: Observe) -> None:
        taken = [each.result() for each in epoch.taken]
        working = self._clock.now_seconds()
        staged = self._committer.apply(epoch.plan, taken, epoch.before, self._after(epoch))
        if not epoch.is_stored:
            self._ledger.plan(epoch.plan)
        self._retry(lambda: self._committer.show(staged))
        shown = self._clock.now_seconds()
        following = epoch.handover.claim(HANDOVER_SECONDS)
        storing = self._clock.now_seconds()
        seconds = storing - epoch.began_seconds
        result = self._committer.store(staged, seconds, following)
        if staged.rows_in:
            committing = shown - working + self._clock.now_seconds() - storing
            self._learn(epoch, taken, committing)
        self._committed.append(epoch.plan.end)
        observe(epoch, result)

    def _learn(self, epoch: Epoch, taken: list[Taken], commit_seconds: float) -> None:
        """What the epoch took, without what it waited for: working and committing overlap."""
        seconds = [each.seconds for each in taken]
        work_seconds = max(*seconds, sum(seconds) / self._options.threads, 0.0)
        seen = Seen(epoch.gathered_seconds, max(work_seconds, commit_seconds))
        self._cadence.learn(seen, sum(each.size_bytes for each in taken))
        self._crew.limit(self._cadence.window_bytes)

    def _unstage(self, epochs: Sequence[Epoch | None], failures: list[BaseException]) -> None:
        """Throws away what was staged for epochs that were not committed.

        The first one may have been, if only the ledger failed: the sink knows, by its number.
        """
        taken = [each for epoch in epochs if epoch is not None for each in epoch.taken]
        done = [each.result() for each in taken if each.exception() is None]
        tokens = [each.token for each in done if each.token is not None]
        try:
            if tokens:
                self._sink.abort(self._committer.sink_epoch + 1, tokens)
        except ShoalError as error:
            failures.append(error)

    def _check_agrees(self, state: SinkState | None, sink_epoch: int) -> None:
        if self._sink.guarantee is not Guarantee.TRANSACTIONAL:
            return
        stored = 0 if state is None else state.epoch
        allowed = {sink_epoch} if self._recovered is None else {sink_epoch, sink_epoch + 1}
        if stored not in allowed:
            message = f"the sink ends with its epoch {stored}, the ledger with {sink_epoch}"
            hint = "One of them was replaced or restored from a copy; start anew with both empty."
            raise ConflictError(message, hint=hint)

    def _abandon(self) -> None:
        """Plans nothing more, and gives up what is worked."""
        self._worker.abandoned.set()
        self._stopped.set()


def _drained(epochs: Queue[Epoch | None]) -> list[Epoch]:
    """What is still planned, until whoever plans has come to its end."""
    found: list[Epoch] = []
    while True:
        try:
            epoch = epochs.get(timeout=0.05)
        except Empty:
            continue
        if epoch is None:
            return found
        epoch.handover.claim(0)
        found.append(epoch)
