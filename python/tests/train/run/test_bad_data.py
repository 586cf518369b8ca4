"""Data that nothing can be learned from is refused by name, before a model is tried."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from shoal.errors import (
    DtypeError,
    InputError,
    InvalidRequestError,
    MissingColumnError,
    NullError,
)
from shoal.train import Configuration, Folds, InputData, Numeric, Settings, run
from shoal.train._collect._recipe import InputText

if TYPE_CHECKING:
    from pathlib import Path

ROWS = 1200
SETTINGS = Settings(estimators=("dummy", "logistic_regression"), trials=2)


def records(**columns: Any) -> pa.Table:
    random = np.random.default_rng(0)
    found = {"a": random.normal(size=ROWS), "left": random.choice(["yes", "no"], ROWS)}
    return pa.table(found | columns)


def trained(table: pa.Table, tmp_path: Path, **parts: Any) -> Any:
    path = tmp_path / "records.parquet"
    pq.write_table(table, path)
    given: dict[str, Any] = {"target": "left", "search": SETTINGS} | parts
    configuration = Configuration(
        name="churn", version="1", data=InputData(input=[InputText(files=str(path))]), **given
    )
    return run(configuration, tmp_path / "output")


@pytest.mark.parametrize(
    ("columns", "parts", "error", "message"),
    [
        ({}, {"target": "leaves"}, MissingColumnError, "no column 'leaves' to predict"),
        ({"left": ["yes"] * ROWS}, {}, InvalidRequestError, "one class only, 'yes'"),
        ({"left": [None, *["yes", "no"] * (ROWS // 2 - 1), "yes"]}, {}, NullError, "in row 0"),
        (
            {"left": [f"class {row // 3}" for row in range(ROWS)]},
            {},
            InvalidRequestError,
            "400 classes are too many",
        ),
        ({"a": [float("inf")] * ROWS}, {}, InvalidRequestError, "no column says anything"),
        ({"a": [float("inf"), *[1.0, 2.0] * 599, 1.0]}, {}, DtypeError, "is inf"),
        ({}, {"without": ("b",)}, InvalidRequestError, "no column 'b'"),
        ({}, {"columns": {"b": Numeric()}}, InvalidRequestError, "no column 'b'"),
        ({}, {"search": Settings(folds=Folds(group="b"), trials=1)}, InvalidRequestError, "'b'"),
        ({"a": ["x y", *["word"] * 599] * 2}, {"columns": {"a": Numeric()}}, DtypeError, "'a'"),
        ({}, {"held_out": 0.05}, InvalidRequestError, "expected at least 200"),
        ({}, {"search": Settings(positive="maybe", trials=1)}, InvalidRequestError, "'maybe'"),
    ],
)
def test_it_is_refused(
    columns: dict[str, Any],
    parts: dict[str, Any],
    error: type[InputError],
    message: str,
    tmp_path: Path,
) -> None:
    with pytest.raises(error, match=message):
        trained(records(**columns), tmp_path, **parts)
    assert not (tmp_path / "output" / "package").exists()


def test_columns_that_say_nothing_are_left_out(tmp_path: Path) -> None:
    empty = pa.nulls(ROWS, pa.float64())
    found = trained(records(empty=empty, constant=[1.0] * ROWS), tmp_path)
    assert [column.name for column in found.package.description.signature.inputs] == ["a"]


def test_a_time_too_short_for_one_fit_is_said(tmp_path: Path) -> None:
    search = Settings(seconds=1e-9)
    with pytest.raises(InvalidRequestError, match="no candidate was tested on all folds"):
        trained(records(), tmp_path, search=search)


def test_a_category_that_was_never_seen_is_answered(tmp_path: Path) -> None:
    cities = np.random.default_rng(1).choice(["Bern", "Chur"], ROWS)
    found = trained(records(city=cities), tmp_path)
    asked = pa.record_batch({"a": pa.array([0.5], pa.float32()), "city": ["Atlantis"]})
    assert found.package.model().predict(asked)["label"].to_pylist()[0] in {"yes", "no"}
