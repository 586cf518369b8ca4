"""Sealing models that take moments: the example as it comes, and what reaches the model."""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler

from shoal import package
from shoal.errors import DtypeError, InvalidRequestError, NullError, UnsupportedModelError
from shoal.package import Settings
from shoal.values import Column, Dtype
from tests.package.moments import MISSING, example, sealed, telling

if TYPE_CHECKING:
    from pathlib import Path

    from shoal.package import Package

ROWS = 300
BERLIN = datetime.timezone(datetime.timedelta(hours=2))


def built(model: Any, place: Path, rows: Any, **said: Any) -> Package:
    return package.build(
        model, name="m", version="1", output=place / "m", example=rows, settings=Settings(**said)
    )


def orders() -> pd.DataFrame:
    """Orders of early 1970, whose seconds floats would hold as well."""
    random = np.random.default_rng(4)
    seconds = random.integers(0, 2**23, ROWS)
    shop = random.choice(["north", "south"], ROWS)
    return pd.DataFrame({"at": seconds, "shop": shop})


def fitted(rows: pd.DataFrame) -> Pipeline:
    """A model of the seconds and the shop, which chooses its columns by name."""
    parts = ColumnTransformer(
        [("time", FunctionTransformer(), ["at"]), ("shop", OneHotEncoder(), ["shop"])]
    )
    target = rows["at"] / 2**20 + (rows["shop"] == "north")
    return Pipeline([("parts", parts), ("fit", LinearRegression())]).fit(rows, target)


def test_the_flag_is_part_of_the_package_and_golden_rows_are_seconds(tmp_path: Path) -> None:
    told = sealed(tmp_path / "telling")
    at = Column("at", Dtype.INT64, nullable=True, moment=True)
    assert package.open(told.path).signature.inputs == (at,)
    assert package.verify(told.path).golden == "matched"
    assert '"golden":{"inputs":[{"data":[0,86399,-1],' in told.description_text


def test_a_package_without_moments_has_the_digest_that_it_had(tmp_path: Path) -> None:
    rows = pa.record_batch({"at": [0, 86_399, -1]})
    plain = built(telling(), tmp_path / "plain", rows)
    without = built(telling(), tmp_path / "without", rows, moments=[])
    assert "moment" not in plain.description_text
    assert plain.digest == without.digest
    assert built(telling(), tmp_path / "with", rows, moments=["at"]).digest != plain.digest


def test_a_model_is_asked_with_every_form_of_a_moment(tmp_path: Path) -> None:
    model = sealed(tmp_path / "telling").model()
    moment = datetime.datetime(2021, 5, 31, 12, 20, 30, 987_654, tzinfo=BERLIN)
    for values in (
        pa.array([1_622_456_430, None]),
        pa.array([1_622_456_430, None], pa.uint32()),
        *(pa.array([moment, None], pa.timestamp(unit, "UTC")) for unit in ("s", "ms", "us", "ns")),
        pa.array([moment.isoformat(), None]),
        pa.Array.from_pandas(pd.Series(pd.to_datetime([moment, None]))),
    ):
        assert model.predict(pa.record_batch({"at": values}))["seconds"].to_pylist() == [
            1_622_456_430,
            MISSING,
        ]
    with pytest.raises(DtypeError, match="column 'at' row 1 is '2021-02-29', expected a moment"):
        model.predict(pa.record_batch({"at": ["2021-05-31", "2021-02-29"]}))


def test_an_estimator_is_proved_on_moments_as_they_come_and_keeps_whole_numbers(
    tmp_path: Path,
) -> None:
    rows = orders()
    model = fitted(rows)
    times = pd.to_datetime(rows["at"], unit="s", utc=True)
    texts = [moment.isoformat() for moment in times]
    digests = set()
    for name, given in {"seconds": rows["at"], "times": times, "texts": texts}.items():
        frame = rows.assign(at=given)
        made = built(model, tmp_path / name, frame, moments=["at"])
        assert made.signature.inputs[0] == Column("at", Dtype.INT64, moment=True)
        asked = pa.RecordBatch.from_pandas(frame, preserve_index=False)
        found = made.model().predict(asked).column(0).to_numpy()
        np.testing.assert_allclose(found.ravel(), model.predict(rows).ravel(), rtol=1e-4)
        digests.add(made.digest)
    assert len(digests) == 1
    table = pa.table({"at": pa.array(times), "shop": rows["shop"].to_numpy(object)})
    assert built(model, tmp_path / "table", table, moments=["at"]).digest in digests


def test_a_missing_moment_of_an_example_is_what_the_package_says(tmp_path: Path) -> None:
    rows = orders()
    model = fitted(rows)
    times = pd.to_datetime(rows["at"], unit="s").mask(rows.index == 3)
    with pytest.raises(NullError, match="column 'at' row 3 has no moment") as caught:
        built(model, tmp_path, rows.assign(at=times), moments=["at"])
    assert caught.value.hint == "Say so in whole seconds: Settings(missing={'at': 0})."
    made = built(model, tmp_path, rows.assign(at=times), moments=["at"], missing={"at": 7})
    assert made.signature.inputs[0] == Column("at", Dtype.INT64, nullable=True, moment=True)
    asked = pa.record_batch({"at": pa.nulls(1, pa.date32()), "shop": ["north"]})
    stated = pa.record_batch({"at": [7], "shop": ["north"]})
    assert made.model().predict(asked) == made.model().predict(stated)


@pytest.mark.parametrize("is_text", [False, True])
def test_a_table_with_gaps_keeps_whole_numbers(*, is_text: bool, tmp_path: Path) -> None:
    rows = orders()
    seconds = [None if n == 3 else each for n, each in enumerate(rows["at"].tolist())]
    texts = [None if each is None else str(np.datetime64(each, "s")) for each in seconds]
    given = pa.table({"at": texts if is_text else seconds, "shop": rows["shop"].tolist()})
    model = fitted(rows)
    with pytest.raises(NullError, match="column 'at' row 3 has no moment"):
        built(model, tmp_path, given, moments=["at"])
    made = built(model, tmp_path / "table", given, moments=["at"], missing={"at": 7})
    assert made.signature.inputs[0] == Column("at", Dtype.INT64, nullable=True, moment=True)
    columns = dict(zip(given.column_names, (each.to_pylist() for each in given), strict=True))
    same = built(model, tmp_path / "columns", columns, moments=["at"], missing={"at": 7})
    assert made.digest == same.digest


def today(rows: int = ROWS) -> pd.DataFrame:
    """Seconds that FP32 does not hold, beside another number."""
    random = np.random.default_rng(6)
    seconds = random.integers(1_500_000_000, 1_700_000_000, rows)
    return pd.DataFrame({"at": seconds, "price": random.normal(size=rows).round(2)})


def test_numbers_beside_moments_of_today_are_sealed_where_columns_are_chosen_by_name(
    tmp_path: Path,
) -> None:
    rows = today()
    target = rows["at"] / 1e8 + rows["price"]
    parts = ColumnTransformer(
        [("time", StandardScaler(), ["at"]), ("price", "passthrough", ["price"])]
    )
    model = Pipeline([("parts", parts), ("fit", LinearRegression())]).fit(rows, target)
    alone = LinearRegression().fit(rows[["at"]], target)
    for name, each, given in (("both", model, rows), ("alone", alone, rows[["at"]])):
        frame = given.assign(at=pd.to_datetime(given["at"], unit="s"))
        made = built(each, tmp_path / name, frame, moments=["at"])
        assert made.signature.inputs[0] == Column("at", Dtype.INT64, moment=True)
        asked = pa.RecordBatch.from_pandas(frame, preserve_index=False)
        found = made.model().predict(asked).column(0).to_numpy()
        np.testing.assert_allclose(found.ravel(), each.predict(given), rtol=1e-4)
    with pytest.raises(UnsupportedModelError, match="one matrix of FP32, where 'at'") as caught:
        built(LinearRegression().fit(rows, target), tmp_path, rows, moments=["at"])
    assert "ColumnTransformer" in str(caught.value.hint)


def test_a_python_function_is_given_seconds(tmp_path: Path) -> None:
    (tmp_path / "hours.py").write_text(
        "def answer(batch):\n"
        "    assert str(batch.column('at').type) == 'int64'\n"
        "    return {'hour': [at // 3600 for at in batch.column('at').to_pylist()]}\n",
        encoding="utf-8",
    )
    rows = pa.record_batch({"at": ["1970-01-01T01:30:00", "1970-01-02"]})
    made = built("hours:answer", tmp_path, rows, moments=["at"], source=tmp_path)
    assert made.signature.inputs == (Column("at", Dtype.INT64, moment=True),)
    answers = made.model(allow_code=True).predict(rows)
    assert answers.to_pydict() == {"hour": [1, 24]}


def test_moments_that_cannot_be_are_refused_and_nothing_is_sealed(tmp_path: Path) -> None:
    rows = orders()
    for model, given, names, reason in (
        (telling(), example(), ["on"], "moments names 'on', which is no input"),
        (fitted(rows), rows, ["shop"], "'shop' row 0 is '.*', expected a moment"),
        (fitted(rows), rows.assign(at=rows["at"] / 2), ["at"], "'at' is FP32"),
        (fitted(rows), rows.assign(at=[*range(ROWS - 1), "x"]), ["at"], "holds no moments"),
    ):
        with pytest.raises((InvalidRequestError, DtypeError), match=reason):
            built(model, tmp_path, given, moments=names)
    assert not (tmp_path / "m").exists()
