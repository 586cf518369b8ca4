"""`just prove`: results say where they come from; what passed is not run again."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from rich.console import Console

from tools import machine, prove

if TYPE_CHECKING:
    from pathlib import Path

PASSES = "print('cases: 40\\ncases: 2\\ntest result: ok. 3 passed; 0 failed')"
FAILS = "print('test result: FAILED. 1 passed'); raise SystemExit(1)"


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stages `one` (passes) and `two` (fails), with state and results in a temporary directory."""
    monkeypatch.setattr(prove, "STATE", tmp_path / "state")
    monkeypatch.setattr(prove, "RESULTS", tmp_path / "results")
    stages = [
        prove.Stage(name="one", proves="one holds", command=[sys.executable, "-c", PASSES]),
        prove.Stage(name="two", proves="two holds", command=[sys.executable, "-c", FAILS], scale=7),
    ]
    monkeypatch.setattr(prove, "read_stages", lambda: stages)
    monkeypatch.setattr(prove, "content_digest", lambda: "content")
    return tmp_path


def run(*chosen: str, fresh: bool = False) -> prove.Result:
    return prove.prove(set(chosen), fresh=fresh, console=Console(file=io.StringIO()))


def test_the_table_of_stages_is_well_formed() -> None:
    stages = prove.read_stages()
    assert len({stage.name for stage in stages}) == len(stages) > 0


def test_a_stage_reports_what_it_counted(workplace: Path) -> None:
    outcomes = {outcome.name: outcome for outcome in run("one", "two").stages}
    assert outcomes["one"].passed
    assert outcomes["one"].tests == 3
    assert outcomes["one"].cases == 42
    assert not outcomes["two"].passed
    assert outcomes["two"].scale == 7


def test_the_result_carries_commit_machine_and_date(workplace: Path) -> None:
    run("one", "two")
    (path,) = (workplace / "results").glob("*.json")
    result = json.loads(path.read_text("utf-8"))
    assert path.stem == f"{result['date'][:10]}-{result['commit'][:12]}"
    assert result["machine"]["cores"] >= 1
    assert not result["complete"]


def test_what_passed_is_not_run_again_and_what_failed_is(workplace: Path) -> None:
    first = {outcome.name: outcome for outcome in run("one", "two").stages}
    log = workplace / "state" / "one.log"
    log.unlink()
    second = {outcome.name: outcome for outcome in run("one", "two").stages}
    assert not log.exists()
    assert second["one"] == first["one"]
    assert "two" in second


def test_a_stage_of_its_own_keeps_what_the_others_proved(workplace: Path) -> None:
    run("one")
    assert [outcome.name for outcome in run("two").stages] == ["one", "two"]


def test_fresh_runs_everything(workplace: Path) -> None:
    run("one")
    (workplace / "state" / "one.log").unlink()
    run("one", fresh=True)
    assert (workplace / "state" / "one.log").exists()


def test_changed_files_are_proved_anew(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run("one")
    monkeypatch.setattr(prove, "content_digest", lambda: "other content")
    assert run("two").stages[0].name == "two"


def test_what_tests_record_stands_in_the_result(workplace: Path) -> None:
    (workplace / "counts.json").write_text('{"tests":1,"cases":9,"facts":{"wrong":0}}', "utf-8")
    stage = prove.Stage(name="soak", proves="nothing is wrong", command=["pytest"])
    found = prove.read_counts(stage, workplace / "counts.json")
    assert (found.tests, found.cases, found.facts) == (1, 9, {"wrong": 0})


def test_a_result_that_was_written_is_no_change_of_the_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "ROOT", tmp_path)
    subprocess.run(["git", "init", "--quiet", str(tmp_path)], check=True)
    results = tmp_path / "benchmarks" / "prove" / "results"
    results.mkdir(parents=True)
    (results / "first.json").touch()
    assert not machine.is_changed()
    (tmp_path / "benchmarks" / "new.py").touch()
    assert machine.is_changed()


def test_a_stage_that_runs_no_test_does_not_pass(workplace: Path) -> None:
    empty = prove.Stage(name="none", proves="nothing", command=[sys.executable, "-c", ""])
    (workplace / "state").mkdir()
    assert not prove.run_stage(empty).passed
