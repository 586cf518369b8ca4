"""A source and a sink in memory, which keep to the contract and remember across runs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from shoal.errors import ConflictError
from shoal.pipeline import Options
from shoal.source import Guarantee, SinkState

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path
    from threading import Event

    from shoal.pipeline import Pipeline
    from shoal.source import Limit, Offset, Split, Token

SECOND = 1_000_000


@dataclass
class FakeClock:
    """A clock that goes on when somebody waits."""

    seconds: float = 0.0

    def now_seconds(self) -> float:
        return self.seconds

    def wait(self, stopped: Event, seconds: float) -> bool:
        self.seconds += seconds
        return stopped.is_set()


@dataclass
class Partitions:
    """Records of several partitions, of which each epoch takes as many as `cuts` says."""

    records: Mapping[str, pa.RecordBatch]
    cuts: Sequence[Sequence[int]] = ()
    rows_of_a_batch: int = 1000
    is_bounded: bool = True
    replayable: bool = True
    reads_ahead: bool = False
    taken: int = 0
    seen: list[Offset] = field(default_factory=list)

    @property
    def schema(self) -> pa.Schema:
        return next(iter(self.records.values())).schema

    def open(self, _directory: Path) -> None:
        self.taken = 0

    def initial(self) -> Offset:
        return dict.fromkeys(self.records, 0)

    def latest(self, start: Offset, limit: Limit) -> Offset:
        end = start
        while end == start and self.taken <= len(self.cuts):
            is_cut = self.taken < len(self.cuts)
            sizes = self.cuts[self.taken] if is_cut else [limit.rows] * len(start)
            self.taken += 1
            end = {
                name: min(start[name] + size, records.num_rows)
                for (name, records), size in zip(self.records.items(), sizes, strict=True)
            }
        return end

    def partitions(self, offset: Offset) -> Sequence[str]:
        return [name for name, at in offset.items() if at < self.records[name].num_rows]

    def splits(self, start: Offset, end: Offset) -> Sequence[Split]:
        return [
            {"partition": name, "start": start[name], "end": end[name]}
            for name in self.records
            if end[name] > start[name]
        ]

    def read(self, split: Split) -> Iterator[pa.RecordBatch]:
        records = self.records[split["partition"]]
        for at in range(split["start"], split["end"], self.rows_of_a_batch):
            yield records.slice(at, min(self.rows_of_a_batch, split["end"] - at))

    def lag_rows(self, end: Offset) -> int | None:
        left = [records.num_rows - end[name] for name, records in self.records.items()]
        return int(sum(left))

    def commit(self, end: Offset) -> None:
        self.seen.append(end)

    def close(self) -> None:
        pass


@dataclass
class Memory:
    """A sink that keeps what was committed."""

    guarantee: Guarantee = Guarantee.TRANSACTIONAL
    least_commit_seconds: float = 0.0
    staged: dict[str, list[pa.RecordBatch]] = field(default_factory=dict)
    records: list[pa.RecordBatch] = field(default_factory=list)
    state: SinkState | None = None
    owner: str | None = None
    schema: pa.Schema = field(default_factory=lambda: pa.schema({}))

    def open(self, pipeline_id: str, schema: pa.Schema) -> SinkState | None:
        if self.owner not in {None, pipeline_id}:
            raise ConflictError("it belongs to another pipeline")
        self.owner, self.schema, self.staged = pipeline_id, schema, {}
        return self.state

    def write(self, epoch: int, batches: Iterator[pa.RecordBatch]) -> Token:
        name = f"{epoch}-{len(self.staged)}"
        self.staged[name] = list(batches)
        return {"name": name}

    def commit(self, epoch: int, start: Offset, end: Offset, tokens: Sequence[Token]) -> None:
        if self.state == SinkState(epoch, end):
            return
        last = 0 if self.state is None else self.state.epoch
        if epoch != last + 1 or (self.state is not None and self.state.end != start):
            message = f"epoch {epoch} from {start} does not follow {self.state}"
            raise ConflictError(message)
        for token in tokens:
            self.records += self.staged.pop(token["name"])
        self.state = SinkState(epoch, end)

    def abort(self, _epoch: int, tokens: Sequence[Token]) -> None:
        for token in tokens:
            self.staged.pop(token["name"], None)

    def close(self) -> None:
        pass

    def rows(self) -> list[dict[str, Any]]:
        return list(pa.Table.from_batches(self.records, self.schema).to_pylist())


def records(rows: int, start: int = 0) -> pa.RecordBatch:
    numbers = np.arange(start, start + rows)
    times = pa.array(numbers * SECOND, pa.timestamp("us"))
    return pa.RecordBatch.from_pydict({"value": numbers, "key": numbers % 2, "time": times})


def source(*parts: pa.RecordBatch, **more: Any) -> Partitions:
    return Partitions({f"p{n}": part for n, part in enumerate(parts or [records(10)])}, **more)


def run(pipeline: Pipeline, ledger: Path | None = None, **options: Any) -> list[dict[str, Any]]:
    sink = Memory()
    chosen = Options(**{"workers": 2, "clock": FakeClock(), **options})
    pipeline.to(sink).run(ledger, options=chosen)
    return sink.rows()


def values(rows: list[dict[str, Any]], name: str = "value") -> list[Any]:
    return [row[name] for row in rows]
