"""`shoal collect` and `shoal package keep`: what they print, and the codes they end with."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from shoal import package, train

if TYPE_CHECKING:
    from pathlib import Path

    from tests.services.postgres import Postgres

pytest_plugins = ["tests.services.postgres"]

PEOPLE = "id,age,city\n1,20,Rome\n2,?,Rome\n3,35,Oslo\n4,50,Oslo\n"
SPENT = "id,spent\n1,2.5\n3,4.5\n"


def shoal(place: Path, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "shoal.cli", *words],
        cwd=place,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A directory with two files."""
    (tmp_path / "people.csv").write_text(PEOPLE)
    (tmp_path / "spent.csv").write_text(SPENT)
    return tmp_path


def test_a_file_is_collected_and_told(place: Path) -> None:
    options = ("--type", "age=integer", "--missing", "?")
    answer = shoal(place, "collect", "people.csv", "out", *options)
    assert answer.returncode == 0, answer.stderr
    dataset = train.open_dataset(place / "out")
    assert answer.stdout.splitlines() == [
        "4 rows of 3 columns in out",
        dataset.digest,
        "  id    integer      1 to 4",
        "  age   integer      20 to 50, 1 missing",
        "  city  categorical  Oslo, Rome",
    ]
    assert answer.stderr == ""


def test_files_are_joined_and_told_as_json(place: Path) -> None:
    words = ("people.csv", "spent.csv", "out", "--on", "id", "--how", "inner", "--json")
    (place / "people.csv").write_text(PEOPLE.replace("?", ""))
    answer = shoal(place, "collect", *words)
    assert answer.returncode == 0, answer.stderr
    told = json.loads(answer.stdout)
    assert (told["path"], told["rows"]) == ("out", 2)
    assert [column["name"] for column in told["schema"]["columns"]][-1] == "spent"
    assert train.open_dataset(place / "out").digest == told["digest"]


def test_a_dataset_is_kept_as_a_package(place: Path) -> None:
    assert shoal(place, "collect", "spent.csv", "out").returncode == 0
    words = ("out", "--name", "spent", "--version", "1", "--output", "kept")
    answer = shoal(place, "package", "keep", *words, "--json")
    assert answer.returncode == 0, answer.stderr
    told = json.loads(answer.stdout)
    assert told["package"] == package.identify(place / "kept").digest
    assert told["digest"] == train.open_dataset(place / "kept").digest


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("people.csv", "out"), 2, "state its kind|State its kind"),
        (("none.csv", "out"), 2, "there is nothing at none.csv"),
        (("people.csv", "spent.csv", "out"), 2, "without a join"),
        (("people.csv", "spent.csv", "out", "--on", "id", "--missing", "?"), 2, "TOML"),
        (("spent.csv", "out", "--how", "left"), 2, "without --on"),
        (("spent.csv", "people.csv"), 1, "exists, expected a place"),
        (("spent.csv", "out", "--type", "spent=number"), 2, "'spent' is 'number'"),
        (("c.toml", "out", "--on", "id"), 2, "Say it in the file"),
        (("c.toml", "out"), 2, "c.toml cannot be read"),
    ],
)
def test_what_goes_wrong_is_one_line_and_a_code(
    place: Path, words: tuple[str, ...], code: int, said: str
) -> None:
    answer = shoal(place, "collect", *words)
    assert answer.returncode == code
    assert any(each in answer.stderr for each in said.split("|"))
    assert "Traceback" not in answer.stderr
    assert answer.stdout == ""


def test_a_wrong_password_is_never_printed(place: Path, postgres: Postgres) -> None:
    secret = "open-sesame"
    url = f"postgresql://shoal:{secret}@127.0.0.1:{postgres.port}/postgres"
    (place / "c.toml").write_text("[[input]]\ndatabase_from = 'URL'\nquery = 'select 1 as n'\n")
    answer = shoal(place, "collect", "c.toml", "out", "--json", URL=url)
    assert answer.returncode == 1
    assert json.loads(answer.stderr)["code"] == "source_failed"
    assert "password authentication failed" in answer.stderr
    assert secret not in answer.stdout + answer.stderr
