"""Sealing fitted scikit-learn models: what is exported answers as the original does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from sklearn.cluster import KMeans
from sklearn.compose import ColumnTransformer
from sklearn.datasets import make_classification, make_regression
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    IsolationForest,
    RandomForestClassifier,
    VotingClassifier,
)
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.svm import SVC, LinearSVC
from sklearn.tree import DecisionTreeClassifier

from shoal import package
from shoal.errors import (
    InvalidRequestError,
    MissingColumnError,
    NullError,
    ProofError,
    UnsupportedModelError,
)

if TYPE_CHECKING:
    from pathlib import Path

ROWS, LABELS = make_classification(450, 8, n_informative=5, n_classes=3, random_state=0)
TARGETS = make_regression(450, 8, noise=3, random_state=0)[1]
FITTED, HELD_OUT = slice(0, 200), slice(200, 450)


def with_gaps(rows: Any) -> Any:
    return np.where(np.random.default_rng(0).random(rows.shape) < 0.1, np.nan, rows)


def mixed() -> pd.DataFrame:
    random = np.random.default_rng(1)
    return pd.DataFrame(
        {
            "age in years": ROWS[:, 0],
            "visits": random.integers(0, 50, len(ROWS)),
            "city": random.choice(["Köln", "Oslo", "Łódź"], len(ROWS)),
            "member": ROWS[:, 1] > 0,
        }
    )


def mixed_pipeline() -> Any:
    numbers = make_pipeline(SimpleImputer(), StandardScaler())
    cities = OneHotEncoder(handle_unknown="ignore")
    columns = [("numbers", numbers, ["age in years", "visits"]), ("cities", cities, ["city"])]
    return make_pipeline(ColumnTransformer(columns), LogisticRegression())


MODELS = {
    "labels of whole numbers": (LogisticRegression(), LABELS, ["label", "probabilities"]),
    "labels of text": (
        LogisticRegression(),
        np.array(["a", "bé", "c"])[LABELS],
        ["label", "probabilities"],
    ),
    "no option for its dictionaries": (LinearSVC(), LABELS, ["label", "scores"]),
    "two classes with one score": (LinearSVC(), LABELS > 1, ["label", "scores"]),
    "two classes with two scores": (SVC(), (LABELS > 1).astype(int), ["label", "scores"]),
    "several steps": (
        make_pipeline(StandardScaler(), LogisticRegression()),
        LABELS,
        ["label", "probabilities"],
    ),
    "voting": (
        VotingClassifier(
            [("a", LogisticRegression()), ("b", LogisticRegression(C=0.1))], voting="soft"
        ),
        LABELS,
        ["label", "probabilities"],
    ),
    "regression": (Ridge(), TARGETS, ["prediction"]),
    "two targets": (Ridge(), np.stack([TARGETS, -TARGETS], axis=1), ["prediction"]),
    "a transformer": (StandardScaler(), None, ["transformed"]),
    "clusters": (KMeans(3, random_state=0), None, ["label", "distances"]),
    "outliers": (IsolationForest(n_estimators=5, random_state=0), None, ["label", "scores"]),
}


@pytest.mark.parametrize("name", MODELS)
def test_a_sealed_model_answers_as_the_original(name: str, tmp_path: Path) -> None:
    model, targets, outputs = MODELS[name]
    model.fit(ROWS[FITTED], None if targets is None else targets[FITTED])
    built = package.build(
        model, name="model", version="1", output=tmp_path / "model", example=ROWS[HELD_OUT]
    )
    assert [column.name for column in built.signature.outputs] == outputs
    assert package.verify(tmp_path / "model").golden == "matched"
    column = pa.FixedSizeListArray.from_arrays(pa.array(ROWS[HELD_OUT].ravel()), 8)
    answers = built.model().predict(pa.record_batch({"X": column}))
    assert answers.num_rows == 250
    if outputs[0] == "label":
        expected = model.predict(ROWS[HELD_OUT].astype(np.float32).astype(float))
        labels = expected.astype(int) if expected.dtype == bool else expected
        assert answers.column("label").to_pylist() == labels.tolist()


def test_classes_are_named_at_the_probabilities(tmp_path: Path) -> None:
    model = LogisticRegression().fit(ROWS[FITTED], np.array(["a", "b", "c"])[LABELS[FITTED]])
    built = package.build(
        model, name="model", version="1", output=tmp_path / "model", example=ROWS[HELD_OUT]
    )
    assert built.signature.outputs[1].classes == ("a", "b", "c")
    assert built.signature.outputs[1].shape == (3,)


def test_a_frame_of_numbers_and_text_has_one_input_for_each_column(tmp_path: Path) -> None:
    frame = mixed()
    model = mixed_pipeline().fit(frame[FITTED], LABELS[FITTED])
    built = package.build(
        model, name="mixed", version="1", output=tmp_path / "mixed", example=frame[HELD_OUT]
    )
    found = [(column.name, column.dtype.value, column.shape) for column in built.signature.inputs]
    assert found == [
        ("age in years", "FP32", ()),
        ("visits", "INT64", ()),
        ("city", "BYTES", ()),
        ("member", "BOOL", ()),
    ]
    assert [each.rank for each in built.description.binding.inputs] == [2, 2, 2, 2]
    batch = pa.RecordBatch.from_pandas(frame[HELD_OUT], preserve_index=False)
    answers = built.model().predict(batch)
    assert answers.column("label").to_pylist() == model.predict(frame[HELD_OUT]).tolist()


def test_missing_numbers_of_a_frame_become_nan(tmp_path: Path) -> None:
    frame = mixed()
    frame.loc[::7, "age in years"] = np.nan
    model = mixed_pipeline().fit(frame[FITTED], LABELS[FITTED])
    built = package.build(
        model, name="mixed", version="1", output=tmp_path / "mixed", example=frame[HELD_OUT]
    )
    assert built.signature.inputs[0].nullable
    assert built.description.binding.inputs[0].missing == "NaN"
    assert not built.signature.inputs[1].nullable


def test_a_missing_text_needs_a_stated_value(tmp_path: Path) -> None:
    frame = mixed()
    model = mixed_pipeline().fit(frame[FITTED], LABELS[FITTED])
    frame.loc[::9, "city"] = None
    with pytest.raises(UnsupportedModelError, match="'city'"):
        package.build(
            model, name="mixed", version="1", output=tmp_path / "mixed", example=frame[HELD_OUT]
        )
    built = package.build(
        model,
        name="mixed",
        version="1",
        output=tmp_path / "mixed",
        example=frame[HELD_OUT],
        settings=package.Settings(missing={"city": "unknown"}),
    )
    assert built.description.binding.inputs[2].missing == "unknown"


def test_features_are_packed_by_name(tmp_path: Path) -> None:
    names = [f"feature {i}" for i in range(8)]
    frame = pd.DataFrame(ROWS, columns=names)
    model = make_pipeline(StandardScaler(), LogisticRegression())
    model.fit(frame[FITTED], LABELS[FITTED])
    built = package.build(
        model, name="named", version="1", output=tmp_path / "named", example=frame[HELD_OUT]
    )
    opened = built.model()
    turned = pa.RecordBatch.from_pandas(frame[HELD_OUT][names[::-1]], preserve_index=False)
    answers = opened.predict(turned)
    assert answers.column("label").to_pylist() == model.predict(frame[HELD_OUT]).tolist()
    with pytest.raises(MissingColumnError, match="feature 3"):
        opened.predict(turned.drop_columns(["feature 3"]))
    column = pa.array([None, *ROWS[:9, 0]])
    with pytest.raises(NullError, match="feature 0"):
        opened.predict(turned.slice(0, 10).set_column(7, "feature 0", column))


def test_a_null_feature_becomes_nan_where_the_model_takes_it(tmp_path: Path) -> None:
    names = [f"f{i}" for i in range(8)]
    frame = pd.DataFrame(with_gaps(ROWS), columns=names)
    model = HistGradientBoostingClassifier(max_iter=5).fit(frame[FITTED], LABELS[FITTED])
    built = package.build(
        model, name="gaps", version="1", output=tmp_path / "gaps", example=frame[HELD_OUT]
    )
    rounded = frame[HELD_OUT].astype(np.float32).astype(float)
    batch = pa.RecordBatch.from_pandas(frame[HELD_OUT], preserve_index=False)
    assert batch.column(0).null_count
    answers = built.model().predict(batch)
    assert answers.column("label").to_pylist() == model.predict(rounded).tolist()


def test_text_is_folded_without_a_locale_of_the_system(tmp_path: Path) -> None:
    texts = ["the cat sat", "dogs RUN fast", "a Bird"] * 70
    labels = np.array([0, 1, 2] * 70)
    model = make_pipeline(TfidfVectorizer(), LogisticRegression()).fit(texts[:90], labels[:90])
    built = package.build(
        model, name="text", version="1", output=tmp_path / "text", example=[*texts[:205]]
    )
    assert b"locale" in built.read("model.onnx")
    assert b"en_US" not in built.read("model.onnx")
    assert built.model().predict(pa.record_batch({"text": ["dogs RUN"]})).column(0)[0].as_py() == 1


@pytest.mark.parametrize(
    "model",
    [RandomForestClassifier(5, random_state=0), DecisionTreeClassifier(random_state=0)],
    ids=["forest", "tree"],
)
def test_trees_fitted_on_missing_values_are_refused(model: Any, tmp_path: Path) -> None:
    model.fit(with_gaps(ROWS)[FITTED], LABELS[FITTED])
    with pytest.raises(UnsupportedModelError, match="fitted on missing values"):
        package.build(
            model, name="trees", version="1", output=tmp_path / "trees", example=ROWS[HELD_OUT]
        )
    assert not (tmp_path / "trees").exists()


def test_trees_fitted_without_missing_values_are_sealed(tmp_path: Path) -> None:
    model = DecisionTreeClassifier(random_state=0).fit(ROWS[FITTED], LABELS[FITTED])
    package.build(
        model, name="trees", version="1", output=tmp_path / "trees", example=ROWS[HELD_OUT]
    )
    with pytest.raises(ProofError):
        package.build(
            model,
            name="trees",
            version="2",
            output=tmp_path / "other",
            example=with_gaps(ROWS)[HELD_OUT],
        )


def test_an_indicator_of_missing_values_is_refused(tmp_path: Path) -> None:
    model = make_pipeline(SimpleImputer(add_indicator=True), LogisticRegression())
    model.fit(with_gaps(ROWS)[FITTED], LABELS[FITTED])
    with pytest.raises(UnsupportedModelError, match="add_indicator"):
        package.build(
            model, name="model", version="1", output=tmp_path / "model", example=ROWS[HELD_OUT]
        )


def test_a_model_that_is_not_fitted_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedModelError, match="NotFittedError"):
        package.build(
            LogisticRegression(), name="m", version="1", output=tmp_path / "m", example=ROWS
        )


def test_a_model_without_a_converter_is_refused(tmp_path: Path) -> None:
    class Own(LogisticRegression):  # type: ignore[misc] # scikit-learn ships no types
        pass

    model = Own().fit(ROWS[FITTED], LABELS[FITTED])
    with pytest.raises(UnsupportedModelError, match="cannot be exported"):
        package.build(model, name="m", version="1", output=tmp_path / "m", example=ROWS)


@pytest.mark.parametrize(
    ("name", "version"),
    [("Digits", "1"), ("a/b", "1"), ("", "1"), ("a", ""), ("a", "1-modelpack"), ("a", "-1")],
)
def test_a_name_that_no_registry_takes_is_refused(name: str, version: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidRequestError):
        package.build(
            LogisticRegression(), name=name, version=version, output=tmp_path / "m", example=ROWS
        )
