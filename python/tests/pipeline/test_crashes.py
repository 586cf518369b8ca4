"""A pipeline that is killed anywhere goes on where it was: nothing lost, nothing twice."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from shoal.pipeline import Ledger
from tests.conftest import PROVE_SCALE, ROOT

if TYPE_CHECKING:
    from collections.abc import Callable

PROGRAM = Path(__file__).with_name("crashing.py")
KINDS = ("records", "windows")
CALLS = {
    "write": "write,pwrite64,ftruncate",
    "flush": "fsync,fdatasync",
    "name": "rename,renameat,renameat2,link,linkat,unlink,unlinkat",
}
FILES, ROWS = 6, 300
DEADLINE_S = 60.0
# In `just test` only so many places are tried; in `just prove` all of them.
PLACES = 4 if PROVE_SCALE == 1 else 10_000
RANDOM_KILLS = 3 if PROVE_SCALE == 1 else 50


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files of records, their times a little out of order."""
    folder = tmp_path_factory.mktemp("records") / "in"
    folder.mkdir()
    random_numbers = np.random.default_rng(3)
    for number in range(FILES):
        times = np.sort(random_numbers.integers(0, 20_000_000, ROWS)) + number * 20_000_000
        times += random_numbers.integers(0, 900_000, ROWS)
        columns = {
            "time": pa.array(times, pa.timestamp("us")),
            "key": random_numbers.integers(0, 5, ROWS),
            "value": random_numbers.integers(-20, 80, ROWS),
            "id": np.arange(ROWS) + number * ROWS,
        }
        pq.write_table(pa.table(columns), folder / f"{number}.parquet", row_group_size=100)
    return folder


def command(directory: Path, kind: str) -> list[str]:
    return [sys.executable, str(PROGRAM), str(directory), kind]


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": f"{ROOT / 'python'}"}


def finish(directory: Path, kind: str) -> None:
    subprocess.run(command(directory, kind), env=environment(), check=True, timeout=DEADLINE_S)


def result(directory: Path) -> list[dict[str, object]]:
    rows = pq.read_table(directory / "out", ignore_prefixes=["_", "."]).to_pylist()
    return sorted(rows, key=lambda row: [str(value) for value in row.values()])


class Whole(NamedTuple):
    """Files, and what each kind of run over them gives if nobody interrupts it."""

    files: Path
    rows: dict[str, list[dict[str, object]]]

    def prepared(self, directory: Path) -> Path:
        directory.mkdir()
        (directory / "in").symlink_to(self.files)
        return directory

    def check(self, directory: Path, kind: str) -> None:
        assert result(directory) == self.rows[kind]


@pytest.fixture(scope="module")
def whole(files: Path, tmp_path_factory: pytest.TempPathFactory) -> Whole:
    """What runs give that nobody interrupts."""
    found = Whole(files, {})
    for kind in KINDS:
        directory = found.prepared(tmp_path_factory.mktemp("whole") / kind)
        finish(directory, kind)
        found.rows[kind] = result(directory)
        with Ledger.read(directory / "ledger") as ledger:
            assert (ledger.last() or (0, None))[0] > FILES
    return found


@pytest.mark.parametrize("calls", CALLS)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.timeout(7200)
def test_a_pipeline_killed_at_a_system_call_goes_on_where_it_was(
    kind: str,
    calls: str,
    whole: Whole,
    tmp_path: Path,
    program: Callable[[str], Path],
) -> None:
    strace = program("strace")
    kills = 0
    for place in places():
        directory = whole.prepared(tmp_path / f"{place}")
        inject = f"inject={CALLS[calls]}:signal=SIGKILL:when={place}"
        trace = [str(strace), "-f", "-qq", "-o", "/dev/null", "-e", f"trace={CALLS[calls]}"]
        killed = subprocess.run(
            [*trace, "-e", inject, *command(directory, kind)],
            env=environment(),
            capture_output=True,
            check=False,
            timeout=DEADLINE_S,
        )
        was_killed = killed.returncode != 0
        if was_killed:
            assert killed.returncode in {-signal.SIGKILL, 128 + signal.SIGKILL}, killed.stderr
            finish(directory, kind)
        whole.check(directory, kind)
        kills += was_killed
        if not was_killed:
            break
    assert kills >= PLACES if PROVE_SCALE == 1 else kills > 8


def places() -> list[int]:
    """The first, second, ... call of a thread at which it ends."""
    if PLACES > 100:
        return list(range(1, PLACES))
    return sorted(random.Random(5).sample(range(1, 9), PLACES))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.timeout(1200)
def test_a_pipeline_killed_at_random_moments_goes_on_where_it_was(
    kind: str,
    whole: Whole,
    tmp_path: Path,
    record_property: Callable[[str, object], None],
) -> None:
    draw = random.Random(7)
    directory = whole.prepared(tmp_path / "run")
    for number in range(RANDOM_KILLS):
        if number % 5 == 0:
            directory = whole.prepared(tmp_path / f"run{number}")
        with subprocess.Popen(
            command(directory, kind), env=environment(), stdout=subprocess.PIPE
        ) as process:
            assert process.stdout is not None
            process.stdout.readline()
            try:
                process.wait(draw.uniform(0.0, 0.25))
            except subprocess.TimeoutExpired:
                process.kill()
        if number % 5 == 4:
            finish(directory, kind)
            whole.check(directory, kind)
    finish(directory, kind)
    whole.check(directory, kind)
    record_property("cases", RANDOM_KILLS)
