"""A run that is cut short anywhere goes on where it was: nothing lost, nothing twice."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from shoal import pipeline
from shoal.errors import ConflictError
from shoal.source import LocalFolder
from tests.conftest import PROVE_SCALE
from tests.pipeline.conftest import FEATURES, ROWS, Records, read, write

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

PROGRAM = """
import sys
from shoal import pipeline
from shoal.pipeline._dataset import _score
from shoal.source import ParquetSink, _text

_score.EPOCH_BYTES = _text.PIECE_BYTES = 10_000
opened = ParquetSink.open

def open(self, *arguments):
    print("begins", flush=True)
    return opened(self, *arguments)

ParquetSink.open = open
package, where, out, errors = sys.argv[1:]
settings = pipeline.Settings(columns={"x": ("a", "b", "c", "d")}, errors=errors)
pipeline.score(package, where, out, settings=settings)
"""
RUNS, KILLS = 2 * PROVE_SCALE, 5
DEADLINE_S = 60.0


class Crash(BaseException):
    """The process is gone."""


@pytest.fixture
def spoiled(records: Records, tmp_path: Path) -> Path:
    """A file in which one record in a thousand has no number."""
    rows = records.table.to_pylist()
    for number in range(0, ROWS, 1000):
        rows[number]["b"] = None
    path = tmp_path / "table.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def settings(errors: Path) -> pipeline.Settings:
    return pipeline.Settings(columns={"x": FEATURES}, errors=errors, workers=2)


def check(records: Records, out: Path, errors: Path) -> None:
    left = [number for number in range(ROWS) if number % 1000]
    answers = read(out)
    assert answers["id"].to_pylist() == left
    assert answers["total"].to_pylist() == [records.total[number] for number in left]
    failed = [json.loads(text)["id"] for text in read(errors)["record"].to_pylist()]
    assert failed == list(range(0, ROWS, 1000))


class Counted:
    """Counts what is done to folders, and ends at one step: before it, or after it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.steps = 0
        self.end_at: float = float("inf")
        for name in ("create", "move", "remove"):
            monkeypatch.setattr(LocalFolder, name, self._counting(getattr(LocalFolder, name)))

    def _counting(self, call: Callable[..., object]) -> Callable[..., object]:
        def counted(*arguments: object) -> object:
            self._step()
            answer = call(*arguments)
            self._step()
            return answer

        return counted

    def _step(self) -> None:
        self.steps += 1
        if self.steps > self.end_at:
            raise Crash


def test_a_run_cut_short_at_any_step_goes_on_where_it_was(
    adder: Path, records: Records, spoiled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shoal.source._text.PIECE_BYTES", 60_000)
    monkeypatch.setattr("shoal.pipeline._dataset._score.EPOCH_BYTES", 60_000)
    counted = Counted(monkeypatch)
    for step in range(1000):
        out, errors = tmp_path / f"out{step}", tmp_path / f"errors{step}"
        counted.steps, counted.end_at = 0, step
        try:
            pipeline.score(adder, spoiled, out, settings=settings(errors))
        except Crash:
            counted.end_at = float("inf")
            pipeline.score(adder, spoiled, out, settings=settings(errors))
        else:
            break
        check(records, out, errors)
    check(records, out, errors)
    assert step > 20


def test_a_process_killed_at_random_moments_goes_on_where_it_was(
    adder: Path, records: Records, spoiled: Path, tmp_path: Path
) -> None:
    draw = random.Random(7)
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    command = [sys.executable, str(program), str(adder), str(spoiled)]
    kills = 0
    for attempt in range(RUNS):
        out, errors = tmp_path / f"out{attempt}", tmp_path / f"errors{attempt}"
        ends = [draw.uniform(0.0, 0.3) for _ in range(KILLS)]
        kills += sum(run_for(seconds, [*command, str(out), str(errors)]) for seconds in ends)
        assert not run_for(DEADLINE_S, [*command, str(out), str(errors)])
        check(records, out, errors)
    assert kills >= RUNS


def run_for(seconds: float, command: list[str]) -> bool:
    """Kills a run after a while; whether it was not done."""
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        try:
            code = process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            code = process.wait()
    assert code in (0, -signal.SIGKILL)
    return code != 0


def test_two_runs_do_not_write_to_one_folder(adder: Path, spoiled: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with (
        LocalFolder(out).held("_shoal/lock"),
        pytest.raises(ConflictError, match="another process"),
    ):
        pipeline.score(adder, spoiled, out, settings=settings(tmp_path / "errors"))


def test_a_file_that_changed_since_the_run_began_is_not_gone_on_with(
    adder: Path, records: Records, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    where = write(records.table, tmp_path / "table.parquet")
    counted = Counted(monkeypatch)
    counted.end_at = 6
    with pytest.raises(Crash):
        pipeline.score(adder, where, tmp_path / "out", settings=settings(tmp_path / "errors"))
    counted.end_at = float("inf")
    write(records.table.slice(1), where)
    with pytest.raises(ConflictError, match="other input"):
        pipeline.score(adder, where, tmp_path / "out", settings=settings(tmp_path / "errors"))
