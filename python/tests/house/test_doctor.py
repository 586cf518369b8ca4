"""`just doctor` and README.md speak of the same programs, and the doctor tells the truth."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from rich.console import Console

from tools import doctor

ROOT = Path(__file__).parents[3]
README = (ROOT / "README.md").read_text("utf-8")


def packages_in_readme() -> dict[str, str]:
    """Package and purpose from the rows of README's table of system packages."""
    section = README.partition("## System packages")[2].partition("\n## ")[0]
    return dict(re.findall(r"^\| `([\w.-]+)` +\| (.+?) +\|$", section, re.MULTILINE))


def test_readme_and_doctor_name_the_same_packages() -> None:
    assert packages_in_readme() == {one.package: one.purpose for one in doctor.PROGRAMS}


def test_doctor_demands_the_rust_that_cargo_demands() -> None:
    workspace = tomllib.loads((ROOT / "Cargo.toml").read_text("utf-8"))["workspace"]
    demanded = workspace["package"]["rust-version"]
    assert demanded == ".".join(str(part) for part in doctor.CARGO_AT_LEAST)


def test_a_missing_program_is_found_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    found = {one.name: doctor.examine(one).is_present for one in doctor.PROGRAMS}
    assert found == {one.name: one.name == "python3" for one in doctor.PROGRAMS}


@pytest.mark.parametrize(
    ("version", "enough"), [("1.84.1", False), ("1.85.0", True), ("1.100.0", True), ("2.0", True)]
)
def test_versions_compare_by_number(version: str, *, enough: bool) -> None:
    assert doctor._is_at_least(version, (1, 85)) == enough


def test_the_remedy_is_one_line_to_copy(capsys: pytest.CaptureFixture[str]) -> None:
    missing = doctor.Diagnosis("wrk", "wrk", "bench", "load", is_present=False, found="no")
    doctor.show([missing], Console())
    assert "apt-get install wrk\n" in capsys.readouterr().out


def test_the_doctor_answers_as_json_and_by_its_exit_status() -> None:
    command = [sys.executable, "-m", "tools.doctor", "--json"]
    answer = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    report = json.loads(answer.stdout)
    assert answer.returncode == (0 if report["ready"] else 1)
    assert [one["name"] for one in report["programs"]] == [one.name for one in doctor.PROGRAMS]
