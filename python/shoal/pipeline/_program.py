"""What a pipeline does, bound to the columns of its source: steps, aggregates, steps, ...

    source -> head -> aggregate -> tail -> aggregate -> tail -> sink

- Everything that can be refused is refused here, before the first record.
- The **fingerprint** is a digest of all that decides the answers: names and source of functions,
  digests of packages and tables, keys, windows, merges, and the columns of the source. Where
  records come from and go to is not part of it.
- Text files say moments in more than one way. They are read by what the package takes that is
  mapped first, on the columns of the source: as `score` reads them. Behind other steps the source
  has to be told.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import msgspec

from shoal.batch import Merge, nanoseconds
from shoal.errors import InvalidRequestError, MissingColumnError
from shoal.pipeline._event_time._aggregates import WINDOW_END, Aggregate
from shoal.pipeline._event_time._windows import Whole, Window
from shoal.pipeline._mapping import Plan
from shoal.pipeline._steps import Answer
from shoal.source import FileSource

if TYPE_CHECKING:
    import datetime
    from collections.abc import Sequence

    import pyarrow as pa

    from shoal.pipeline._steps import Step
    from shoal.source import Source


@dataclass(frozen=True)
class Gather:
    """An aggregate as it was asked for."""

    merges: tuple[Merge, ...]
    keys: tuple[str, ...]
    window: Window
    time: str | None
    lateness_us: int


Stage: TypeAlias = "Step | Gather"


class Segment:
    """Steps that one micro-batch goes through, one after the other."""

    def __init__(self, steps: Sequence[Step]) -> None:
        self.steps = tuple(steps)

    def bind(self, schema: pa.Schema, workers: int) -> pa.Schema:
        """Takes the columns that come in; gives those that go out."""
        for step in self.steps:
            schema = step.bind(schema, workers)
        return schema

    def __call__(self, records: pa.RecordBatch) -> pa.RecordBatch:
        """What becomes of records."""
        for step in self.steps:
            records = step(records)
        return records


@dataclass(frozen=True)
class Part:
    """An aggregate and what its answers go through."""

    aggregate: Aggregate
    zone: str | None
    tail: Segment


class Program:
    """What a pipeline does."""

    def __init__(self, stages: Sequence[Stage], source: pa.Schema, workers: int) -> None:
        """Binds all to the columns of the source.

        Raises:
            ShoalError: a stage cannot work with the columns that reach it.
        """
        self.head, *rest = _segments(stages)
        gathers = [stage for stage in stages if isinstance(stage, Gather)]
        schema = self.head.bind(source, workers)
        self.parts: list[Part] = []
        for gather, tail in zip(gathers, rest, strict=True):
            aggregate = _aggregate(gather, schema, is_first=not self.parts)
            zone = aggregate.zone(schema)
            schema = tail.bind(aggregate.schema(schema), workers)
            self.parts.append(Part(aggregate, zone, tail))
        self.schema = schema
        self.lateness_us = gathers[0].lateness_us if gathers else 0
        self.needs_end = any(isinstance(each.window, Whole) for each in gathers)
        self._described = [str(source.remove_metadata()), *self._describe()]

    @property
    def fingerprint(self) -> str:
        """A digest of all that decides the answers."""
        said = msgspec.json.encode(self._described, order="deterministic")
        return f"sha256:{hashlib.sha256(said).hexdigest()}"

    @property
    def description(self) -> str:
        """What the fingerprint is of, as JSON."""
        return msgspec.json.encode(self._described, order="deterministic").decode()

    @property
    def aggregates(self) -> str:
        """What decides the state, as JSON."""
        said = [part.aggregate.describe() for part in self.parts]
        return msgspec.json.encode(said, order="deterministic").decode()

    def _describe(self) -> list[object]:
        found: list[object] = [step.describe() for step in self.head.steps]
        for part in self.parts:
            found.append(part.aggregate.describe())
            found += [step.describe() for step in part.tail.steps]
        return [*found, self.lateness_us]


def told(source: Source, stages: Sequence[Stage]) -> Source:
    """The source, with the moments that the first stage takes of it, where that is a package.

    Raises:
        InvalidRequestError: the package has no input of a name that is given columns.
    """
    first = stages[0] if stages else None
    if not (isinstance(source, FileSource) and isinstance(first, Answer)):
        return source
    moments = Plan(first.package, first.columns, first.keep).moments()
    return source.with_moments(moments) if moments else source


def check_durable(stages: Sequence[Stage]) -> None:
    """Whether another process would find all functions again.

    Raises:
        InvalidRequestError: one is a lambda or a closure.
    """
    for stage in stages:
        if not isinstance(stage, Gather):
            stage.check_durable()


def lateness_us(length: str | datetime.timedelta | None) -> int:
    """How much later than others a record may come.

    Raises:
        InvalidRequestError: it is no length of time.
    """
    return 0 if length is None else nanoseconds(length) // 1_000


def _segments(stages: Sequence[Stage]) -> list[Segment]:
    found: list[list[Step]] = [[]]
    for stage in stages:
        if isinstance(stage, Gather):
            found.append([])
        else:
            found[-1].append(stage)
    return [Segment(steps) for steps in found]


def _aggregate(gather: Gather, schema: pa.Schema, *, is_first: bool) -> Aggregate:
    time = gather.time
    if isinstance(gather.window, Whole):
        time = None
    elif not is_first:
        time = _window_end(gather, schema)
    elif time is None:
        message = "a window needs the time of each record"
        raise InvalidRequestError(message, hint="Say its column: window(..., on='event_time').")
    for name in (*gather.keys, *([time] if time else [])):
        if name not in schema.names:
            message = f"there is no column {name!r}, only {', '.join(schema.names)}"
            raise MissingColumnError(message)
    return Aggregate(gather.merges, keys=gather.keys, window=gather.window, time=time)


def _window_end(gather: Gather, schema: pa.Schema) -> str:
    if gather.time not in {None, WINDOW_END} or gather.lateness_us:
        message = "a window over answers of windows takes the end of those for its time"
        raise InvalidRequestError(message, hint="Leave out `on` and `lateness`.")
    if WINDOW_END not in schema.names:
        message = f"the column {WINDOW_END!r} of the windows before is not there any more"
        raise MissingColumnError(message, hint="Let the functions in between keep it.")
    return WINDOW_END
