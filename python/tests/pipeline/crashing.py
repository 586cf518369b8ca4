"""A pipeline, run by itself so that it can be killed: `crashing.py DIRECTORY`.

`run.json` in the directory says which one it is; the pipeline remembers in `ledger`. It says on the
standard output that it `begins`, and with a sink of Kafka that it has `opened` that, and by which
threads it is spoken to; after each it waits for a line, or the end, of the standard input.
"""

from __future__ import annotations

import ctypes
import os
import sys
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa

from shoal import batch, source
from shoal.errors import ShoalError
from shoal.pipeline import Options, Pipeline, tumbling

COLUMNS = pa.schema(
    {
        "time": pa.timestamp("us", "UTC"),
        "key": pa.int64(),
        "value": pa.int64(),
        "id": pa.int64(),
    }
)
FILE = "run.json"
# Source: Linux, include/uapi/linux/prctl.h
PR_SET_PTRACER = 0x59616D61
# What a model of four numbers is asked about a window.
ASKED = {"x": ("count", "sum_value", "min_value", "max_value")}


class Run(msgspec.Struct, frozen=True):
    """What runs.

    Attributes:
        kind: `records` (each goes through by itself) or `windows`.
        epoch_bytes: Most bytes of an epoch.
        rows: How many records a topic has, after which the run is over.
        servers: Where Kafka is.
        taken: The topic that is read; without one, the files of `in`.
        given: The topic that is written to.
        conninfo: Where PostgreSQL is.
        table: Its table that is written to; without one or a topic, files of `out`.
        package: The model that answers windows.
        retry_seconds: How long it tries again what may pass.
    """

    kind: str
    epoch_bytes: int = 4_000
    rows: int = 0
    servers: str = ""
    taken: str = ""
    given: str = ""
    conninfo: str = ""
    table: str = ""
    package: str = ""
    retry_seconds: float = 60.0

    def write(self, directory: Path) -> None:
        """Says in a directory what is to run there."""
        (directory / FILE).write_bytes(msgspec.json.encode(self))

    @classmethod
    def read(cls, directory: Path) -> Run:
        """What is to run in a directory."""
        return msgspec.json.decode((directory / FILE).read_bytes(), type=cls)

    def pipeline(self, directory: Path) -> Pipeline:
        """The pipeline."""
        pipeline = Pipeline(self._source(directory)).filter("tests.pipeline.steps:positive")
        if self.taken:
            pipeline = pipeline.map("tests.pipeline.steps:without_key")
        if self.kind == "windows":
            keyed = pipeline.key_by("key").window(tumbling("10s"), on="time", lateness="1s")
            columns = (batch.sum("value"), batch.min("value"), batch.max("value"))
            pipeline = keyed.aggregate(batch.count(), *columns)
        if self.package:
            pipeline = pipeline.map(Path(self.package), columns=ASKED)
        return pipeline.to(self._sink(directory))

    def _source(self, directory: Path) -> Any:
        if self.taken:
            return source.KafkaSource(self.servers, self.taken, columns=COLUMNS)
        return source.FileSource(directory / "in")

    def _sink(self, directory: Path) -> Any:
        if self.given:
            return source.KafkaSink(self.servers, self.given)
        if self.table:
            return source.PostgresSink(self.conninfo, self.table)
        return source.ParquetSink(source.folder(str(directory / "out")))


def announce(sink: Any) -> None:
    """Lets a sink say which threads came with its opening."""
    opened = sink.open

    def open_and_say(*arguments: Any) -> Any:
        before = threads()
        state = opened(*arguments)
        say("opened", *(f"{name}={task}" for task, name in threads() - before))
        return state

    sink.open = open_and_say


def threads() -> set[tuple[str, str]]:
    """The threads of this process, and what they are called."""
    tasks = Path("/proc/self/task").iterdir()
    return {(task.name, (task / "comm").read_text().strip()) for task in tasks}


def say(*words: object) -> None:
    """Says how far it is, and waits for a line."""
    sys.stdout.write(" ".join(map(str, words)) + "\n")
    sys.stdout.flush()
    sys.stdin.readline()


def let_trace() -> None:
    """Lets a process trace this one that is not its parent, where the system asks for that."""
    ctypes.CDLL(None).prctl(PR_SET_PTRACER, ctypes.c_ulong(-1), 0, 0, 0)


def main() -> None:
    """Runs it; says on the standard error, in one write that is no `write`, what ended it."""
    let_trace()
    directory = Path(sys.argv[1])
    run = Run.read(directory)
    pipeline = run.pipeline(directory)
    if run.given:
        announce(pipeline.sink)
    say("begins")
    try:
        go_through(run, pipeline, directory / "ledger")
    except ShoalError as error:
        os.writev(sys.stderr.fileno(), [f"{error.code}: {error}\n".encode()])
        sys.exit(1)


def go_through(run: Run, pipeline: Pipeline, ledger: Path) -> None:
    """Runs it, until all records have come through."""
    options = Options(
        workers=2, epoch_bytes=run.epoch_bytes, error_rate=1.0, retry_seconds=run.retry_seconds
    )
    if not run.taken:
        pipeline.run(ledger, options=options)
        return
    with pipeline.start(ledger, options=options) as running:
        while running.totals[0] < run.rows and not running.wait(0.01):
            pass


if __name__ == "__main__":
    main()
