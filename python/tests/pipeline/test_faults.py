"""What a pipeline needs is gone, full or there twice: nothing is lost, and nothing comes twice.

Brokers, databases, processes and system calls are real; where a disk is full, the system is made to
say so (`strace`).
"""

from __future__ import annotations

import json
import shutil
import signal
import time
import uuid
from contextlib import suppress
from datetime import UTC, datetime
from itertools import count
from threading import Thread
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest

from shoal import batch
from shoal.errors import ConflictError, SinkError
from shoal.pipeline import Ledger, Options, Pipeline, read_status, tumbling
from shoal.source import KafkaSource, ParquetSink, PostgresSink, RateSource, folder
from tests.conftest import PROVE_SCALE
from tests.pipeline.conftest import read
from tests.pipeline.crashing import COLUMNS, Run
from tests.pipeline.killing import Way, finish, places
from tests.pipeline.parts import Memory
from tests.pipeline.streams import KEYS, sent, values
from tests.services import until

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from shoal.pipeline import Running
    from tests.pipeline.killing import Killer
    from tests.services.kafka import Broker
    from tests.services.postgres import Postgres

pytest_plugins = ["tests.services.postgres"]

OPTIONS = Options(workers=2)
AWAY_SECONDS = 3.0 if PROVE_SCALE == 1 else 30.0
RATE = 500
START = datetime(2026, 1, 1, tzinfo=UTC)
# Calls that write to files, and to the ledger.
WRITES, PAGES = "write", "pwrite64,ftruncate"
pytestmark = pytest.mark.timeout(7200)


def from_topic_to_topic(kafka: Broker, taken: str) -> Run:
    return Run("records", servers=kafka.bootstrap, taken=taken, given=kafka.topic())


def seen(kafka: Broker, topic: str, partition: int = 0) -> list[dict[str, Any]]:
    return [json.loads(each.value() or b"") for each in kafka.committed(topic, partition)]


def check_topics(kafka: Broker, run: Run) -> None:
    """Each record that was committed to the one topic is once in the other, if it goes through."""
    taken = [row for partition in (0, 1) for row in seen(kafka, run.taken, partition)]
    expected = sorted((row["id"], row["value"]) for row in taken if row["value"] > 0)
    assert sorted((row["id"], row["value"]) for row in seen(kafka, run.given)) == expected
    assert len(expected) > 100


def takes(running: Running, rows: int) -> None:
    """Waits until so many records were taken; raises what ended the pipeline."""
    until(lambda: running.wait(0.01) or running.totals[0] >= rows, f"{rows} records", 90)


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_a_broker_that_is_restarted_is_waited_for(
    how: signal.Signals, kafka: Broker, tmp_path: Path
) -> None:
    run = from_topic_to_topic(kafka, sent(kafka, 200, partitions=2))
    with run.pipeline(tmp_path).start(tmp_path / "ledger", options=OPTIONS) as running:
        takes(running, 100)
        more = Thread(target=kafka.send, args=(run.taken, values(range(200, 400))))
        kafka.stop(how)
        more.start()  # they are sent while it is away
        kafka.start()
        more.join()
        kafka.send(run.taken, values(range(400, 500)), partition=1)
        takes(running, 500)
    check_topics(kafka, run)


class Table:
    """A table that a steady stream of numbers is written to."""

    def __init__(self, server: Postgres) -> None:
        self.server = server
        self.name = f"t {uuid.uuid4().hex}"

    def pipeline(self, *, retry_seconds: float = 60.0) -> Pipeline:
        sink = PostgresSink(self.server.conninfo, self.name, retry_seconds=retry_seconds)
        return Pipeline(RateSource(RATE, start=START)).to(sink)

    def check(self, rows: int) -> None:
        """Each number is there once, from the first one on, without a gap."""
        found = self.server.query(f'select value from "{self.name}" order by value')
        assert [value for (value,) in found] == list(range(rows))
        assert rows > 0


@pytest.fixture
def table(postgres: Postgres) -> Table:
    return Table(postgres)


def test_a_database_that_is_away_for_a_while_is_waited_for(table: Table, tmp_path: Path) -> None:
    with table.pipeline().start(tmp_path, options=OPTIONS) as running:
        takes(running, RATE // 2)
        table.server.stop()
        began = time.monotonic()
        until(lambda: time.monotonic() > began + AWAY_SECONDS, "the time", 2 * AWAY_SECONDS)
        table.server.start()
        takes(running, int(RATE * AWAY_SECONDS))
    table.check(read_status(tmp_path).rows_out)


def test_a_database_that_stays_away_ends_the_run_and_it_goes_on_later(
    table: Table, tmp_path: Path
) -> None:
    options = Options(workers=2, retry_seconds=0.5)
    running = table.pipeline(retry_seconds=0.2).start(tmp_path, options=options)
    takes(running, RATE // 4)
    table.server.stop()
    with pytest.raises(SinkError, match=r"table public.* cannot be written"), running:
        running.wait(30)
    table.server.start()
    taken = read_status(tmp_path).rows_in
    with table.pipeline().start(tmp_path, options=OPTIONS) as running:
        takes(running, taken + RATE // 4)
    table.check(read_status(tmp_path).rows_out)


@pytest.fixture(scope="module")
def windows(files: Path, tmp_path_factory: pytest.TempPathFactory) -> Way:
    """From files through windows to Parquet; what is full is soon given up."""

    def begin(directory: Path) -> Run:
        (directory / "in").symlink_to(files)
        return Run("windows", retry_seconds=0.3)

    def rows(directory: Path, _run: Run) -> list[object]:
        return [list(row.values()) for row in read(directory / "out").to_pylist()]

    return Way(begin, rows).run_whole(tmp_path_factory.mktemp("whole") / "windows")


def full(calls: str, when: str, paths: Sequence[Path] = ()) -> list[str]:
    """Lets calls of each thread fail because the disk is full, of these paths alone if any."""
    within = [word for path in paths for word in ("-P", str(path))]
    return [*within, "-e", f"trace={calls}", "-e", f"inject={calls}:error=ENOSPC:when={when}"]


def test_a_full_disk_under_the_ledger_ends_the_run_and_it_goes_on_later(
    windows: Way, killer: Killer
) -> None:
    refusals = 0
    for place in sorted({1, *places(3, 40)}):
        directory = windows.prepared(killer.within / f"{place}")
        paths = [directory / "ledger" / name for name in ("ledger.db", "ledger.db-wal")]
        code, said = killer.refused(directory, full(PAGES, f"{place}+", paths))
        if code:
            assert said.startswith("pipeline_failed: the ledger")
            assert "full" in said
            finish(directory)
        windows.check(directory)
        refusals += code
        if not code:
            break
    assert refusals >= 3
    killer.counted(refusals)


def test_a_full_disk_under_a_sink_ends_the_run_and_it_goes_on_later(
    windows: Way, killer: Killer
) -> None:
    refusals = 0
    for place in sorted({1, *places(2, 8)}):
        directory = windows.prepared(killer.within / f"{place}")
        code, said = killer.refused(directory, full(WRITES, f"{place}+"))
        if code:
            assert said.startswith(("sink_failed: ", "source_failed: "))
            assert "No space left on device" in said
            finish(directory)
        windows.check(directory)
        refusals += code
        if not code:
            break
    assert refusals >= 3
    killer.counted(refusals)


def test_a_disk_that_is_full_for_a_while_is_waited_for(windows: Way, killer: Killer) -> None:
    directory = windows.prepared(killer.within / "run")
    code, said = killer.refused(directory, full(WRITES, "5..7"))
    assert (code, said) == (0, "")
    assert "ENOSPC" in killer.trace.read_text()
    windows.check(directory)


def test_a_clock_that_is_set_back_changes_nothing(
    windows: Way, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hours = count(10_000_000, -3600)
    monkeypatch.setattr("time.time", lambda: float(next(hours)))
    directory = windows.prepared(tmp_path / "run")
    Run.read(directory).pipeline(directory).run(directory / "ledger", options=OPTIONS)
    windows.check(directory)
    with Ledger.read(directory / "ledger") as ledger:
        times = [result.committed_at for _, result in ledger.results()]
    assert times == sorted(times)  # the newest first: the clock was asked, and went back


def test_records_at_a_steady_rate_wait_for_a_clock_that_was_set_back(tmp_path: Path) -> None:
    steps = iter([0.0, *(n / 10 for n in range(10)), *([-3600.0] * 5)])
    ends = count(1)
    source = RateSource(RATE, start=START, clock=lambda: next(steps, next(ends) / 10))
    sink = Memory()
    with Pipeline(source).to(sink).start(tmp_path, options=OPTIONS) as running:
        takes(running, 3 * RATE)
    numbers = [row["value"] for row in sink.rows()]
    assert numbers == list(range(len(numbers)))


def test_two_runs_with_copies_of_a_ledger_do_not_write_a_table_twice(
    table: Table, tmp_path: Path
) -> None:
    with table.pipeline().start(tmp_path / "one", options=OPTIONS) as running:
        takes(running, 10)
    shutil.copytree(tmp_path / "one", tmp_path / "two")
    runs = [table.pipeline().start(tmp_path / "one", options=OPTIONS)]
    with suppress(ConflictError):  # the second one may be refused at once
        runs.append(table.pipeline().start(tmp_path / "two", options=OPTIONS))
        until(lambda: any(has_conflict(running) for running in runs), "one of them is refused")
    refused = [is_refused(running) for running in runs]
    assert refused in ([False], [True, False], [False, True])
    table.check(max(read_status(tmp_path / name).rows_out for name in ("one", "two")))


def has_conflict(running: Running) -> bool:
    try:
        running.wait(0.01)
    except ConflictError:
        return True
    return False


def is_refused(running: Running) -> bool:
    """Stops a run; whether a conflict had ended it."""
    try:
        with running:
            return False
    except ConflictError:
        return True


def test_a_run_with_a_copy_of_a_ledger_shuts_the_first_out_of_a_topic(
    kafka: Broker, tmp_path: Path
) -> None:
    run = from_topic_to_topic(kafka, sent(kafka, 200, partitions=2))
    first = run.pipeline(tmp_path).start(tmp_path / "one", options=OPTIONS)
    takes(first, 200)
    shutil.copytree(tmp_path / "one", tmp_path / "two")
    with run.pipeline(tmp_path).start(tmp_path / "two", options=OPTIONS) as second:
        kafka.send(run.taken, values(range(200, 400)))
        takes(second, 400)
    with pytest.raises(ConflictError, match="another run"), first:
        first.wait(30)
    check_topics(kafka, run)


def test_topics_that_fall_silent_close_their_windows_and_a_late_burst_is_set_aside(
    kafka: Broker, tmp_path: Path
) -> None:
    """One of two partitions never brings anything, the other one stops."""
    topic = kafka.topic(2)
    kafka.send(topic, values(range(300)))
    sink = ParquetSink(folder(str(tmp_path / "out")))
    pipeline = (
        Pipeline(KafkaSource(kafka.bootstrap, topic, columns=COLUMNS))
        .key_by("key")
        .window(tumbling("1s"), on="time", lateness="100ms")
        .aggregate(batch.count())
        .to(sink)
    )
    options = Options(workers=2, idle_after_seconds=0.5, error_rate=1.0)
    with pipeline.start(tmp_path / "ledger", options=options) as running:
        until(lambda: counted(tmp_path / "out") == 300, "windows close though nothing comes", 30)
        kafka.send(topic, values(range(100)), partition=1)
        takes(running, 400)
    assert counted(tmp_path / "out") == 300
    status = read_status(tmp_path / "ledger")
    assert (status.rows_in, status.dead_letters) == (400, {"late": 100})
    assert status.rows_out <= 100 * KEYS


def counted(out: Path) -> int:
    """How many records the windows of a folder hold."""
    if not list(out.glob("*.parquet")):
        return 0
    total: int = pa.compute.sum(read(out)["count"]).as_py()
    return total
