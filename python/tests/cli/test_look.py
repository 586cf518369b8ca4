"""`shoal look`: what it prints and writes, and the codes it ends with."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pyarrow.parquet as pq
import pytest

from shoal import train
from tests.train.tables import HOSTILE, hostile, mixed

if TYPE_CHECKING:
    from pathlib import Path


def shoal(place: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", "-m", "shoal.cli", *words],
        cwd=place,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A directory with data."""
    (tmp_path / "people.csv").write_text(
        "id,age,left\n" + "".join(f"{n},{n * 7 % 61},{n * 5 % 7 < 2}\n" for n in range(200))
    )
    (tmp_path / "old.jsonl").write_text('{"age": 1, "city": "Rome"}\n' * 3)
    (tmp_path / "new.jsonl").write_text('{"age": 2, "city": "Oslo"}\n' * 3)
    return tmp_path


def test_a_file_is_told_in_lines(place: Path) -> None:
    answer = shoal(place, "look", "people.csv", "--target", "left")
    assert (answer.returncode, answer.stderr) == (0, "")
    assert answer.stdout.splitlines() == [
        "200 records of 3 columns in people.csv",
        "left: false 142, true 58",
        "suspect: id: 200 of its 200 values are different: it names the record.",
        "ordered: id: Records stand in its order.",
    ]


def test_a_dataset_is_told_as_json_and_as_a_page(place: Path) -> None:
    dataset = train.collect(mixed(), place / "churn")
    words = ("churn", "--target", "left", "--output", "report.html", "--json")
    answer = shoal(place, "look", *words)
    assert (answer.returncode, answer.stderr) == (0, "")
    look = train.Look.from_json(answer.stdout)
    assert look == train.look(dataset, target="left")
    assert (place / "report.html").read_text("utf-8") == train.to_html(look)


def test_several_files_are_compared(place: Path) -> None:
    answer = shoal(place, "look", "old.jsonl", "new.jsonl", "--json")
    assert answer.returncode == 0, answer.stderr
    parts = json.loads(answer.stdout)["parts"]
    assert parts == [{"name": "old.jsonl", "records": 3}, {"name": "new.jsonl", "records": 3}]


def test_names_do_not_move_the_cursor(place: Path) -> None:
    pq.write_table(hostile(), place / "hostile.parquet")
    answer = shoal(place, "look", "hostile.parquet", "--target", HOSTILE)
    assert answer.returncode == 2
    named = hostile().rename_columns([name or "named" for name in hostile().column_names])
    pq.write_table(named, place / "hostile.parquet")
    answer = shoal(place, "look", "hostile.parquet", "--target", HOSTILE)
    assert answer.returncode == 0, answer.stderr
    assert "\x1b" not in answer.stdout
    assert HOSTILE in answer.stdout


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("none.csv",), 2, "there is nothing at none.csv"),
        (("people.csv", "--target", "gone"), 2, "no column 'gone' to predict"),
        (("people.csv", "old.jsonl"), 2, "old.jsonl has no column 'id'"),
        (("people.csv", "--output", "none/report.html"), 2, "cannot be written"),
        (("broken.parquet",), 1, "broken.parquet"),
        ((), 2, "DATA"),
    ],
)
def test_what_goes_wrong_is_said_with_a_code(
    place: Path, words: tuple[str, ...], code: int, said: str
) -> None:
    (place / "broken.parquet").write_bytes(b"PAR1 no more")
    answer = shoal(place, "look", *words)
    assert answer.returncode == code, answer.stderr
    assert said in answer.stderr
    assert "Traceback" not in answer.stderr
    assert answer.stdout == ""
