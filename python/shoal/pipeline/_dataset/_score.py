"""Scores files with a package: each record is answered once, whatever happens on the way.

- The files are cut into **epochs**, ranges of about `EPOCH_BYTES`. Each is read, answered and
  written by one thread, while the model answers in others; several are under way at a time, and
  they are committed in order.
- Who reads does not wait for the disk: others see to it that what was written is durable.
- A run that was killed goes on behind its last epoch when it is called again with the same
  arguments. With others it is refused: the output would be half of one and half of the other.
- A record that cannot be read or answered ends the run, or goes to the folder of errors, by the
  same epochs: every record is either there or among the answers.
- Memory is bounded: `WINDOW_BYTES` of records under way, and a row group for each writer.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from threading import Event
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from shoal import package as packages
from shoal import source as sources
from shoal.errors import InvalidRequestError, UnavailableError
from shoal.pipeline._crew import Crew
from shoal.pipeline._dataset._memory import kept_memory
from shoal.pipeline._dataset._refusals import Refusals
from shoal.pipeline._isolate import Failed, isolated
from shoal.pipeline._mapping import Plan
from shoal.values import no_records

if TYPE_CHECKING:
    import pyarrow as pa

    from shoal.pipeline._dataset._refusals import Failures
    from shoal.source import (
        Files,
        Offset,
        ParquetSink,
        Part,
        Place,
        Placed,
        SinkState,
        Split,
        Token,
    )

EPOCH_BYTES = 64 << 20
EPOCH_ROWS = 1 << 20
WINDOW_BYTES = 16 << 20
# Part of what a run is: epochs of another size would not be those of an earlier version.
FORMAT = 1

Progress = Callable[[int, int, int], object]


@dataclass(frozen=True)
class Settings:
    """How files are scored.

    Attributes:
        columns: The columns that an input takes, where they do not have its name.
        keep: The columns that go along; None for all that the model does not take.
        errors: A folder for records that fail; None: the first one ends the run.
        workers: Threads that answer, each on a core; None for as many as there are cores.
        allow_code: Whether a package that runs Python code may.
        form: The format of the files, where their names do not say it.
    """

    columns: dict[str, tuple[str, ...]] = field(default_factory=dict)
    keep: Sequence[str] | None = None
    errors: str | os.PathLike[str] | None = None
    workers: int | None = None
    allow_code: bool = False
    form: str | None = None


class Report(msgspec.Struct, frozen=True):
    """How a run ended.

    Attributes:
        package: The digest of the package.
        output: The folder of the answers.
        rows: Records answered, those of earlier runs included.
        failed: Records that failed.
        rows_now: Records answered by this run.
        epochs: Ranges that were committed, by all runs.
        seconds: How long this run took.
    """

    package: str
    output: str
    rows: int
    failed: int
    rows_now: int
    epochs: int
    seconds: float


class Range(NamedTuple):
    """An epoch that is planned."""

    number: int
    start: Offset
    end: Offset
    split: Split


class Staged(NamedTuple):
    """What an epoch has made durable, and how many records it answered."""

    answers: Token
    failures: Token | None
    rows: int


def score(
    package: str | os.PathLike[str],
    input: str | os.PathLike[str],  # noqa: A002 - what it is
    output: str | os.PathLike[str],
    *,
    settings: Settings | None = None,
    progress: Progress | None = None,
) -> Report:
    """Answers every record of files, into a folder of Parquet files.

    Args:
        package: The directory of a package.
        input: A file, a folder or a pattern of Parquet, CSV or JSON lines.
        output: A folder that is not there yet, or that an earlier run with the same arguments left.
        settings: How.
        progress: Is told the bytes of input done, those there are, and the rows answered now.

    Returns:
        What was done. The answers stand beside their records in `part-*.parquet`, in the order of
        the input; `_manifest.json` lists the parts once all are there.

    Raises:
        InputError: the files, the columns or a record cannot be used.
        ConflictError: the output holds something else, or another process writes to it.
        ShoalError: the model failed, or a file could not be read or written.
    """
    chosen = settings or Settings()
    began = time.monotonic()
    with kept_memory():
        run = _Run(packages.open(package), str(input), str(output), chosen)
        try:
            run.all(progress or (lambda _done, _all, _rows: None))
            return run.report(time.monotonic() - began)
        finally:
            run.close()


class _Run:
    """One run: all is settled before the first record."""

    def __init__(
        self, package: packages.Package, where: str, output: str, settings: Settings
    ) -> None:
        self._package = package
        self._output = output
        self._settings = settings
        self._workers = _workers(settings.workers)
        self._plan = Plan(package, settings.columns, settings.keep)
        with ThreadPoolExecutor(1) as opener:  # while the files are looked through
            model = opener.submit(
                package.model, allow_code=settings.allow_code, workers=self._workers
            )
            self._look(where)
        self._model = model.result()
        self._model.predict(self._plan.asked(no_records(self._source.schema)))
        self._sink: ParquetSink = sources.ParquetSink(sources.folder(str(output)))
        self._refusals = Refusals(settings.errors)
        self._stopped = Event()
        self._rows = 0

    def _look(self, where: str) -> None:
        """Finds the files, and settles which of their columns are read."""
        found = sources.listing(where, form=self._settings.form)
        # Who reads also answers: while one waits for a store, another has to be there.
        self._readers = self._workers * (2 if found.is_remote else 1)
        self._source: Files = sources.Files(
            found, types=self._plan.types(), moments=self._plan.moments()
        )
        self._source.choose(self._plan.fit(self._source.schema))

    def all(self, progress: Progress) -> None:
        """Scores what is left."""
        state = self._sink.open(self._id(), self._plan.schema(self._source.schema))
        self._refusals.open(self._id())
        with (
            Crew(self._workers, WINDOW_BYTES) as crew,
            ThreadPoolExecutor(self._readers, thread_name_prefix="shoal-stage") as stagers,
            ThreadPoolExecutor(self._readers, thread_name_prefix="shoal-epoch") as readers,
        ):
            waiting: deque[tuple[Range, Future[Future[Staged]]]] = deque()
            try:
                for each in self._ranges(state):
                    waiting.append((each, readers.submit(self._write, crew, each, stagers)))
                    if len(waiting) > 2 * self._readers:
                        self._commit(*waiting.popleft(), progress)
                while waiting:
                    self._commit(*waiting.popleft(), progress)
            finally:
                self._give_up(waiting)

    def report(self, seconds: float) -> Report:
        """What was done, also by earlier runs."""
        epochs = sum(1 for _ in self._sink.epochs())
        about = {"package": self._package.digest, "model": self._package.name}
        failed = self._refusals.total()
        self._sink.finish({**about, "failed": failed})
        return Report(
            package=self._package.digest,
            output=self._output,
            rows=self._sink.rows(),
            failed=failed,
            rows_now=self._rows,
            epochs=epochs,
            seconds=round(seconds, 3),
        )

    def close(self) -> None:
        """Gives the folders back."""
        self._sink.close()
        self._refusals.close()

    def _id(self) -> str:
        """What makes this run this run: another one may not go on with its output."""
        settings = self._settings
        said = msgspec.json.encode(
            [
                (FORMAT, EPOCH_BYTES, EPOCH_ROWS, self._package.digest, self._source.listing),
                (settings.columns, settings.keep, settings.errors is None),
            ],
            enc_hook=list,
        )
        return f"sha256:{hashlib.sha256(said).hexdigest()}"

    def _ranges(self, state: SinkState | None) -> Iterator[Range]:
        number = state.epoch + 1 if state else 1
        start = state.end if state else self._source.initial()
        limit = sources.Limit(EPOCH_ROWS, EPOCH_BYTES)
        while True:
            end = self._source.latest(start, limit)
            splits = self._source.splits(start, end)
            if not splits and number > 1:
                return
            yield Range(number, start, end, splits[0] if splits else {"pieces": []})
            if not splits:
                return
            number, start = number + 1, end

    def _write(self, crew: Crew, each: Range, stagers: ThreadPoolExecutor) -> Future[Staged]:
        """Reads, answers and writes one epoch, in a thread of its own; another one stages it."""
        failures = self._refusals.of(each.number)
        part = self._sink.begin(each.number, stagers)
        rows = 0
        try:
            placed = self._read(each.split, failures)
            for place, pieces in crew.answers(placed, self._answer, _size):
                for piece in pieces:
                    if isinstance(piece, Failed):
                        failures.add_failed(place, piece)
                    else:
                        part.add(piece)
                        rows += piece.num_rows
            part.finish()
        except BaseException:
            part.abort()
            failures.abort()
            raise
        return stagers.submit(_stage, part, failures, rows)

    def _read(self, split: Split, failures: Failures) -> Iterator[Placed]:
        for placed in self._source.read_placed(split, failures.add):
            if self._stopped.is_set():
                raise UnavailableError("the run was given up")
            yield placed

    def _answer(self, placed: Placed) -> tuple[Place, list[pa.RecordBatch | Failed]]:
        place, batch = placed
        return place, list(isolated(self._answer_batch, batch))

    def _answer_batch(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        return self._plan.beside(batch, self._model.predict(self._plan.asked(batch)))

    def _commit(self, each: Range, written: Future[Future[Staged]], progress: Progress) -> None:
        done = written.result().result()
        self._refusals.commit(each.number, each.start, each.end, done.failures)
        self._sink.commit(each.number, each.start, each.end, [done.answers])
        self._rows += done.rows
        read = self._source.position_bytes(each.end)
        progress(read, self._source.listing.size_bytes, self._rows)

    def _give_up(self, waiting: deque[tuple[Range, Future[Future[Staged]]]]) -> None:
        """Throws away what was staged and will not be committed."""
        self._stopped.set()
        for each, written in waiting:
            if written.cancel() or written.exception() is not None:
                continue
            if (staged := written.result()).exception() is None:
                done = staged.result()
                self._sink.abort(each.number, [done.answers])
                self._refusals.abort(each.number, done.failures)


def _stage(part: Part, failures: Failures, rows: int) -> Staged:
    """Makes what an epoch has written durable."""
    try:
        return Staged(part.end(), failures.end(), rows)
    except BaseException:
        part.abort()
        failures.abort()
        raise


def _size(placed: Placed) -> int:
    size_bytes: int = placed[1].nbytes
    return size_bytes


def _workers(asked: int | None) -> int:
    if asked is None:
        return len(os.sched_getaffinity(0))
    if asked < 1:
        raise InvalidRequestError(f"workers is {asked}, expected a whole number from 1 up")
    return asked
