"""A private model becomes a package that answers the same and holds no record."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest
from sklearn.datasets import load_breast_cancer, load_diabetes
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from shoal import package
from shoal.errors import UnsupportedModelError
from shoal.train import (
    Account,
    BoundedScaler,
    Bounds,
    Budget,
    GradientClassifier,
    GradientRegressor,
    PrivateScaler,
    as_sklearn,
)
from tests.train.private.searching import bytes_below, records_in

if TYPE_CHECKING:
    from pathlib import Path

ROWS, CLASSES = load_breast_cancer(return_X_y=True)
BOUNDS = Bounds([0.0] * ROWS.shape[1], list(1.2 * ROWS.max(axis=0)))


def private_model(hidden_layers: tuple[int, ...], classes: Any) -> Any:
    account = Account(Budget(3.0, 1e-5), records=len(ROWS))
    scaler = PrivateScaler(BOUNDS.lower, BOUNDS.upper, account=account, epsilon=0.5)
    model = GradientClassifier(account, hidden_layers=hidden_layers)
    return make_pipeline(scaler, model).fit(ROWS, classes)


@pytest.mark.parametrize("hidden_layers", [(), (16,), (16, 8)], ids=str)
@pytest.mark.parametrize("count", [2, 3])
def test_a_package_of_a_private_classifier_answers_as_the_model(
    hidden_layers: tuple[int, ...], count: int, tmp_path: Path
) -> None:
    classes = CLASSES if count == 2 else CLASSES + 2 * (ROWS[:, 0] > 14)
    classes = np.unique(classes, return_inverse=True)[1] % count
    model = private_model(hidden_layers, classes)
    built = package.build(
        as_sklearn(model), name="p", version="1", output=tmp_path / "p", example=BOUNDS.rows(300)
    )
    # Fresh rows: real ones, made-up ones, and ones beyond the bounds.
    rows = np.vstack([ROWS, BOUNDS.rows(300, seed=1), BOUNDS.rows(50, seed=2) * 1e3])
    answer = built.model().predict(batch_of(built, rows))
    shares = np.stack(answer["probabilities"].to_pylist())
    expected = model.predict_proba(rows)
    assert np.abs(shares - expected).max() < 1e-4
    two = np.sort(expected, axis=1)
    is_clear = two[:, -1] - two[:, -2] > 1e-4
    labels = np.asarray(answer["label"].to_pylist())
    assert np.array_equal(labels[is_clear], model.predict(rows)[is_clear])


@pytest.mark.parametrize("hidden_layers", [(), (16,)], ids=str)
def test_a_package_of_a_private_regressor_answers_as_the_model(
    hidden_layers: tuple[int, ...], tmp_path: Path
) -> None:
    rows, targets = load_diabetes(return_X_y=True)
    bounds = Bounds([-0.25] * rows.shape[1], [0.25] * rows.shape[1])
    model = make_pipeline(
        BoundedScaler(bounds.lower, bounds.upper),
        GradientRegressor(Budget(5.0), target_bounds=(25.0, 350.0), hidden_layers=hidden_layers),
    ).fit(rows, targets)
    built = package.build(
        as_sklearn(model), name="p", version="1", output=tmp_path / "p", example=bounds.rows(300)
    )
    found = (
        built.model().predict(batch_of(built, rows))["prediction"].to_numpy(zero_copy_only=False)
    )
    assert np.abs(found - model.predict(rows)).max() < 0.01


@pytest.mark.parametrize("example", [BOUNDS.rows(300), ROWS], ids=["made-up", "real"])
def test_no_record_is_found_in_the_bytes_of_a_private_package(example: Any, tmp_path: Path) -> None:
    model = private_model((16,), CLASSES)
    built = package.build(
        as_sklearn(model), name="p", version="1", output=tmp_path / "p", example=example
    )
    built.attest("privacy", {"epsilon": model[-1].privacy_.epsilon})
    data = bytes_below(tmp_path / "p")
    assert records_in(data, ROWS) == []


@pytest.mark.parametrize("form", ["<f4", "<f8"])
def test_records_are_found_in_bytes_and_in_text(form: str) -> None:
    assert records_in(b"xx" + ROWS[3].astype(form).tobytes(), ROWS[:5]) == [3]
    assert records_in(json.dumps(ROWS[:5].T[:, [1, 4]].tolist()).encode(), ROWS[:5]) == [1, 4]
    draw = np.random.default_rng(0).normal(size=(5, 4))
    assert records_in(f"[{float(draw[2, 1])!r}]".encode(), draw) == [2]
    assert records_in(b"\1" + draw[4, :1].tobytes(), draw) == [4]
    assert records_in(b"nothing 1 2 3", draw) == []


def test_an_ordinary_package_does_hold_records(tmp_path: Path) -> None:
    neighbours = KNeighborsClassifier(1).fit(ROWS[:300].astype(np.float32), CLASSES[:300])
    example = ROWS[300:].astype(np.float32)
    for number, kind in enumerate(("real", "synthetic")):
        place = tmp_path / kind
        settings = package.Settings(golden_rows=kind)  # type: ignore[arg-type] # one of the kinds
        package.build(
            neighbours, name="p", version="1", output=place, example=example, settings=settings
        )
        data = bytes_below(place)
        assert records_in(data, ROWS[:50]) == list(range(50))  # it is made of what it learned from
        assert records_in(data, ROWS[300:304]) == ([], [0, 1, 2, 3])[number == 0]  # golden rows


def test_a_step_that_read_the_records_without_noise_is_refused() -> None:
    leaky = make_pipeline(StandardScaler(), GradientClassifier(Budget(3.0, 1e-5)))
    with pytest.raises(
        UnsupportedModelError, match="StandardScaler read the records without noise"
    ):
        as_sklearn(leaky.fit(ROWS, CLASSES))


def test_made_up_rows_are_within_the_bounds_and_the_same_each_time() -> None:
    rows = BOUNDS.rows(100)
    assert np.array_equal(rows, BOUNDS.rows(100))
    assert np.all((rows >= BOUNDS.lower) & (rows <= BOUNDS.upper))


def batch_of(built: package.Package, rows: Any) -> pa.RecordBatch:
    """Rows in the columns that the package takes."""
    columns = built.model().signature.inputs
    if len(columns) == 1:
        flat = pa.array(rows.astype(np.float32).ravel())
        values = pa.FixedSizeListArray.from_arrays(flat, rows.shape[1])
        return pa.record_batch({columns[0].name: values})
    named = zip(columns, rows.T.astype(np.float32), strict=True)
    return pa.record_batch({column.name: pa.array(values) for column, values in named})
