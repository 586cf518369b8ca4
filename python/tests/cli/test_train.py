"""`shoal train`: what it prints, what it leaves, and the codes it ends with."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pyarrow.csv
import pytest

from shoal import package
from tests.train.conftest import customers

if TYPE_CHECKING:
    from pathlib import Path

TEXT = """
name = "churn"
version = "1.0.0"
target = "left"

[data]
[[data.input]]
files = "customers.csv"

[search]
estimators = ["dummy", "logistic_regression", "naive_bayes"]
trials = 3

[threshold]
by = "balanced_accuracy"

[evaluation]
replicates = 20
repeats = 1
"""


def shoal(place: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "shoal.cli", *words]
    return subprocess.run(
        command, cwd=place, capture_output=True, text=True, check=False, timeout=100
    )


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A directory with a configuration and its data."""
    (tmp_path / "train.toml").write_text(TEXT)
    pyarrow.csv.write_csv(
        customers(1200, seed=2).drop_columns(["spent"]), tmp_path / "customers.csv"
    )
    return tmp_path


def test_a_run_is_told(place: Path) -> None:
    answer = shoal(place, "train", "train.toml", "out")
    assert answer.returncode == 0, answer.stderr
    assert answer.stderr.split() == [
        "collecting",
        "looking",
        "searching",
        "fitting",
        "sealing",
        "measuring",
    ]
    lines = answer.stdout.splitlines()
    assert lines[0].split() == ["estimator", "accuracy", "seconds"]
    assert lines[1].split()[0] == "logistic_regression"
    assert "measured on 240 records that nothing was learned from:" in lines
    assert any("logistic_regression is better than dummy by" in line for line in lines)
    digest = package.open(place / "out" / "package").digest
    assert any(digest in line for line in lines)
    again = shoal(place, "train", "train.toml", "out")
    assert again.returncode == 1
    assert "holds a run that has ended" in again.stderr
    kept = shoal(place, "train", "train.toml", "out", "--unless-ended", "--json")
    assert kept.returncode == 0, kept.stderr
    digest = package.identify(place / "out" / "package").digest
    assert json.loads(kept.stdout)["package"] == {"path": "out/package", "digest": digest}


def test_machines_are_told_one_object(place: Path) -> None:
    answer = shoal(place, "train", "train.toml", "out", "--json")
    assert answer.returncode == 0, answer.stderr
    told = json.loads(answer.stdout)
    assert told["candidate"]["estimator"] == "logistic_regression"
    assert told["package"]["digest"] == package.open(place / "out" / "package").digest
    assert 0 < told["threshold"] < 1
    assert {metric["name"] for metric in told["metrics"]} >= {"accuracy", "f1", "roc_auc"}


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ("trials", "trails", "unknown field `trails`"),
        ("customers.csv", "nothing.csv", "nothing.csv"),
        ("trials = 3", "", "the search has no end"),
    ],
)
def test_wrong_words_are_said(place: Path, before: str, after: str, message: str) -> None:
    (place / "train.toml").write_text(TEXT.replace(before, after))
    answer = shoal(place, "train", "train.toml", "out", "--json")
    assert answer.returncode in {1, 2}
    assert message in json.loads(answer.stderr.splitlines()[-1])["error"]
    assert answer.stdout == ""
