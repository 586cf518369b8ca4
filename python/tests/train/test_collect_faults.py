"""Whatever ends a collecting, a dataset is whole or not there; and memory stays bounded."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from shoal import train
from shoal.errors import ConflictError, CorruptPackageError
from tests.services import until

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[3]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT / "python")}

# Rows without end, from a database that is real. A shell that starts tests in the background has
# them, and what they start, ignore the interrupt.
ENDLESS = """
import signal, sys
from shoal import train
signal.signal(signal.SIGINT, signal.default_int_handler)
query = "with recursive rows(n) as (select 1 union all select n + 1 from rows) select n from rows"
train.collect(train.Sql("sqlite://", query), sys.argv[1])
"""


@pytest.fixture
def endless(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A collecting that has begun and does not end, into `tmp_path / "out"`."""
    command = [sys.executable, "-c", ENDLESS, str(tmp_path / "out")]
    process = subprocess.Popen(command, env=ENVIRONMENT, stderr=subprocess.PIPE)
    data = tmp_path / ".out.staged" / "data"
    until(data.is_dir, "the collecting writes")
    yield process
    if process.poll() is None:
        end(process, signal.SIGKILL)


def end(process: subprocess.Popen[bytes], how: signal.Signals) -> bytes:
    process.send_signal(how)
    _, said = process.communicate(timeout=30)
    return said


def test_a_killed_collecting_leaves_nothing_that_opens_and_the_next_one_succeeds(
    endless: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    end(endless, signal.SIGKILL)
    assert endless.returncode == -signal.SIGKILL
    assert [path.name for path in tmp_path.iterdir()] == [".out.staged"]
    with pytest.raises(CorruptPackageError):
        train.open_dataset(tmp_path / ".out.staged")
    dataset = train.collect({"x": np.arange(5)}, tmp_path / "out")
    dataset.verify()
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_an_interrupted_collecting_removes_what_it_has_written(
    endless: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    assert b"KeyboardInterrupt" in end(endless, signal.SIGINT)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("endless")
def test_two_at_a_time_into_one_place_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConflictError, match="another process is collecting into"):
        train.collect({"x": np.arange(5)}, tmp_path / "out")


WITH_SMALL_FILES = """
import resource, sys
from shoal import errors, train
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]),) * 2)
inputs = sys.argv[3:] if len(sys.argv) > 4 else sys.argv[3]
join = train.Join("id") if len(sys.argv) > 4 else None
try:
    train.collect(inputs, sys.argv[2], join=join)
except errors.SinkError as error:
    print(error, "|", error.hint)
"""


@pytest.mark.parametrize("limit_bytes", [0, 100, 5_000, 100_000])
@pytest.mark.parametrize("count", [1, 2])
def test_a_full_disk_is_a_named_error_and_leaves_nothing(
    tmp_path: Path, limit_bytes: int, count: int
) -> None:
    """In a process of its own: the limit holds for all files that a process writes."""
    values = np.random.default_rng(1).random(50_000)
    places = [tmp_path / f"{number}.parquet" for number in range(count)]
    for number, place in enumerate(places):
        pq.write_table(pa.table({"id": range(len(values)), f"x{number}": values}), place)
    out = tmp_path / "datasets" / "out"
    command = [sys.executable, "-W", "error", "-c", WITH_SMALL_FILES, str(limit_bytes), str(out)]
    done = subprocess.run(
        [*command, *map(str, places)], env=ENVIRONMENT, capture_output=True, text=True, check=True
    )
    assert "the dataset cannot be written to" in done.stdout
    assert "Free some space" in done.stdout
    assert done.stderr == ""
    assert list(out.parent.iterdir()) == []


PEAK = """
import json, resource, sys
from shoal import train
import shoal.train._collect._collect, shoal.train._collect._files_reader
import pyarrow as pa

def peak_bytes():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

train.collect({"id": __import__("numpy").arange(10)}, sys.argv[1] + "-warm")
before = peak_bytes()
dataset = train.collect(sys.argv[2:], sys.argv[1], join=train.Join("id"))
print(json.dumps([dataset.rows, peak_bytes() - before]))
"""
PEAK_LIMIT_BYTES = 200 << 20


def test_memory_does_not_grow_with_the_records(tmp_path: Path) -> None:
    rows, groups, width = 100_000, 10, 48
    chance = np.random.default_rng(1)
    columns = {f"x{number}": chance.integers(0, 9, rows) * 0.5 for number in range(width)}
    with pq.ParquetWriter(
        tmp_path / "a.parquet", pa.table({"id": range(rows), **columns}).schema
    ) as writer:
        for _ in range(groups):
            writer.write_table(pa.table({"id": range(rows), **columns}))
    other = pa.table({"id": range(rows), "text": [f"{n % 10}" * 100 for n in range(rows)]})
    pq.write_table(other, tmp_path / "b.parquet")
    inputs = [str(tmp_path / "a.parquet"), str(tmp_path / "b.parquet")]
    command = [sys.executable, "-c", PEAK, str(tmp_path / "out"), *inputs]
    done = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, check=True)
    found, peak_bytes = json.loads(done.stdout)
    assert found == rows * groups
    assert rows * groups * width * 8 > 1.5 * PEAK_LIMIT_BYTES
    assert peak_bytes < PEAK_LIMIT_BYTES


def test_a_collecting_changes_nothing_in_a_database(tmp_path: Path) -> None:
    place = tmp_path / "shop.db"
    with closing(sqlite3.connect(place)) as connection:
        connection.execute("create table t (n)")
        connection.execute("insert into t values (1)")
        connection.commit()
    before = place.read_bytes()
    train.collect(train.Sql(f"sqlite:///{place}", "select n from t"), tmp_path / "out")
    assert place.read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "shop.db"]
