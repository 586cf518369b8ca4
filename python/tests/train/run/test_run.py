"""A run: what it measures, what it keeps apart, and how it goes on after it was killed."""

from __future__ import annotations

import os
import resource
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sklearn.metrics import average_precision_score, f1_score

from shoal import evaluate, package
from shoal.errors import ConflictError, InputError, PathError, SinkError, StorageError
from shoal.evaluate import Settings as EvaluationSettings
from shoal.train import Configuration, Folds, InputData, Leaderboard, Settings, run
from shoal.train._collect._recipe import InputText
from shoal.train._run._answers import packaged
from shoal.train._run._decide import estimators_for
from shoal.train._run._material import material_of
from shoal.train._run._place import held
from shoal.train._run._run import NOBODY
from tests.services import until
from tests.train.conftest import customers
from tests.train.run.conftest import changed

if TYPE_CHECKING:
    from shoal.train import Trained, Tried

ROOT = Path(__file__).parents[4]


def answers_of_package(
    records: pa.Table, configuration: Configuration, place: Path
) -> tuple[np.ndarray, pa.RecordBatch]:
    """The true classes of what was held out, and what the package answers to it."""
    material = material_of(records, configuration)
    asked = packaged(material.held_out, material.preparation)
    answers = package.open(place).model().predict(asked)
    return np.array(material.held_out["left"].to_pylist()), answers


def test_the_report_measures_the_package_on_what_was_held_out(
    trained: Trained, records: pa.Table, configuration: Configuration, output: Path
) -> None:
    truth, answers = answers_of_package(records, configuration, output / "package")
    labels = np.array(answers["label"].to_pylist())
    shares = np.array(answers["probabilities"].to_pylist())[:, 1]
    told = trained.report.evaluation
    assert told.records == len(truth) == 300
    assert told.metric("f1").value == pytest.approx(f1_score(truth, labels, pos_label="yes"))
    assert told.metric("average_precision").value == pytest.approx(
        average_precision_score(truth, shares, pos_label="yes")
    )
    assert [part.column for part in told.slices] == ["city"]


def test_the_threshold_is_inside_the_package(
    trained: Trained, records: pa.Table, configuration: Configuration, output: Path
) -> None:
    _, answers = answers_of_package(records, configuration, output / "package")
    shares = np.array(answers["probabilities"].to_pylist())[:, 1]
    assert trained.threshold is not None
    assert abs(trained.threshold - 0.5) > 0.01
    wanted = np.where(shares >= np.float32(trained.threshold), "yes", "no")
    assert (np.array(answers["label"].to_pylist()) == wanted).all()


def test_the_winner_stands_beside_the_baseline_and_the_runner_up(trained: Trained) -> None:
    by_records, by_folds = trained.report.comparisons
    names = {standing.name for standing in by_records.standings}
    assert names == {"logistic_regression", "hist_gradient_boosting", "dummy"}
    assert {pair.role for pair in by_folds.pairs} == {"baseline", "runner-up"}
    assert by_records.pairs[0].difference > 0.2


def test_all_files_of_a_run_can_be_read(trained: Trained, output: Path) -> None:
    assert sorted(path.name for path in output.iterdir()) == [
        "dataset",
        "leaderboard.json",
        "look.html",
        "look.json",
        "model-card.md",
        "package",
        "report.html",
        "report.json",
        "run.json",
        "search.journal",
    ]
    assert package.open(output / "package").digest == trained.package.digest
    package.verify(output / "package")
    read = evaluate.from_json((output / "report.json").read_bytes(), evaluate.Report)
    assert read == trained.report
    board = msgspec.json.decode((output / "leaderboard.json").read_bytes(), type=Leaderboard)
    assert board == trained.leaderboard
    card = (output / "model-card.md").read_text()
    assert "Who is called before a contract ends." in card
    assert trained.package.digest in card


def test_a_column_that_tells_too_much_is_named(tmp_path: Path) -> None:
    records = customers(1500, seed=6).drop_columns(["spent"])
    closed = [1.0 if left == "yes" else 0.0 for left in records["left"].to_pylist()]
    pq.write_table(records.append_column("closed", pa.array(closed)), tmp_path / "records.parquet")
    configuration = Configuration(
        name="churn",
        version="1",
        target="left",
        data=InputData(input=[InputText(files=str(tmp_path / "records.parquet"))]),
        search=Settings(estimators=("dummy", "naive_bayes"), trials=2),
    )
    found = run(configuration, tmp_path / "output")
    (suspected,) = [note for note in found.notes if note.startswith("closed is suspected")]
    assert suspected in found.report.evaluation.notes
    assert "closed is suspected" in (tmp_path / "output" / "report.html").read_text()
    assert not [note for note in found.notes if note.startswith("age is suspected")]


def test_an_estimator_without_probabilities_is_not_measured_by_them(
    configuration: Configuration, tmp_path: Path
) -> None:
    search = Settings(score="average_precision", trials=9)
    asked = changed(
        configuration,
        search=search,
        threshold=None,
        evaluation=EvaluationSettings(replicates=20, repeats=1, metric="log_loss"),
    )
    reasons = estimators_for(asked, material_of(customers(1500, seed=5), asked))
    assert {name for name, reason in reasons.items() if reason} == {"linear_svm", "svm"}
    named = msgspec.structs.replace(search, estimators=("dummy", "linear_svm"))
    with pytest.raises(InputError, match="linear_svm gives no probabilities, which 'log_loss'"):
        run(changed(asked, search=named), tmp_path / "output")


def test_nothing_that_is_held_out_is_learned_from(configuration: Configuration) -> None:
    records = customers(1500, seed=6).append_column("row", pa.array(range(1500)))
    for folds in (Folds(), Folds(group="house"), Folds(time="since")):
        with_groups = records.append_column("house", pa.array([i // 3 for i in range(1500)]))
        search = msgspec.structs.replace(configuration.search, folds=folds)
        material = material_of(with_groups, changed(configuration, search=search, without=("row",)))
        learned, held_out = material.learned, material.held_out
        rows = learned["row"].to_pylist() + held_out["row"].to_pylist()
        assert sorted(rows) == list(range(1500))
        if folds.group:
            assert not set(learned["house"].to_pylist()) & set(held_out["house"].to_pylist())
            assert "house" not in material.preparation.columns
        if folds.time:
            assert max(learned["since"].to_pylist()) <= min(held_out["since"].to_pylist())


CHILD = """
import sys
import msgspec
from shoal.evaluate import Settings as EvaluationSettings
from shoal.train import Configuration, run
run(msgspec.json.decode(sys.stdin.buffer.read(), type=Configuration), sys.argv[1])
"""


def started(configuration: Configuration, output: Path) -> subprocess.Popen[bytes]:
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(output)],
        env={**os.environ, "PYTHONPATH": str(ROOT / "python")},
        stdin=subprocess.PIPE,
    )
    assert child.stdin is not None
    child.stdin.write(msgspec.json.encode(configuration))
    child.stdin.close()
    return child


def test_a_run_that_was_killed_goes_on_to_the_same_package(
    configuration: Configuration, trained: Trained, tmp_path: Path
) -> None:
    output = tmp_path / "output"
    child = started(configuration, output)
    try:
        journal = output / "search.journal"
        until(lambda: journal.exists() and b"tried" in journal.read_bytes(), "one was tried", 60)
        with pytest.raises(ConflictError, match="another process is training into"):
            run(configuration, output)
    finally:
        child.send_signal(signal.SIGKILL)
        child.wait()
    assert not (output / "package").exists()
    again = run(configuration, output)
    before, after = trained.leaderboard, again.leaderboard
    assert before is not None
    assert after is not None
    assert [row.scores for row in after.rows] == [row.scores for row in before.rows]
    assert again.package.digest == trained.package.digest


def test_a_run_that_has_ended_is_not_changed(
    configuration: Configuration, trained: Trained, output: Path
) -> None:
    with pytest.raises(ConflictError, match="holds a run that has ended"):
        run(configuration, output)
    assert package.open(output / "package").digest == trained.package.digest


def test_a_folder_of_another_run_or_of_something_else_is_refused(
    configuration: Configuration, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="no column 'leaves' to predict"):
        run(changed(configuration, target="leaves"), tmp_path / "run")
    with pytest.raises(ConflictError, match="a run of other data, or of another target"):
        run(configuration, tmp_path / "run")
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(ConflictError, match="holds something else"):
        run(configuration, tmp_path)


def test_what_is_not_about_the_data_may_be_corrected(
    configuration: Configuration, trained: Trained, tmp_path: Path
) -> None:
    output = tmp_path / "output"
    tried: list[Tried] = []
    wrong = [
        (changed(configuration, lock="nothing.lock"), PathError, "nothing.lock"),
        (
            changed(configuration, evaluation=EvaluationSettings(slices=("town",))),
            InputError,
            "town",
        ),
        (
            changed(configuration, evaluation=EvaluationSettings(metric="speed")),
            InputError,
            "speed",
        ),
    ]
    watch = NOBODY._replace(tried=tried.append)
    for each, error, message in wrong:
        with pytest.raises(error, match=message):
            run(each, output, watch=watch)
    assert tried == []
    found = run(configuration, output, watch=watch)
    assert found.package.digest == trained.package.digest


def test_a_start_that_failed_is_begun_again(configuration: Configuration, tmp_path: Path) -> None:
    (tmp_path / ".run.json.staged").write_bytes(b"")
    with held(tmp_path, "sha256:1"):
        assert (tmp_path / "run.json").exists()
    with pytest.raises(ConflictError, match="other data"), held(tmp_path, "sha256:2"):
        pytest.fail("another run was let in")
    assert configuration.name


def test_no_secret_is_in_anything_that_is_written(
    configuration: Configuration, tmp_path: Path
) -> None:
    table = customers(1200, seed=5).drop_columns(["spent"])
    database = tmp_path / "shop.db"
    with closing(sqlite3.connect(database)) as connection:
        table.to_pandas().astype({"since": str}).to_sql("customers", connection, index=False)
        connection.commit()
    query = "select age, city, is_member, \"left\" from customers where 'sesame' = :word"
    source = InputText(
        database=f"sqlite:///{database}?timeout=1234567",
        query=query.replace("'sesame'", "'ses' || 'ame'"),
        parameters={"word": "sesame"},
    )
    data = InputData(input=[source])
    search = Settings(estimators=("naive_bayes",), trials=1)
    asked = changed(configuration, data=data, search=search, evaluation=EvaluationSettings())
    run(asked, tmp_path / "output")
    for path in (tmp_path / "output").rglob("*"):
        content = path.read_bytes() if path.is_file() else b""
        assert b"sesame" not in content, path
        assert b"timeout=1234567" not in content, path


@pytest.mark.parametrize("full", ["searching", "sealing"])
def test_a_full_disk_loses_nothing(
    full: str, configuration: Configuration, trained: Trained, tmp_path: Path
) -> None:
    output = tmp_path / "output"
    reached: list[str] = []
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)

    def step(name: str) -> None:
        if name == full and not reached:
            reached.append(name)
            # As a disk that is full: the system refuses, and says so with another number.
            resource.setrlimit(resource.RLIMIT_FSIZE, (2000, hard))

    watch = NOBODY._replace(step=step)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        with pytest.raises((SinkError, StorageError), match="File too large"):
            run(configuration, output, watch=watch)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, hard))
        signal.signal(signal.SIGXFSZ, before)
    assert not (output / "package").exists()
    assert run(configuration, output, watch=watch).package.digest == trained.package.digest
