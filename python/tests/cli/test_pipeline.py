"""`shoal pipeline`: run, look, take dead letters again, move to a changed pipeline."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

if TYPE_CHECKING:
    from pathlib import Path

FLOW = """
from shoal import batch
from shoal.pipeline import Pipeline, tumbling
from shoal.source import FileSource, ParquetSink, folder

def careful(records):
    if 13 in records["value"].to_pylist():
        raise ValueError("unlucky")
    return records

def calm(records):
    return records

def out():
    return ParquetSink(folder("out"))

first = Pipeline(FileSource("in")).map(careful).to(out())
mended = Pipeline(FileSource("in")).map(calm).to(out())
followed = Pipeline(FileSource("in", watch=True)).map(calm).to(out())
number = 5

def made():
    return first
"""
DEADLINE_S = 60


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A directory with a module of pipelines and the file that they read."""
    (tmp_path / "flow.py").write_text(FLOW)
    (tmp_path / "in").mkdir()
    pq.write_table(pa.table({"value": range(40)}), tmp_path / "in" / "a.parquet")
    return tmp_path


def shoal(place: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "shoal.cli", "pipeline", *words]
    return subprocess.run(
        command, cwd=place, capture_output=True, text=True, check=False, timeout=DEADLINE_S
    )


def told(place: Path, *words: str) -> Any:
    answer = shoal(place, *words, "--json")
    assert answer.returncode == 0, answer.stderr
    return json.loads(answer.stdout)


def written(place: Path) -> list[int]:
    table = pq.read_table(place / "out", ignore_prefixes=["_"])
    return sorted(table["value"].to_pylist())


def test_a_pipeline_is_run_looked_at_mended_and_run_on(place: Path) -> None:
    ran = shoal(place, "run", "flow:first", "ledger")
    assert ran.stdout == (
        "40 records taken, 39 given\ndead letters: 1, see: shoal pipeline dead ledger\n"
    )
    status = told(place, "status", "ledger")
    assert (status["rows_in"], status["dead_letters"]) == (40, {"failed": 1})
    assert not status["is_running"]
    (letter,) = told(place, "dead", "ledger")
    assert "unlucky" in letter["message"]
    (epoch,) = told(place, "ledger", "ledger")
    assert (epoch["epoch"], epoch["rows_out"]) == (1, 39)

    refused = shoal(place, "run", "flow:mended", "ledger")
    assert refused.returncode == 1
    assert "shoal pipeline migrate" in refused.stderr
    assert shoal(place, "migrate", "ledger", "flow:mended").returncode == 0
    assert told(place, "replay-dead", "ledger") == {"taken_again": 1}
    assert shoal(place, "run", "flow:mended", "ledger").returncode == 0
    assert written(place) == list(range(40))
    assert told(place, "replay-dead", "ledger") == {"taken_again": 0}


def test_people_get_tables(place: Path) -> None:
    shoal(place, "run", "flow:made", "ledger")
    assert "rows in            40" in shoal(place, "status", "ledger").stdout
    assert "watermark" in shoal(place, "ledger", "ledger").stdout
    assert "unlucky" in shoal(place, "dead", "ledger").stdout


def test_a_pipeline_that_follows_ends_by_a_signal_with_all_that_it_took(place: Path) -> None:
    command = [sys.executable, "-m", "shoal.cli", "pipeline", "run", "flow:followed", "ledger"]
    with subprocess.Popen(
        [*command, "--follow", "--json"], cwd=place, stdout=subprocess.PIPE, text=True
    ) as process:
        while not (place / "out").is_dir() or not list((place / "out").glob("part-*")):
            assert process.poll() is None
        os.kill(process.pid, signal.SIGTERM)
        output, _ = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 0
    assert json.loads(output) == {"rows_in": 40, "rows_out": 40, "rows_dead": 0}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["run", "flow", "ledger"], "module:pipeline"),
        (["run", "flow:nothing", "ledger"], "nothing"),
        (["run", "flow:number", "ledger"], "is a int, expected a pipeline"),
        (["status", "nowhere"], "there is no ledger at nowhere"),
        (["ledger", "nowhere"], "there is no ledger at nowhere"),
        (["dead", "nowhere"], "there is no ledger at nowhere"),
        (["replay-dead", "nowhere"], "there is no ledger at nowhere"),
        (["run", "flow:first", "ledger", "--error-rate", "7"], "error_rate is 7.0"),
    ],
)
def test_a_mistake_is_told_in_words(words: list[str], said: str, place: Path) -> None:
    answer = shoal(place, *words)
    assert answer.returncode == 2
    assert said in answer.stderr
    assert "Traceback" not in answer.stderr
