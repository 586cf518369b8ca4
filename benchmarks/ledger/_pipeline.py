"""The pipeline: `python -m benchmarks.ledger._pipeline DIRECTORY EPOCHS`.

Says on standard output how many seconds went from the call to the first commit, and then, when all
is done, how long it took.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import numpy as np
import pyarrow as pa

from shoal import batch
from shoal.errors import ConflictError
from shoal.pipeline import Options, Pipeline, tumbling
from shoal.source import Guarantee, SinkState

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from shoal.source import Limit, Offset, Split, Token

ROWS, KEYS, SECOND = 10, 100, 1_000_000


class Counting:
    """Records by their number: ten for each epoch, a tenth of a second apart."""

    schema = pa.schema({"key": pa.int64(), "time": pa.timestamp("us"), "value": pa.float64()})
    replayable = True
    reads_ahead = False
    is_bounded = True

    def __init__(self, epochs: int) -> None:
        self._rows = epochs * ROWS

    def open(self, _directory: Path) -> None:
        """There is nothing to open."""

    def initial(self) -> Offset:
        """The first record."""
        return {"row": 0}

    def latest(self, start: Offset, _limit: Limit) -> Offset:
        """Ten more."""
        return {"row": min(start["row"] + ROWS, self._rows)}

    def partitions(self, _offset: Offset) -> Sequence[str]:
        """One."""
        return ("0",)

    def splits(self, start: Offset, end: Offset) -> Sequence[Split]:
        """The range."""
        return [{"partition": "0", "start": start["row"], "end": end["row"]}]

    def read(self, split: Split) -> Iterator[pa.RecordBatch]:
        """Its records."""
        numbers = np.arange(split["start"], split["end"])
        times = pa.array(numbers * SECOND // 10, pa.timestamp("us"))
        columns = [pa.array(numbers * 7 % KEYS), times, pa.array(numbers / 3)]
        yield pa.RecordBatch.from_arrays(columns, schema=self.schema)

    def lag_rows(self, end: Offset) -> int | None:
        """How many are left."""
        return self._rows - int(end["row"])

    def commit(self, end: Offset) -> None:
        """Nothing is kept."""

    def close(self) -> None:
        """Nothing is open."""


class Appending:
    """A file of lines: the epoch, where it ended, and how many records it had."""

    guarantee = Guarantee.TRANSACTIONAL
    least_commit_seconds = 0.0

    def __init__(self, path: Path) -> None:
        self._path = path
        self._last: SinkState | None = None
        self._file = path.open("a+b")

    def open(self, _pipeline_id: str, _schema: pa.Schema) -> SinkState | None:
        """The last whole line says where it is."""
        self._file.seek(max(self._path.stat().st_size - 1000, 0))
        lines = self._file.read().split(b"\n")
        if len(lines) > 1 and lines[-2]:
            epoch, end, _rows = msgspec.json.decode(lines[-2])
            self._last = SinkState(epoch, end)
        return self._last

    def write(self, _epoch: int, batches: Iterator[pa.RecordBatch]) -> Token:
        """Counts."""
        return {"rows": sum(records.num_rows for records in batches)}

    def commit(self, epoch: int, _start: Offset, end: Offset, tokens: Sequence[Token]) -> None:
        """One line, durable."""
        if self._last == SinkState(epoch, end):
            return
        if epoch != (self._last.epoch if self._last else 0) + 1:
            raise ConflictError(f"epoch {epoch} does not follow {self._last}")
        rows = sum(token["rows"] for token in tokens)
        self._file.write(msgspec.json.encode((epoch, end, rows)) + b"\n")
        self._file.flush()
        os.fsync(self._file.fileno())
        self._last = SinkState(epoch, end)

    def abort(self, epoch: int, tokens: Sequence[Token]) -> None:
        """Nothing was staged."""

    def close(self) -> None:
        """Closes the file."""
        self._file.close()


def main() -> None:
    directory, epochs = Path(sys.argv[1]), int(sys.argv[2])
    pipeline = (
        Pipeline(Counting(epochs))
        .key_by("key")
        .window(tumbling("1m"), on="time", lateness="5s")
        .aggregate(batch.count(), batch.sum("value"))
        .to(Appending(directory / "out.jsonl"))
    )
    began = time.perf_counter()
    is_first = True

    def told(_result: object) -> None:
        nonlocal is_first
        if is_first:
            print(time.perf_counter() - began, flush=True)
        is_first = False

    pipeline.run(directory / "ledger", options=Options(workers=1), progress=told)
    print(time.perf_counter() - began, flush=True)


if __name__ == "__main__":
    main()
