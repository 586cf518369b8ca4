"""The rules of conftest.py hold: what is left behind fails, what is drawn is counted and seeded."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


def run(test: str, directory: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the text of a test file under the rules of conftest.py."""
    (directory / "test_one.py").write_text(test, "utf-8")
    settings = ["-c", str(ROOT / "pyproject.toml"), "--rootdir", str(directory)]
    plugins = ["-p", "tests.conftest", "-p", "no:cacheprovider"]
    return subprocess.run(
        [sys.executable, "-m", "pytest", *plugins, *settings, "test_one.py"],
        cwd=directory,
        env={**os.environ, "PYTHONPATH": str(ROOT / "python"), **environment},
        capture_output=True,
        text=True,
        check=False,
    )


DRAWS = """
from hypothesis import given, strategies

@given(strategies.integers())
def test_numbers(number):
    print("drew", number)

def test_loop(record_property, prove_scale):
    record_property("cases", 7 * prove_scale)
    record_property("wrong", 0)
"""


def test_what_is_drawn_is_counted(tmp_path: Path) -> None:
    counts = tmp_path / "counts.json"
    run(DRAWS, tmp_path, SHOAL_PROVE_COUNTS=str(counts))
    assert json.loads(counts.read_text("utf-8")) == {
        "tests": 2,
        "cases": 50 + 7,
        "facts": {"wrong": 0},
    }


def test_more_is_drawn_to_prove(tmp_path: Path) -> None:
    counts = tmp_path / "counts.json"
    profile = {"SHOAL_HYPOTHESIS_PROFILE": "prove", "SHOAL_PROVE_SCALE": "3"}
    run(DRAWS, tmp_path, SHOAL_PROVE_COUNTS=str(counts), **profile)
    assert json.loads(counts.read_text("utf-8"))["cases"] == 150 + 21


NOTES = """
import os
from hypothesis import given, strategies

@given(strategies.integers())
def test_numbers(number):
    with open(os.environ["NOTES"], "a") as notes:
        print(number, file=notes)
"""


def test_the_same_is_drawn_every_time_but_not_to_prove(tmp_path: Path) -> None:
    drawn = []
    for turn, profile in enumerate(("default", "default", "prove", "prove")):
        notes = tmp_path / f"notes-{turn}"
        run(NOTES, tmp_path, NOTES=str(notes), SHOAL_HYPOTHESIS_PROFILE=profile)
        drawn.append(notes.read_text("utf-8"))
    assert drawn[0] == drawn[1]
    assert drawn[2] != drawn[3]


LEAVES = """
import subprocess

def test_leaves():
    {statement}
"""


@pytest.mark.parametrize(
    "statement",
    [
        'subprocess.Popen(["sleep", "30"])',
        'subprocess.run(["sh", "-c", "sleep 30 & "])',
    ],
    ids=["a child", "an orphan"],
)
def test_a_test_that_leaves_a_process_behind_fails(statement: str, tmp_path: Path) -> None:
    answer = run(LEAVES.format(statement=statement), tmp_path)
    assert answer.returncode == 1
    assert "processes left behind" in answer.stdout
    assert "sleep 30" in answer.stdout
    # and it is ended: else this very test would leave it behind


SERVES = """
import subprocess
import pytest
from tests.services import SERVICES

class Sleeper:
    def start(self):
        self.process = subprocess.Popen(["sleep", "30"])
        SERVICES.add(self.process.pid)

    def stop(self):
        SERVICES.discard(self.process.pid)
        self.process.kill()
        self.process.wait()

@pytest.fixture(scope="session")
def sleeper():
    service = Sleeper()
    service.start()
    yield service
    service.stop()

def test_starts_it_anew(sleeper):
    sleeper.stop()
    sleeper.start()

def test_leaves_another(sleeper):
    subprocess.Popen(["sleep", "31"])
"""


def test_a_service_of_the_session_may_start_anew_and_nothing_else_stays(tmp_path: Path) -> None:
    answer = run(SERVES, tmp_path)
    assert "1 passed" in answer.stdout
    assert "sleep 31" in answer.stdout
    assert "sleep 30" not in answer.stdout.partition("processes left behind")[2]


def test_a_warning_fails_a_test(tmp_path: Path) -> None:
    answer = run("import warnings\n\ndef test_one(): warnings.warn('old')\n", tmp_path)
    assert "UserWarning: old" in answer.stdout
    assert answer.returncode == 1


ASKS = "def test_one(program): program('no-such-program')\n"


def test_a_missing_program_skips_with_a_reason_but_fails_in_ci(tmp_path: Path) -> None:
    at_home = run(ASKS, tmp_path, CI="")
    assert at_home.returncode == 0
    assert "no-such-program is not installed" in at_home.stdout
    assert run(ASKS, tmp_path, CI="true").returncode == 1
