"""The engines: each is a process that lives through the whole run, so that it is measured warm.

- `shoal`: the pipelines of `_queries`, with a ledger, into a folder of Parquet files.
- `spark`: the same queries by Spark Structured Streaming, which takes all files that are there
  (`availableNow`), with a checkpoint, into a folder of Parquet files.
- `spark batch`: the same queries by Spark, at once and without anything to go on from.

All have the same two cores, and what is written by one is removed before another has its turn.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from benchmarks.serve._environments import peer_python
from benchmarks.serve._failure import BenchmarkError
from benchmarks.serve._machine import cpu_times
from benchmarks.serve._processes import Program, started
from benchmarks.streams._figures import Turn
from benchmarks.streams._spark_sql import SQL
from tools.machine import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.serve._processes import Running
    from benchmarks.streams._answers import Oracle
    from benchmarks.streams._places import Events

HERE = Path(__file__).parent
CORES = 2
READY_WITHIN_S, ANSWERED_WITHIN_S = 120.0, 1800.0
SHOAL, STREAM, BATCH = "shoal", "spark", "spark batch"
ENGINES = (SHOAL, STREAM, BATCH)
# Of 250,000 events each: micro-batches of the size that Shoal's epochs have. With one file or all
# of them, Spark was slower.
FILES_OF_A_MICRO_BATCH = 4
# Queries that keep nothing: Spark has no window to close.
WITHOUT_WINDOWS = frozenset({"q0", "q1", "q2"})


class Engines(NamedTuple):
    """The two processes, what they said when they were ready, and a place for what they write."""

    running: dict[str, Running]
    java: str
    place: Path

    def turn(self, engine: str, query: str, events: Events, *, oracle: Oracle | None) -> Turn:
        """Lets an engine answer a query; with an oracle, compares the answers.

        Raises:
            BenchmarkError: It failed, or answered something else than DuckDB.
        """
        output = self.place / "answers"
        task = _task(engine, query, events, output)
        process = self.running[SHOAL if engine == SHOAL else STREAM]
        os.sync()  # nobody pays for what another one wrote
        before, cpu_s, all_cpu_s = cpu_times(), process.cpu_s(), self._cpu_s()
        said = json.loads(process.answer(json.dumps(task), ANSWERED_WITHIN_S))
        after, all_cpu_s = cpu_times(), self._cpu_s() - all_cpu_s
        cpu_s = process.cpu_s() - cpu_s
        if oracle is not None and (found := oracle.differences(query, output)):
            raise BenchmarkError(f"{engine} answers {query} otherwise than DuckDB: {found[:3]}")
        shutil.rmtree(output)
        others_s = max(after.busy_s - before.busy_s - all_cpu_s, 0.0)
        total_s = max(after.total_s - before.total_s, 1e-9)
        return Turn(engine, query, said["seconds"], cpu_s, others_s / total_s)

    def memory_bytes(self) -> dict[str, int]:
        """What the processes hold now."""
        return {name: each.memory().resident_bytes for name, each in self.running.items()}

    def _cpu_s(self) -> float:
        return sum(each.cpu_s() for each in self.running.values())


def shoal_program(place: Path) -> Program:
    """Shoal, which keeps its ledgers in a place."""
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    command = (sys.executable, "-m", "benchmarks.streams._shoal", str(place))
    return Program(command, {"PYTHONPATH": path}, announces=True, listens=True)


@contextmanager
def engines(place: Path) -> Iterator[Engines]:
    """Starts both, and ends them."""
    cores = sorted(os.sched_getaffinity(0))[:CORES]
    spark = (peer_python("spark", HERE), str(HERE / "peers" / "spark" / "server.py"), str(place))
    programs = {SHOAL: shoal_program(place), STREAM: Program(spark, announces=True, listens=True)}
    with ExitStack() as opened:
        running = {
            name: opened.enter_context(started(program, cores=cores, log=place / f"{name}.log"))
            for name, program in programs.items()
        }
        ready = {
            name: json.loads(each.first_line(READY_WITHIN_S)) for name, each in running.items()
        }
        yield Engines(running, ready[STREAM]["java"], place)


def _task(engine: str, query: str, events: Events, output: Path) -> dict[str, Any]:
    if engine == SHOAL:
        return {"query": query, "events": str(events.folder), "output": str(output)}
    is_stream = engine == STREAM
    is_ended = is_stream and query not in WITHOUT_WINDOWS
    return {
        "sql": SQL[query],
        "events": str(events.ended if is_ended else events.folder),
        "ads": None if events.ads is None else str(events.ads),
        "time": events.time,
        "lateness": events.lateness,
        "output": str(output),
        "files_per_trigger": FILES_OF_A_MICRO_BATCH if is_stream else None,
    }
