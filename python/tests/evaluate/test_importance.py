from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from shoal import package
from shoal.errors import InvalidRequestError, ShapeError
from shoal.evaluate import Classification, Regression, Settings, permutation_importance

if TYPE_CHECKING:
    from pathlib import Path

ROWS = 600


def doubled(batch: pa.RecordBatch) -> pa.RecordBatch:
    """A model that looks at one column only."""
    values = batch.column("used").to_numpy(zero_copy_only=False)
    return pa.record_batch({"prediction": 2 * values})


def draw(seed: int) -> tuple[pa.Table, np.ndarray]:
    rng = np.random.default_rng(seed)
    used, idle = rng.normal(size=ROWS), rng.normal(size=ROWS)
    return pa.table({"idle": idle, "used": used}), 2 * used


def test_only_what_a_model_looks_at_matters() -> None:
    records, truth = draw(1)
    first, second = permutation_importance(doubled, records, truth, task=Regression())
    assert (first.column, second.column) == ("used", "idle")
    assert first.mean > 1
    assert first.spread is not None
    assert 0 < first.spread < first.mean
    assert (second.mean, second.spread, second.losses) == (0.0, 0.0, (0.0,) * 5)


def test_the_same_seed_shuffles_alike_whatever_stands_behind() -> None:
    records, truth = draw(2)
    wider = records.append_column("more", pa.array(range(ROWS)))
    found = {
        one.column: one for one in permutation_importance(doubled, wider, truth, task=Regression())
    }
    again = permutation_importance(doubled, records, truth, task=Regression())
    assert [found[one.column] for one in again] == list(again)
    other = permutation_importance(
        doubled, records, truth, task=Regression(), settings=Settings(seed=1)
    )
    assert other[0].losses != again[0].losses


def test_a_sealed_model_is_asked_in_micro_batches(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    city = rng.choice(["Oslo", "Rome"], 5000)
    frame = pd.DataFrame({"calls": rng.normal(size=5000), "city": city})
    truth = (frame["calls"] + 0.3 * rng.normal(size=5000) > 0).to_numpy()
    prepare = make_column_transformer((OneHotEncoder(), ["city"]), remainder="passthrough")
    model = make_pipeline(prepare, LogisticRegression()).fit(frame, truth)
    package.build(model, name="m", version="1", output=tmp_path / "m", example=frame[:300])
    sealed = package.open(tmp_path / "m").model()
    sizes = []

    def predict(batch: pa.RecordBatch) -> pa.RecordBatch:
        sizes.append(batch.num_rows)
        return sealed.predict(batch)

    records = pa.table({name: frame[name] for name in ("calls", "city")})
    task = Classification(labels=(False, True))
    settings = Settings(repeats=2)
    found = permutation_importance(predict, records, truth, task=task, settings=settings)
    assert [one.column for one in found] == ["calls", "city"]
    assert found[0].metric == "roc_auc"
    assert found[0].mean > 0.3
    assert abs(found[1].mean) < 0.01
    assert max(sizes) <= 4096
    assert sum(sizes) == 5000 * (1 + 2 * 2)


def test_the_weight_is_neither_shuffled_nor_shown_to_the_model() -> None:
    records, truth = draw(4)
    weighed = records.append_column("weight", pa.array(np.ones(ROWS)))

    def strict(batch: pa.RecordBatch) -> pa.RecordBatch:
        assert batch.schema.names == ["idle", "used"]
        return doubled(batch)

    settings = Settings(weight="weight", repeats=1)
    found = permutation_importance(strict, weighed, truth, task=Regression(), settings=settings)
    assert [(one.column, one.spread) for one in found] == [("used", None), ("idle", None)]


def test_a_model_that_loses_rows_is_refused() -> None:
    records, truth = draw(5)

    def losing(batch: pa.RecordBatch) -> pa.RecordBatch:
        return doubled(batch).slice(1)

    with pytest.raises(ShapeError, match="the model gave 599 records, the truth has 600"):
        permutation_importance(losing, records, truth, task=Regression())


def test_no_records_have_no_importance() -> None:
    with pytest.raises(InvalidRequestError, match="no records"):
        permutation_importance(doubled, pa.table({"used": []}), [], task=Regression())
