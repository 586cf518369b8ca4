"""The example of customers who leave, as its README says: what is served is what was reported."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from shoal import evaluate, package, train
from shoal.train._run._material import material_of
from shoal.train._run._plan import plan_in
from tests.end_to_end.driver import serving

ROOT = Path(__file__).parents[3]
pytestmark = pytest.mark.timeout(300)  # the whole example
EXAMPLE = ROOT / "examples" / "churn"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example, after all commands of its README; the search is shorter."""
    place = tmp_path_factory.mktemp("churn")
    for file in EXAMPLE.iterdir():
        if file.is_file():
            shutil.copy(file, place)
    asked = (place / "train.toml").read_text()
    (place / "train.toml").write_text(asked.replace("seconds = 60", "trials = 8"))
    environment = {
        "PYTHONPATH": f"{ROOT / 'python'}:{ROOT}",
        "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin",
        "HOME": os.environ.get("HOME", str(place)),
    }
    command = [sys.executable, "-m", "tools.blocks", "README.md"]
    done = subprocess.run(
        command, cwd=place, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return place


def held_out(place: Path) -> pa.Table:
    """The records that nothing was learned from, by the plan in the package's evidence."""
    plan = plan_in(train.evidence_of(place / "out" / "package"))
    records = train.open_dataset(place / "out" / "dataset").to_table()
    return material_of(records, plan.configuration).held_out


def test_what_is_served_is_what_was_reported(place: Path) -> None:
    report = evaluate.from_json((place / "out" / "report.json").read_bytes(), evaluate.Report)
    records = held_out(place)
    sealed = package.open(place / "out" / "package")
    names = [column.name for column in sealed.signature.inputs]
    rows = records.select(names).to_pylist()
    asked = [row | {"signed_up": row["signed_up"].isoformat()} for row in rows]
    answers: list[dict[str, Any]] = []
    with serving(sealed.path) as served:
        for start in range(0, len(asked), 100):
            body = {"instances": asked[start : start + 100]}
            answered = served.ask("POST", "/v1/models/churn:predict", body)
            assert answered.status == 200, answered.json()
            answers += answered.json()["predictions"]
    truth = records["has_left"].to_pylist()
    labels = [answer["label"] for answer in answers]
    found = [
        [
            sum(pair == (true, label) for pair in zip(truth, labels, strict=True))
            for label in ("no", "yes")
        ]
        for true in ("no", "yes")
    ]
    assert report.evaluation.confusion is not None
    assert found == [list(row) for row in report.evaluation.confusion]
    shares = [answer["probabilities"][1] for answer in answers]
    again = evaluate.measure(
        truth,
        pa.table({"label": labels, "probabilities": shares}),
        task=evaluate.Classification(labels=("no", "yes"), positive="yes"),
    )
    for name in ("average_precision", "roc_auc", "log_loss"):
        assert again.metric(name).value == pytest.approx(report.evaluation.metric(name).value)


def test_customers_who_are_asked_about_are_answered_with_their_holes(place: Path) -> None:
    answers = pq.read_table(place / "answers")
    assert answers.num_rows == 500
    shares = np.array(answers["probabilities"].to_pylist())[:, 1]
    evidence = train.evidence_of(place / "out" / "package")
    threshold = plan_in(evidence).threshold
    assert threshold is not None
    wanted = np.where(shares >= np.float32(threshold), "yes", "no")
    assert (np.array(answers["label"].to_pylist()) == wanted).all()
    assert 0 < (wanted == "yes").mean() < 0.5


def test_the_model_found_what_the_data_hide(place: Path) -> None:
    report = evaluate.from_json((place / "out" / "report.json").read_bytes(), evaluate.Report)
    strongest = [importance.column for importance in report.importances[:3]]
    assert set(strongest) == {"calls", "months", "remarks"}
