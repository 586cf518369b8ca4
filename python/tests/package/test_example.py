"""The example of an estimator: chosen by name, read as the model was fitted, refused by name."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import RandomForestClassifier
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.svm import LinearSVC

from shoal import package
from shoal.errors import (
    DtypeError,
    DuplicateColumnError,
    InputError,
    InvalidRequestError,
    MissingColumnError,
    NullError,
    ProofError,
    ShoalError,
    UnexpectedColumnError,
    UnsupportedModelError,
)

if TYPE_CHECKING:
    from shoal.package import Package

COUNT = 500
FITTED, HELD_OUT = slice(0, 260), slice(260, COUNT)
RANDOM = np.random.default_rng(4)
NUMBERS = pd.DataFrame(RANDOM.normal(size=(COUNT, 3)), columns=["age", "income", "score"])
LABELS = (NUMBERS["age"] + NUMBERS["income"] * 0.3 > 0).astype(int)
WORDS = ["cheap", "pills", "buy", "now", "meeting", "project", "hello", "win", "money", "a", "I"]
TEXTS = [" ".join(RANDOM.choice(WORDS, 6)) for _ in range(COUNT)]
SPAM = np.array([int("pills" in text or "money" in text) for text in TEXTS])


def sealed(model: object, example: Any, place: Path, **named: Any) -> Package:
    return package.build(
        model, name="model", version="1", output=place / "model", example=example, **named
    )


def table(frame: pd.DataFrame) -> pa.RecordBatch:
    return pa.RecordBatch.from_pandas(frame, preserve_index=False)


@pytest.fixture(scope="module")
def named() -> Any:
    model = make_pipeline(StandardScaler(), LogisticRegression())
    return model.fit(NUMBERS[FITTED], LABELS[FITTED])


@pytest.fixture(scope="module")
def texts() -> Any:
    return make_pipeline(TfidfVectorizer(), LogisticRegression()).fit(TEXTS[FITTED], SPAM[FITTED])


@pytest.mark.parametrize("vectorizer", [TfidfVectorizer(), CountVectorizer(ngram_range=(1, 2))])
def test_text_beyond_ascii_is_answered_as_by_the_original(vectorizer: Any, tmp_path: Path) -> None:
    model = make_pipeline(vectorizer, LogisticRegression()).fit(TEXTS[FITTED], SPAM[FITTED])
    asked = ["moneyß now", "pillsé hello", "a b c money", "żmoney PILLS", "日本 money_x 3 x"]
    answers = (
        sealed(model, TEXTS[HELD_OUT], tmp_path).model().predict(pa.record_batch([asked], ["text"]))
    )
    found = np.array(answers.column("probabilities").to_pylist())
    assert np.abs(found - model.predict_proba(asked)).max() < 1e-5


def test_an_export_that_knows_only_ascii_is_refused_on_ascii_rows(
    texts: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shoal.package._scikit._export._LETTERS", "[a-zA-Z0-9_]")
    with pytest.raises(ProofError, match="disagrees"):
        sealed(texts, TEXTS[HELD_OUT], tmp_path)


def test_upper_case_beyond_ascii_is_refused_with_the_way_out(tmp_path: Path) -> None:
    upper = [text.replace("money", "ÉTÉ") for text in TEXTS]
    model = make_pipeline(TfidfVectorizer(), LogisticRegression())
    model.fit(upper[FITTED], SPAM[FITTED])
    with pytest.raises(ProofError) as caught:
        sealed(model, upper[HELD_OUT], tmp_path)
    assert "lower case yourself" in str(caught.value.hint)
    sealed(model, [text.lower() for text in upper[HELD_OUT]], tmp_path)


def test_one_letter_words_are_answered_as_by_the_original(tmp_path: Path) -> None:
    words = TfidfVectorizer(token_pattern=r"(?u)\b\w+\b")
    model = make_pipeline(words, LogisticRegression()).fit(TEXTS[FITTED], SPAM[FITTED])
    sealed(model, TEXTS[HELD_OUT], tmp_path)


def test_a_pattern_that_onnx_reads_otherwise_is_refused(tmp_path: Path) -> None:
    words = TfidfVectorizer(token_pattern=r"\b\w{3}")
    model = make_pipeline(words, LogisticRegression()).fit(TEXTS[FITTED], SPAM[FITTED])
    with pytest.raises(UnsupportedModelError, match="token_pattern"):
        sealed(model, TEXTS[HELD_OUT], tmp_path)


def test_variants_do_not_count_as_rows_of_the_proof(texts: Any, tmp_path: Path) -> None:
    with pytest.raises(ProofError, match="199 rows"):
        sealed(texts, TEXTS[:199], tmp_path)


def test_several_vectorizers_beside_each_other_take_text(tmp_path: Path) -> None:
    both = FeatureUnion([("words", TfidfVectorizer()), ("pairs", CountVectorizer())])
    model = make_pipeline(both, LogisticRegression()).fit(TEXTS[FITTED], SPAM[FITTED])
    built = sealed(model, TEXTS[HELD_OUT], tmp_path)
    assert [column.name for column in built.signature.inputs] == ["text"]


@pytest.mark.parametrize(
    ("value", "error"), [(None, NullError), (float("nan"), NullError), (b"x", DtypeError)]
)
def test_what_is_no_text_is_refused_by_its_row(
    texts: Any, value: Any, error: type[ShoalError], tmp_path: Path
) -> None:
    rows: list[Any] = list(TEXTS[HELD_OUT])
    rows[5] = value
    with pytest.raises(error, match="row 5"):
        sealed(texts, rows, tmp_path)


def test_a_table_of_texts_has_one_column(texts: Any, tmp_path: Path) -> None:
    frame = pd.DataFrame({"number": range(COUNT), "body": TEXTS})
    for example in (frame, table(frame), frame.to_dict("list")):
        with pytest.raises(InvalidRequestError, match="2 columns, expected one"):
            sealed(texts, example, tmp_path)
    sealed(texts, frame[["body"]][HELD_OUT], tmp_path)


def test_a_date_is_not_turned_into_text(tmp_path: Path) -> None:
    frame = NUMBERS.assign(when=pd.Timestamp("2024-01-01"))
    columns = [("one", OneHotEncoder(handle_unknown="ignore"), ["when"])]
    model = make_pipeline(ColumnTransformer(columns), LogisticRegression())
    model.fit(frame[FITTED], LABELS[FITTED])
    with pytest.raises(DtypeError, match="'when'"):
        sealed(model, frame[HELD_OUT], tmp_path)


def visits(count: int = COUNT) -> pd.DataFrame:
    number = RANDOM.integers(0, 60, count)
    city = RANDOM.choice(["Oslo", "Rome"], count)
    return NUMBERS.assign(visits=number, city=city)


def mixed() -> Any:
    numbers = ("numbers", SimpleImputer(), ["visits"])
    cities = ("cities", OneHotEncoder(handle_unknown="ignore"), ["city"])
    return make_pipeline(ColumnTransformer([numbers, cities]), LogisticRegression())


def test_whole_numbers_beside_floats_are_sealed_as_floats(tmp_path: Path) -> None:
    frame = visits()
    model = mixed()
    # Fitted with a gap, so the mean that replaces it is no whole number.
    gaps = frame[FITTED].astype({"visits": float})
    gaps.iloc[::9, 3] = np.nan
    model.fit(gaps, LABELS[FITTED])
    built = sealed(model, frame[HELD_OUT], tmp_path)
    assert {column.name: column.dtype.value for column in built.signature.inputs}[
        "visits"
    ] == "FP32"
    answers = built.model().predict(table(frame[HELD_OUT]))
    assert answers.column("label").to_pylist() == model.predict(frame[HELD_OUT]).tolist()


def test_whole_numbers_that_cannot_be_floats_name_the_cast(tmp_path: Path) -> None:
    frame = visits()
    frame["visits"] += 2**40
    model = mixed().fit(frame[FITTED], LABELS[FITTED])
    with pytest.raises(ShoalError) as caught:
        sealed(model, frame[HELD_OUT], tmp_path)
    assert "example.astype({'visits': float})" in str(caught.value.hint)


def test_columns_are_chosen_by_name(named: Any, tmp_path: Path) -> None:
    built = sealed(named, NUMBERS[HELD_OUT][["score", "income", "age"]], tmp_path)
    answers = built.model().predict(table(NUMBERS[HELD_OUT]))
    assert answers.column("label").to_pylist() == named.predict(NUMBERS[HELD_OUT]).tolist()
    assert built.description.binding.inputs[0].features == ("age", "income", "score")


def test_other_columns_than_the_model_was_fitted_on_are_refused(named: Any, tmp_path: Path) -> None:
    with pytest.raises(MissingColumnError, match="'age'"):
        sealed(named, NUMBERS.rename(columns={"age": "years"}), tmp_path)
    with pytest.raises(UnexpectedColumnError, match="'target'"):
        sealed(named, NUMBERS.assign(target=LABELS), tmp_path)
    with pytest.raises(InvalidRequestError, match="2 features, the model was fitted on 3"):
        sealed(named, NUMBERS.to_numpy()[:, :2], tmp_path)


def test_a_column_beside_those_of_a_column_transformer_is_refused(tmp_path: Path) -> None:
    frame = visits()
    model = mixed().fit(frame[FITTED], LABELS[FITTED])
    with pytest.raises(UnexpectedColumnError, match="'target'"):
        sealed(model, frame.assign(target=LABELS), tmp_path)


def test_a_column_that_comes_twice_is_refused(named: Any, tmp_path: Path) -> None:
    frame = pd.concat([NUMBERS, NUMBERS[["age"]]], axis=1)
    doubled = pa.RecordBatch.from_arrays([pa.array([1.0])] * 2, names=["age", "age"])
    for example in (frame, doubled):
        with pytest.raises(DuplicateColumnError, match="'age'"):
            sealed(named, example, tmp_path)


def test_a_dictionary_of_columns_is_an_example(named: Any, tmp_path: Path) -> None:
    example = {name: NUMBERS[name][HELD_OUT].to_numpy() for name in NUMBERS}
    assert sealed(named, example, tmp_path).signature.inputs[0].shape == (3,)


def test_booleans_beside_numbers_are_numbers(tmp_path: Path) -> None:
    frame = pd.get_dummies(visits(), columns=["city"])
    model = LogisticRegression(max_iter=500).fit(frame[FITTED], LABELS[FITTED])
    built = sealed(model, frame[HELD_OUT], tmp_path)
    assert built.signature.inputs[0].shape == (6,)


@pytest.mark.parametrize("kind", ["Int64", "int64[pyarrow]"])
def test_whole_numbers_with_gaps_of_pandas_become_floats(kind: Any, tmp_path: Path) -> None:
    frame = visits()
    frame["visits"] = frame["visits"].astype(kind)
    frame.loc[::7, "visits"] = pd.NA
    built = sealed(mixed().fit(frame[FITTED], LABELS[FITTED]), frame[HELD_OUT], tmp_path)
    assert {each.column: each.missing for each in built.description.binding.inputs}[
        "visits"
    ] == "NaN"
    numbers = frame.drop(columns=["city"])
    model = make_pipeline(SimpleImputer(), LogisticRegression())
    model.fit(numbers[FITTED], LABELS[FITTED])
    sealed(model, numbers[HELD_OUT], tmp_path / "numbers")


def test_frames_of_arrow_types_are_sealed(tmp_path: Path) -> None:
    frame = visits().convert_dtypes(dtype_backend="pyarrow")
    sealed(mixed().fit(frame[FITTED], LABELS[FITTED]), frame[HELD_OUT], tmp_path)


def test_a_support_vector_machine_in_a_pipeline_is_sealed(tmp_path: Path) -> None:
    model = make_pipeline(StandardScaler(), LinearSVC())
    for at, targets in enumerate((LABELS, np.array(["no", "yes"])[LABELS])):
        model.fit(NUMBERS[FITTED], targets[FITTED])
        built = sealed(model, NUMBERS[HELD_OUT], tmp_path / str(at))
        assert [column.name for column in built.signature.outputs] == ["label", "scores"]


def test_whole_numbers_that_floats_cannot_hold_are_refused(tmp_path: Path) -> None:
    frame = NUMBERS.assign(code=RANDOM.integers(10**9, 2 * 10**9, COUNT))
    model = make_pipeline(StandardScaler(), LogisticRegression())
    model.fit(frame[FITTED], LABELS[FITTED])
    with pytest.raises(DtypeError, match="'code'") as caught:
        sealed(model, frame[HELD_OUT], tmp_path)
    assert "offset" in str(caught.value.hint)


def test_a_refusal_that_rounding_causes_says_so(tmp_path: Path) -> None:
    frame = pd.DataFrame({"time": 1.7e9 + RANDOM.uniform(0, 3600, COUNT)})
    labels = frame["time"] > 1.7e9 + 1800
    model = make_pipeline(StandardScaler(), LogisticRegression(C=1e4))
    model.fit(frame[FITTED], labels[FITTED])
    with pytest.raises(ProofError) as caught:
        sealed(model, frame[HELD_OUT], tmp_path)
    assert "offset" in str(caught.value.hint)


@pytest.mark.parametrize("name", ["model.pkl", "model.joblib", Path("model.pickle")])
def test_a_pickle_is_refused_unread(name: Any, tmp_path: Path) -> None:
    with pytest.raises(InvalidRequestError, match="pickle") as caught:
        sealed(name, NUMBERS, tmp_path)
    assert "Load it yourself" in str(caught.value.hint)


def test_a_class_of_estimators_is_no_fitted_one(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequestError, match="not a fitted one"):
        sealed(RandomForestClassifier, NUMBERS, tmp_path)


def test_predict_takes_nothing_but_a_record_batch(named: Any, tmp_path: Path) -> None:
    model = sealed(named, NUMBERS[HELD_OUT], tmp_path).model()
    for rows in (NUMBERS, NUMBERS.to_numpy(), NUMBERS.to_dict("list")):
        with pytest.raises(InputError, match=r"expected a pyarrow.RecordBatch"):
            model.predict(rows)
