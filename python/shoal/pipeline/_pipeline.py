"""A pipeline: where records come from, what happens to them, and where they go.

    counts = (
        Pipeline(source)
        .filter("shop.rules:is_paid")
        .map("models/risk")
        .key_by("country")
        .window(tumbling("10s"), on="time", lateness="2s")
        .aggregate(batch.count(), batch.mean("risk"))
        .to(sink)
    )
    counts.run("counts.shoal")  # all that is there; or counts.start("counts.shoal")

- A pipeline is a description: each method gives a new one, and nothing happens before it runs.
- With a ledger it is **durable**: killed at any point it goes on where it was, and each record
  counts once, as far as its source and sink can promise. Its functions must then have names.
- A changed pipeline does not go on with the ledger of another: see `fingerprint` and `migrate`.
"""

from __future__ import annotations

import importlib
import inspect
import os
import tempfile
import time
import uuid
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any

import msgspec

from shoal import package as packages
from shoal.errors import ConflictError, InvalidRequestError
from shoal.pipeline._engine import Engine
from shoal.pipeline._event_time._windows import Whole
from shoal.pipeline._ledger import Ledger
from shoal.pipeline._metrics import Metrics
from shoal.pipeline._options import Options
from shoal.pipeline._program import Gather, Program, check_durable, lateness_us, told
from shoal.pipeline._shaping import Explode, Select
from shoal.pipeline._steps import Answer, Call, Filter, Lookup, Map
from shoal.source import Guarantee

if TYPE_CHECKING:
    import datetime
    from collections.abc import Callable, Mapping, Sequence
    from types import TracebackType
    from typing import Self

    import pyarrow as pa
    import pyarrow.compute as pc

    from shoal.batch import Merge
    from shoal.package import Package
    from shoal.pipeline._engine import Epoch
    from shoal.pipeline._event_time._windows import Window
    from shoal.pipeline._ledger import Result
    from shoal.pipeline._program import Stage
    from shoal.pipeline._steps import Function, Missing
    from shoal.source import Sink, Source


class Outcome(msgspec.Struct, frozen=True):
    """How a run ended.

    Attributes:
        rows_in: Records taken, those of earlier runs included.
        rows_out: Records given to the sink.
        rows_dead: Records set aside as dead letters.
        rows_now: Records taken by this run.
        epochs: Epochs committed, by all runs.
        seconds: How long this run took.
    """

    rows_in: int
    rows_out: int
    rows_dead: int
    rows_now: int
    epochs: int
    seconds: float


@dataclass(frozen=True)
class Pipeline:
    """What happens to the records of a source; see the module."""

    source: Source
    stages: tuple[Stage, ...] = ()
    keys: tuple[str, ...] = ()
    pending: Gather | None = None
    sink: Sink | None = None

    def map(
        self,
        what: Function | Package | os.PathLike[str],
        *,
        columns: Mapping[str, Sequence[str]] | None = None,
        keep: Sequence[str] | None = None,
        allow_code: bool = False,
        schema: pa.Schema | None = None,
    ) -> Pipeline:
        """Lets a function or a model answer each micro-batch.

        Args:
            what: A function, `module:object`, a package, or the directory of one.
            columns: Of a package: the columns that an input takes, where they have other names.
            keep: Of a package: the columns that go along; None for all that it does not take.
            allow_code: Whether a package that runs Python code may.
            schema: Of a function: the columns of its answers, where it cannot answer no records.

        Raises:
            ShoalError: there is no such function or package.
        """
        package = _package(what)
        if package is not None:
            return self._with(Answer(package, columns or {}, keep, allow_code))
        if columns is not None or keep is not None or allow_code:
            raise InvalidRequestError("columns, keep and allow_code are for packages")
        return self._with(Map(Call(what), schema))  # type: ignore[arg-type]  # no package

    def filter(self, condition: Function | pc.Expression) -> Pipeline:
        """Lets only those records go on for which a function or an Arrow expression is true."""
        import pyarrow.compute as pc

        chosen = condition if isinstance(condition, pc.Expression) else Call(condition)
        return self._with(Filter(chosen))

    def lookup(self, table: pa.Table, *, on: str, missing: Missing = "null") -> Pipeline:
        """Puts the columns of a table's row beside each record of the same key.

        Args:
            table: One row for each key; it is held in memory.
            on: The column of the key, in both.
            missing: What becomes of a record without a row: `null` columns, or `drop` it.
        """
        return self._with(Lookup(table, on, missing))

    def select(self, *columns: str, **renamed: str) -> Pipeline:
        """Keeps these columns alone, e.g. `select("price", seller="auction_seller")`."""
        return self._with(Select({name: name for name in columns} | renamed))

    def explode(self, column: str) -> Pipeline:
        """Makes a record of each element of a list; the fields of a struct become columns."""
        return self._with(Explode(column))

    def key_by(self, *columns: str) -> Pipeline:
        """Names the columns by which the next aggregate gathers records."""
        return replace(self, keys=columns)

    def window(
        self,
        window: Window,
        *,
        on: str | None = None,
        lateness: str | datetime.timedelta | None = None,
    ) -> Pipeline:
        """Lets the next aggregate gather the records of each window.

        Args:
            window: `tumbling`, `sliding` or `session`.
            on: The column of a record's time. Answers of windows have their `window_end`.
            lateness: How much later than the newest record of its partition one may come.
        """
        return replace(self, pending=Gather((), (), window, on, lateness_us(lateness)))

    def aggregate(self, *merges: Merge) -> Pipeline:
        """Answers with one record for each key and window.

        Its columns are the keys, `window_start` and `window_end`, and what the merges answer.
        Without a window, records are gathered until the source ends.
        """
        if not merges:
            raise InvalidRequestError("an aggregate needs a merge, such as shoal.batch.count()")
        asked = self.pending or Gather((), (), Whole(), None, 0)
        stage = replace(asked, merges=merges, keys=self.keys)
        return replace(self, stages=(*self.stages, stage), keys=(), pending=None)

    def to(self, sink: Sink) -> Pipeline:
        """Names where records go."""
        return replace(self, sink=sink)

    def run(
        self,
        ledger: str | os.PathLike[str] | None = None,
        *,
        options: Options | None = None,
        progress: Callable[[Result], object] | None = None,
    ) -> Outcome:
        """Takes all records that are there, and ends.

        Args:
            ledger: The directory of the ledger; without one nothing is remembered.
            options: How.
            progress: Is told of each epoch that is committed.

        Raises:
            ConflictError: the ledger is another pipeline's, or another process has it.
            ShoalError: what ended it.
        """
        began = time.monotonic()
        with Running(self, ledger, options or Options(), progress) as running:
            before = running.totals[0]
            running.work(is_endless=False)
            rows_in, rows_out, rows_dead = running.totals
            return Outcome(
                rows_in=rows_in,
                rows_out=rows_out,
                rows_dead=rows_dead,
                rows_now=rows_in - before,
                epochs=running.epochs,
                seconds=round(time.monotonic() - began, 3),
            )

    def start(
        self,
        ledger: str | os.PathLike[str] | None = None,
        *,
        options: Options | None = None,
        progress: Callable[[Result], object] | None = None,
    ) -> Running:
        """Takes records as they come, in threads of its own, until it is stopped.

        Raises:
            ShoalError: it cannot start; what ends it later is raised by `Running.wait`.
        """
        running = Running(self, ledger, options or Options(), progress)
        running.begin()
        return running

    def migrate(self, ledger: str | os.PathLike[str], *, drop_state: bool = False) -> None:
        """Lets this pipeline go on with the ledger of another, from where that one was.

        Args:
            ledger: The directory of the ledger.
            drop_state: Forget what open windows hold; without it, the aggregates must be the same.

        Raises:
            ConflictError: the aggregates differ, or another process has the ledger.
        """
        with ExitStack() as opened:
            open_ledger = Ledger.open(Path(ledger))
            opened.callback(open_ledger.close)
            source = told(self.source, self.stages)
            opened.callback(source.close)
            source.open(Path(ledger) / SOURCE)
            program = Program(self.stages, source.schema, 1)
            about = open_ledger.about()
            if drop_state:
                open_ledger.forget_state()
            elif about.get("aggregates", program.aggregates) != program.aggregates:
                message = "the aggregates of the ledger are not those of the pipeline"
                hint = "Forget what open windows hold (--drop-state), or use a new ledger."
                raise ConflictError(message, hint=hint)
            open_ledger.set_about(**_identity(program))

    def _with(self, stage: Stage) -> Pipeline:
        if self.pending is not None:
            raise InvalidRequestError(
                "a window is followed by what is gathered in it", hint="Say .aggregate(...) next."
            )
        return replace(self, stages=(*self.stages, stage))


# Characters of a part that is shown.
SHOWN = 200
# The directory inside that of the ledger in which a source remembers what it must.
SOURCE = "source"


class Running:
    """A pipeline that runs; the end of a `with` block stops it."""

    def __init__(
        self,
        pipeline: Pipeline,
        ledger: str | os.PathLike[str] | None,
        options: Options,
        progress: Callable[[Result], object] | None,
    ) -> None:
        """Opens all parts.

        Raises:
            ShoalError: one of them cannot be used, or they do not go together.
        """
        if pipeline.sink is None:
            raise InvalidRequestError("the pipeline has no sink", hint="Say .to(sink) at its end.")
        self._progress = progress
        self._thread: Thread | None = None
        self._failure: BaseException | None = None
        self.totals = (0, 0, 0)
        self.epochs = 0
        with ExitStack() as opened:
            directory = _directory(ledger, opened)
            source = told(pipeline.source, pipeline.stages)
            if ledger is not None:
                check_durable(pipeline.stages)
            _check_promise(source, pipeline.sink, options, is_durable=ledger is not None)
            self._ledger = Ledger.open(directory)
            opened.callback(self._ledger.close)
            opened.callback(source.close)
            source.open(directory / SOURCE)
            program = Program(pipeline.stages, source.schema, options.threads)
            _check_ends(source, program)
            self._metrics = Metrics(options.metrics)
            opened.callback(self._metrics.close)
            opened.callback(pipeline.sink.close)
            self._engine = Engine(source, program, pipeline.sink, self._ledger, options)
            opened.callback(self._engine.close)
            self._engine.recover(_claimed(self._ledger, program))
            self._remember(self._ledger.last())
            self._opened = opened.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self.stop()
        try:
            if kind is None:
                self.wait()
        finally:
            self._join()
            self._opened.close()

    def work(self, *, is_endless: bool) -> None:
        """Runs in this thread."""
        self._engine.all(self._observe, is_endless=is_endless)

    def begin(self) -> None:
        """Runs in a thread of its own."""
        self._thread = Thread(target=self._run, name="shoal-pipeline")
        self._thread.start()

    def stop(self) -> None:
        """Takes no more records; what was taken is committed."""
        self._engine.stop()

    def wait(self, limit_seconds: float | None = None) -> bool:
        """Waits until it has ended, and says whether it has.

        Raises:
            ShoalError: what ended it.
        """
        if self._thread is not None:
            self._thread.join(limit_seconds)
        if self._failure is not None:
            raise self._failure
        return self._thread is None or not self._thread.is_alive()

    def _run(self) -> None:
        try:
            self.work(is_endless=True)
        except BaseException as error:  # noqa: BLE001 - raised again by `wait`
            self._failure = error

    def _join(self) -> None:
        if self._thread is not None:
            self._thread.join()

    def _observe(self, epoch: Epoch, result: Result) -> None:
        self._remember((epoch.plan.epoch, result))
        self._metrics.observe(result, self._engine)
        if self._progress is not None:
            self._progress(result)

    def _remember(self, last: tuple[int, Result] | None) -> None:
        if last is not None:
            self.epochs, self.totals = last[0], last[1].totals


def find_pipeline(name: str) -> object:
    """What stands at the top of a module under this name; a function is called for it.

    Raises:
        InvalidRequestError: there is nothing of that name.
    """
    module, _, attribute = name.partition(":")
    try:
        found = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        message = f"there is no pipeline {name!r}: {error}"
        raise InvalidRequestError(message, hint="Write it as module:pipeline.") from error
    return found() if inspect.isfunction(found) else found


def _package(what: Any) -> Package | None:
    if isinstance(what, packages.Package):
        return what
    if isinstance(what, os.PathLike) or (isinstance(what, str) and ":" not in what):
        return packages.open(what)
    return None


def _directory(ledger: str | os.PathLike[str] | None, opened: ExitStack) -> Path:
    if ledger is not None:
        return Path(ledger)
    return Path(opened.enter_context(tempfile.TemporaryDirectory(prefix="shoal-")))


def _check_promise(source: Source, sink: Sink, options: Options, *, is_durable: bool) -> None:
    """Refuses to promise what cannot be kept."""
    if not options.exactly_once:
        return
    weak = []
    if not is_durable:
        weak.append("there is no ledger")
    if not source.replayable:
        weak.append(f"{type(source).__name__} cannot be read again")
    if sink.guarantee is Guarantee.AT_LEAST_ONCE:
        weak.append(f"{type(sink).__name__} may store a record twice")
    if weak:
        message = f"records cannot be delivered exactly once: {'; '.join(weak)}"
        raise InvalidRequestError(message, hint="Leave exactly_once out, or use other parts.")


def _check_ends(source: Source, program: Program) -> None:
    """Refuses to wait for the end of what has none."""
    if program.needs_end and not source.is_bounded:
        message = "an aggregate without a window answers when its source ends, and this has no end"
        raise InvalidRequestError(message, hint="Give it a window: .window(tumbling('10s'), ...).")


def _identity(program: Program) -> dict[str, str]:
    return {
        "fingerprint": program.fingerprint,
        "pipeline": program.description,
        "aggregates": program.aggregates,
    }


def _claimed(ledger: Ledger, program: Program) -> str:
    """The id of the pipeline whose ledger this is."""
    about = ledger.about()
    if not about:
        identity = uuid.uuid4().hex
        ledger.set_about(id=identity, **_identity(program))
        return identity
    if about["fingerprint"] != program.fingerprint:
        message = "the ledger belongs to a pipeline that did something else"
        hint = "To go on from where it was: shoal pipeline migrate LEDGER MODULE:PIPELINE."
        raise ConflictError(f"{message}: {_difference(about['pipeline'], program)}", hint=hint)
    return about["id"]


def _difference(stored: str, program: Program) -> str:
    """The first part that differs."""
    before = msgspec.json.decode(stored)
    now = msgspec.json.decode(program.description)
    for old, new in zip(before, now, strict=False):
        if old != new:
            before_now = [msgspec.json.encode(each).decode()[:SHOWN] for each in (old, new)]
            return "it had {}, now it has {}".format(*before_now)
    return f"it had {len(before)} parts, now it has {len(now)}"
