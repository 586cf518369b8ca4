"""Golden rows: nobody's unless asked otherwise, the model's own answers, and the same each time."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from inline_snapshot import snapshot
from sklearn.compose import ColumnTransformer
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from shoal import package
from shoal.errors import InvalidRequestError, UnsupportedModelError
from shoal.runtime import read_description

if TYPE_CHECKING:
    from pathlib import Path

    from shoal.package import GoldenRows, Package

CITIES = ["Köln", "Oslo", "Łódź"]
ROWS = 500


def people(seed: int) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "age": random.normal(40, 12, ROWS).astype(np.float32).astype(float),
            "visits": random.integers(1000, 9000, ROWS),
            "city": random.choice(CITIES, ROWS),
            "member": random.random(ROWS) < 0.5,
            "notes": [" ".join(random.choice(["good", "late", "never"], 3)) for _ in range(ROWS)],
        }
    )


@pytest.fixture(scope="module")
def model() -> Any:
    frame = people(0)
    columns = [
        ("numbers", StandardScaler(), ["age", "visits"]),
        ("cities", OneHotEncoder(handle_unknown="ignore"), ["city"]),
        ("notes", TfidfVectorizer(), "notes"),
    ]
    pipeline = make_pipeline(ColumnTransformer(columns), LogisticRegression())
    return pipeline.fit(frame, np.where(frame["age"] > 40, "old", "young"))


def seal(model: Any, place: Path, golden_rows: GoldenRows = "synthetic", **named: Any) -> Package:
    settings = package.Settings(golden_rows=golden_rows)
    return package.build(model, name="m", version="1", output=place, settings=settings, **named)


def golden_values(built: Package) -> dict[str, list[Any]]:
    golden = json.loads(built.description_text)["golden"]
    return {tensor["name"]: tensor["data"] for tensor in golden["inputs"]}


def test_no_value_of_a_record_is_in_the_golden_rows(model: Any, tmp_path: Path) -> None:
    held_out = people(1)
    built = seal(model, tmp_path / "m", example=held_out)
    found = golden_values(built)
    assert not np.isin(np.array(found["age"], np.float32), held_out["age"]).any()
    assert not np.isin(found["visits"], held_out["visits"]).any()
    assert not np.isin(found["notes"], held_out["notes"]).any()
    assert package.inspect(built.path).golden_origin == "synthetic"
    assert package.verify(built.path).golden == "matched"


def test_records_are_in_the_golden_rows_where_that_is_said(model: Any, tmp_path: Path) -> None:
    held_out = people(1)
    built = seal(model, tmp_path / "m", "real", example=held_out)
    ages = np.array(golden_values(built)["age"], np.float32)
    assert ages.tolist() == held_out["age"].tolist()[:4]
    assert golden_values(built)["notes"] == held_out["notes"].tolist()[:4]
    assert package.inspect(built.path).golden_origin == "real"
    assert package.verify(built.path).golden == "matched"


def test_made_up_rows_hold_words_that_the_model_knows(model: Any, tmp_path: Path) -> None:
    found = golden_values(seal(model, tmp_path / "m", example=people(1)))
    assert sum(city in CITIES for city in found["city"]) == 2
    known = [text for text in found["notes"] if set(text.split()) <= {"good", "late", "never"}]
    assert len(known) == 2


def test_made_up_rows_do_not_depend_on_the_example(model: Any, tmp_path: Path) -> None:
    digests = {seal(model, tmp_path / f"{i}", example=people(i)).digest for i in (1, 2)}
    assert len(digests) == 1


def test_a_package_may_have_none(model: Any, tmp_path: Path) -> None:
    built = seal(model, tmp_path / "m", "none", example=people(1))
    assert built.description.golden == "none"
    assert package.verify(built.path).golden == "none"
    assert package.inspect(built.path).golden_origin == "none"


def test_an_onnx_file_without_an_example_has_made_up_rows(
    model_bytes: bytes, tmp_path: Path
) -> None:
    built = seal(model_bytes, tmp_path / "m")
    assert package.verify(built.path).golden_rows == 4
    with pytest.raises(InvalidRequestError, match="no example to take them from"):
        seal(model_bytes, tmp_path / "other", "real")


@pytest.mark.parametrize("golden_rows", ["synthetic", "real"])
def test_golden_rows_of_a_python_model_are_real_only_where_that_is_said(
    golden_rows: Literal["synthetic", "real"], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "doubling.py").write_text(
        "def answer(batch):\n    return {'b': batch.column('a').to_numpy() * 2}\n"
    )
    monkeypatch.chdir(tmp_path)
    built = seal("doubling:answer", tmp_path / "m", golden_rows, example={"a": [17.25, 90.5]})
    found = golden_values(built)["a"]
    assert ({17.25, 90.5} & set(found) != set()) == (golden_rows == "real")
    assert package.verify(built.path, allow_code=True).golden == "matched"


PARSING = """
def answer(batch):
    return {"year": [int(text[:4]) for text in batch.column("day").to_pylist()]}
"""


def test_a_model_that_refuses_made_up_rows_needs_a_choice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "parsing.py").write_text(PARSING)
    monkeypatch.chdir(tmp_path)
    example = {"day": ["2026-01-31", "2025-12-01"]}
    with pytest.raises(UnsupportedModelError, match="refuses made-up rows") as refused:
        seal("parsing:answer", tmp_path / "m", example=example)
    assert "golden_rows='real'" in str(refused.value.hint)
    assert seal("parsing:answer", tmp_path / "m", "none", example=example).digest
    real = seal("parsing:answer", tmp_path / "real", "real", example=example)
    assert golden_values(real)["day"] == example["day"]


def test_columns_that_take_null_have_some(tmp_path: Path) -> None:
    frame = people(1)[["age", "visits"]].astype(float)
    frame.loc[::7, "age"] = np.nan
    model = make_pipeline(SimpleImputer(), LogisticRegression()).fit(frame, people(1)["member"])
    built = seal(model, tmp_path / "m", example=frame)
    golden = json.loads(built.description_text)["golden"]
    values = [value for tensor in golden["inputs"] for value in tensor["data"]]
    assert None in values
    assert package.verify(built.path).golden == "matched"


@pytest.mark.parametrize("kind", [None, False, "None", "sythetic", "", 0])
def test_what_says_no_origin_is_refused_and_keeps_no_record(kind: Any, tmp_path: Path) -> None:
    """Before anything else: the example would be refused too."""
    with pytest.raises(InvalidRequestError) as refused:
        seal(LogisticRegression(), tmp_path / "m", kind, example=None)
    message = f"golden_rows is {kind!r}, expected one of 'synthetic', 'real', 'none'"
    assert str(refused.value) == message
    assert not (tmp_path / "m").exists()


def test_words_that_a_model_refuses_are_not_tried(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    frame = people(1)[["age", "city"]]
    columns = [("age", StandardScaler(), ["age"]), ("city", OneHotEncoder(), ["city"])]
    model = make_pipeline(ColumnTransformer(columns), LogisticRegression())
    model.fit(frame, people(1)["member"])
    found = golden_values(seal(model, tmp_path / "m", example=frame))
    assert len(found["city"]) == 4
    assert set(found["city"]) <= set(CITIES)
    assert capfd.readouterr().err == ""  # ONNX Runtime tells of each row that it refuses


def test_rows_whose_origin_is_not_said_are_real(sealed: Package) -> None:
    text = sealed.description_text.replace('"origin":"synthetic",', "")
    golden = read_description(text).golden
    assert golden != "none"
    assert golden.origin == "real"


def test_made_up_rows_are_the_same_in_every_version() -> None:
    from shoal.package._proving._made_up import Words, varied_rows
    from shoal.values import Column, Dtype

    columns = (
        Column("x", Dtype.FP32, (2,)),
        Column("n", Dtype.INT64, nullable=True),
        Column("t", Dtype.BYTES),
    )
    rows = varied_rows(columns, {"t": Words(("a", "b", "c"), is_sentence=True)})
    found = rows.take(np.arange(4)).to_batch()
    assert pa.Table.from_batches([found]).to_pylist() == snapshot(
        [
            {"x": [0.09847800433635712, -0.44386136531829834], "n": None, "t": "text 311"},
            {"x": [2.4149999618530273, 1149.426025390625], "n": 0, "t": "b"},
            {"x": [0.17041365802288055, 0.45053553581237793], "n": 1, "t": "text 261"},
            {"x": [637.64697265625, 0.367000013589859], "n": 112, "t": "c c a b"},
        ]
    )
