"""A package that says how it came to be can be made again, to the last bit."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import pyarrow as pa
import pytest

from shoal import package, train
from shoal.errors import ConflictError, InvalidRequestError
from shoal.train._run._plan import plan_in

if TYPE_CHECKING:
    from shoal.train import Configuration, Trained

ROOT = Path(__file__).parents[4]


def test_it_says_what_it_was_made_of(
    trained: Trained, configuration: Configuration, output: Path
) -> None:
    evidence = train.evidence_of(output / "package")
    dataset = train.open_dataset(output / "dataset")
    assert [each.digest for each in evidence.data] == [dataset.digest]
    assert evidence.seed == configuration.search.seed
    assert evidence.environment.distributions["numpy"]
    metrics = trained.report.evaluation.metrics
    assert evidence.metrics == json.loads(msgspec.json.encode(metrics))
    plan = plan_in(evidence)
    assert trained.leaderboard is not None
    assert plan.candidate == trained.leaderboard.best.candidate
    assert plan.threshold == trained.threshold
    opened = package.open(output / "package")
    for name in ("report.html", "report.json", "model-card.md", "leaderboard.json"):
        assert opened.attached(name) == (output / name).read_bytes()


@pytest.mark.usefixtures("trained")
def test_another_process_makes_the_same_package(output: Path, tmp_path: Path) -> None:
    words = ["reproduce", str(output / "package"), str(output / "dataset"), "--json"]
    answer = subprocess.run(
        [sys.executable, "-m", "shoal.cli", *words, "--output", "again"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT / "python")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.returncode == 0, answer.stderr
    told = json.loads(answer.stdout)
    assert told["is_same"]
    assert told["differences"] == []
    assert package.open(tmp_path / "again").digest == told["expected"]


@pytest.mark.usefixtures("trained")
def test_other_records_are_refused(output: Path, tmp_path: Path) -> None:
    train.collect(pa.table({"age": [1.0, 2.0]}), tmp_path / "others")
    with pytest.raises(ConflictError, match="expected sha256:"):
        train.reproduce(output / "package", tmp_path / "others")


@pytest.mark.usefixtures("trained")
def test_what_computes_otherwise_is_told(output: Path) -> None:
    from shoal.train._run._reproduce import differences

    then = train.evidence_of(output / "package").environment
    other = msgspec.structs.replace(then, distributions=then.distributions | {"numpy": "1.0"})
    told = differences(then, other)
    assert told == (f"numpy {then.distributions['numpy']}, now 1.0",)


def test_a_package_without_a_plan_is_refused(
    trained: Trained, output: Path, tmp_path: Path
) -> None:
    import shutil

    assert trained.package.digest
    shutil.copytree(output / "package", tmp_path / "package")
    evidence = msgspec.structs.replace(train.evidence_of(tmp_path / "package"), plan={"by": "hand"})
    later = msgspec.structs.replace(
        evidence,
        finished_at=evidence.finished_at.replace(year=9000),  # type: ignore[union-attr]  # it was stated
    )
    train.attest(tmp_path / "package", later)
    with pytest.raises(InvalidRequestError, match="no plan of `shoal train`"):
        train.reproduce(tmp_path / "package", output / "dataset")


@pytest.mark.usefixtures("trained")
def test_a_parameter_that_an_estimator_does_not_declare_is_refused(output: Path) -> None:
    evidence = train.evidence_of(output / "package")
    plan = plan_in(evidence)
    wild = train.Candidate(estimator="lightgbm", parameters={"local_listen_port": 12400})
    other = msgspec.to_builtins(msgspec.structs.replace(plan, candidate=wild))
    with pytest.raises(InvalidRequestError, match="declares no parameter 'local_listen_port'"):
        plan_in(msgspec.structs.replace(evidence, plan=other))
