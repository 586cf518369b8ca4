"""What was trained is what is sealed: the same answers to fresh records, whatever stands before."""

from __future__ import annotations

import re
from datetime import datetime
from itertools import product
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import pyarrow as pa
import pytest
import skl2onnx

from shoal.errors import DtypeError, InvalidRequestError, ProofError
from shoal.train._estimators._table import CLASSIFIERS, REGRESSORS
from shoal.train._prepare._description import (
    Categorical,
    Date,
    Feature,
    Numeric,
    Preparation,
    Text,
)
from shoal.train._prepare._frames import frame_of
from shoal.train._seal._seal import seal
from shoal.train._search._candidates import Candidate
from shoal.train._search._search import fit
from shoal.values import Column, Dtype, from_arrow
from tests.train.conftest import customers

if TYPE_CHECKING:
    from pathlib import Path

    from shoal.package import Package

FRESH_ROWS = 2000
KEPT: dict[str, Feature] = {"age": Numeric(missing="keep"), "income": Numeric(missing="keep")}
OTHERS: dict[str, dict[str, Feature]] = {
    "modelled": {"age": Numeric(missing="modelled"), "income": Numeric(missing="modelled")},
    "constant": {"age": Numeric(missing=-1.0, scale="min_max"), "income": Numeric(scale="robust")},
    "frequent": {"city": Categorical(missing="most_frequent", encode="ordinal")},
    "counts": {"notes": Text(weigh="counts", most_words=5)},
}


def raw(records: pa.Table, preparation: Preparation) -> pa.RecordBatch:
    """Records as a package takes them."""
    found = {}
    for name, feature in preparation.columns.items():
        values = records.column(name).combine_chunks()
        if isinstance(feature, Numeric):
            is_flag = pa.types.is_boolean(values.type)
            values = (values.cast(pa.uint8()) if is_flag else values).cast(pa.float32())
        found[name] = values
    return pa.RecordBatch.from_pydict(found)


def sealed(
    candidate: Candidate,
    preparation: Preparation,
    target: str,
    records: tuple[pa.Table, pa.Table],
    output: Path,
) -> tuple[Any, Package]:
    learned, held_out = records
    model = fit(learned, target, candidate, preparation=preparation)
    place = output / "package"
    return model.pipeline, seal(model, held_out, name="left", version="1", output=place)


@pytest.mark.parametrize("name", list(CLASSIFIERS))
def test_each_classifier_answers_fresh_records_as_its_package_does(
    name: str,
    learned: pa.Table,
    held_out: pa.Table,
    preparation: Preparation,
    tmp_path: Path,
) -> None:
    model, package = sealed(
        Candidate(estimator=name), preparation, "left", (learned, held_out), tmp_path
    )
    fresh = customers(FRESH_ROWS, seed=7)
    answers = package.model().predict(raw(fresh, preparation))
    labels = np.array(answers.column(0).to_pylist())
    assert (labels == model.predict(frame_of(fresh, preparation))).all()
    assert set(labels) <= {"yes", "no"}


@pytest.mark.parametrize("name", list(REGRESSORS))
def test_each_regressor_answers_fresh_records_as_its_package_does(
    name: str,
    learned: pa.Table,
    held_out: pa.Table,
    preparation: Preparation,
    tmp_path: Path,
) -> None:
    model, package = sealed(
        Candidate(estimator=name), preparation, "spent", (learned, held_out), tmp_path
    )
    fresh = customers(FRESH_ROWS, seed=7)
    found = np.array(package.model().predict(raw(fresh, preparation)).column(0).to_pylist())
    wanted = model.predict(frame_of(fresh, preparation))
    assert np.allclose(found, wanted, rtol=1e-3, atol=1e-3 * np.std(wanted) + 1e-6)


@pytest.mark.parametrize("name", [name for name, each in CLASSIFIERS.items() if each.takes_missing])
def test_missing_numbers_that_are_kept_are_answered_alike(
    name: str,
    learned: pa.Table,
    held_out: pa.Table,
    preparation: Preparation,
    tmp_path: Path,
) -> None:
    chosen = msgspec.structs.replace(preparation, columns={**preparation.columns, **KEPT})
    model, package = sealed(
        Candidate(estimator=name), chosen, "left", (learned, held_out), tmp_path
    )
    fresh = customers(FRESH_ROWS, seed=7)
    labels = np.array(package.model().predict(raw(fresh, chosen)).column(0).to_pylist())
    assert (labels == model.predict(frame_of(fresh, chosen))).all()


@pytest.mark.parametrize(
    ("name", "estimator"), list(product(OTHERS, ["logistic_regression", "random_forest"]))
)
def test_each_way_to_prepare_is_inside_the_package(  # noqa: PLR0917 - fixtures
    name: str,
    estimator: str,
    learned: pa.Table,
    held_out: pa.Table,
    preparation: Preparation,
    tmp_path: Path,
) -> None:
    columns = {**preparation.columns, **OTHERS[name]}
    chosen = msgspec.structs.replace(preparation, columns=columns)
    model, package = sealed(
        Candidate(estimator=estimator), chosen, "left", (learned, held_out), tmp_path
    )
    fresh = customers(FRESH_ROWS, seed=7)
    labels = np.array(package.model().predict(raw(fresh, chosen)).column(0).to_pylist())
    assert (labels == model.predict(frame_of(fresh, chosen))).all()


@pytest.mark.parametrize("balance", ["weights", "over", "under", "smote", "noise"])
def test_what_is_done_for_rare_classes_is_not_in_the_package(
    balance: Any,
    learned: pa.Table,
    held_out: pa.Table,
    preparation: Preparation,
    tmp_path: Path,
) -> None:
    candidate = Candidate(estimator="logistic_regression", balance=balance)
    model, package = sealed(candidate, preparation, "left", (learned, held_out), tmp_path)
    fresh = customers(500, seed=7)
    labels = np.array(package.model().predict(raw(fresh, preparation)).column(0).to_pylist())
    assert (labels == model.predict(frame_of(fresh, preparation))).all()


def test_a_refusal_names_the_record_and_the_column_that_was_changed(
    learned: pa.Table,
    held_out: pa.Table,
    preparation: Preparation,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An export that fills what is missing otherwise; no record lacks this column by itself."""
    honest = skl2onnx.to_onnx

    def dishonest(*arguments: Any, **named: Any) -> Any:
        model = honest(*arguments, **named)
        for node in model.graph.node:
            for attribute in node.attribute:
                if attribute.name == "imputed_value_floats" and attribute.floats[-1] == 0.0:
                    attribute.floats[-1] = 100.0
        return model

    monkeypatch.setattr(skl2onnx, "to_onnx", dishonest)
    model = fit(
        learned, "left", Candidate(estimator="logistic_regression"), preparation=preparation
    )
    with pytest.raises(ProofError) as refused:
        seal(model, held_out, name="left", version="1", output=tmp_path / "package")
    assert re.search(r"\(record \d with 'is_member' missing\) gives", str(refused.value))
    assert re.search(r"step columns\.numeric_\d\.fill \(SimpleImputer\)", str(refused.value))
    assert "exported as Imputer" in str(refused.value)


@pytest.mark.parametrize("golden_rows", ["synthetic", "real"])
def test_held_out_records_are_in_the_package_only_where_that_is_said(
    golden_rows: Any,
    learned: pa.Table,
    held_out: pa.Table,
    preparation: Preparation,
    tmp_path: Path,
) -> None:
    model = fit(
        learned, "left", Candidate(estimator="logistic_regression"), preparation=preparation
    )
    package = seal(
        model,
        held_out,
        name="left",
        version="1",
        output=tmp_path / "package",
        golden_rows=golden_rows,
    )
    golden = package.description.golden
    assert golden != "none"
    found = {tensor["name"]: tensor["data"] for tensor in golden.inputs}
    since = set(held_out.column("since").cast(pa.int64()).to_pylist())
    income = held_out.column("income").cast(pa.float32(), safe=False).to_numpy()
    holds = {
        bool(since & set(found["since"])),
        bool(np.isin(np.array(found["income"], np.float32), income).any()),
    }
    assert holds == {golden_rows == "real"}


@pytest.mark.parametrize("golden_rows", [None, "None", "sythetic"])
def test_what_says_no_origin_of_golden_rows_is_refused(
    golden_rows: Any,
    learned: pa.Table,
    held_out: pa.Table,
    preparation: Preparation,
    tmp_path: Path,
) -> None:
    model = fit(
        learned, "left", Candidate(estimator="logistic_regression"), preparation=preparation
    )
    place = tmp_path / "package"
    with pytest.raises(InvalidRequestError, match=f"golden_rows is {golden_rows!r}, expected"):
        seal(model, held_out, name="left", version="1", output=place, golden_rows=golden_rows)
    assert not place.exists()


DATES = ["1969-12-31T23:59:59.5Z", "1883-11-18 12:03:58", "2024-02-29T12:00:00.999+05:30"]
SECONDS = [-1, -2_717_668_562, 1_709_188_200]


@pytest.mark.parametrize(
    "kind", [pa.string(), pa.timestamp("ms"), pa.timestamp("us", "Asia/Tokyo"), pa.timestamp("ns")]
)
def test_dates_are_learned_from_as_a_package_is_asked_with_them(kind: pa.DataType) -> None:
    texts = pa.array(DATES)
    utc = [datetime.fromisoformat(text).replace(tzinfo=None) for text in DATES[:2]]
    utc.append(datetime(2024, 2, 29, 6, 30, 0, 999_000))  # noqa: DTZ001 - without a zone: UTC
    values = texts if kind == pa.string() else pa.array(utc, pa.timestamp("us")).cast(kind)
    when = Preparation(columns={"at": Date()})
    learned = frame_of(pa.table({"at": values}), when)["at"].tolist()
    column = Column("at", Dtype.INT64, moment=True)
    _, _, _, asked, _ = from_arrow(pa.record_batch({"at": values}), [column])[0]
    assert isinstance(asked, memoryview)
    assert learned == np.frombuffer(asked, np.int64).tolist() == SECONDS


def test_a_stated_date_is_read_as_any_other() -> None:
    holes = pa.table({"at": pa.nulls(1, pa.date32())})
    when = Preparation(columns={"at": Date(missing=DATES[0])})
    assert frame_of(holes, when)["at"].tolist() == SECONDS[:1]
    for wrong in ("1970-02-30", "then"):
        with pytest.raises(InvalidRequestError, match="expected a date such as 1970-01-01"):
            frame_of(holes, Preparation(columns={"at": Date(missing=wrong)}))
    for values in (pa.array([0.0]), pa.array([True])):
        with pytest.raises(DtypeError, match="expected dates"):
            frame_of(pa.table({"at": values}), when)


def test_the_package_of_a_model_with_dates_takes_moments(
    learned: pa.Table, held_out: pa.Table, preparation: Preparation, tmp_path: Path
) -> None:
    candidate = Candidate(estimator=next(iter(CLASSIFIERS)))
    _, package = sealed(candidate, preparation, "left", (learned, held_out), tmp_path)
    assert [each.name for each in package.signature.inputs if each.moment] == ["since"]
    times = raw(customers(50, seed=3), preparation)
    place = times.schema.get_field_index("since")
    texts = [each.isoformat() for each in times["since"].to_pylist()]
    answers = package.model().predict(times)
    for values in (times["since"].cast(pa.int64()), pa.array(texts)):
        assert package.model().predict(times.set_column(place, "since", values)) == answers
