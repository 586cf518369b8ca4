"""A refusal of the gate says where the answers part, why, and what helps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
import pytest
import skl2onnx
from sklearn.compose import ColumnTransformer
from sklearn.datasets import make_classification
from sklearn.decomposition import PCA
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.impute import KNNImputer, SimpleImputer
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.preprocessing import (
    MinMaxScaler,
    OneHotEncoder,
    QuantileTransformer,
    StandardScaler,
)
from sklearn.tree import DecisionTreeClassifier
from threadpoolctl import threadpool_limits

from shoal import package
from shoal.errors import ProofError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

X, Y = make_classification(3000, 8, n_informative=6, n_classes=3, random_state=0)
X = X.astype(np.float32)
ON_A_GRID = X.round(1)
WITH_GAPS = np.where(np.random.default_rng(0).random(X.shape) < 0.1, np.float32(np.nan), X)
WORDS = np.array(["good", "bad", "GROẞ", "late"])
TEXTS = [" ".join(np.random.default_rng(row).choice(WORDS, 3)) for row in range(1200)]
FITTED, HELD_OUT = slice(0, 1000), slice(1000, None)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Small models are learned sooner by one thread than by several that wait for each other."""
    with threadpool_limits(1):
        yield


class Bad(NamedTuple):
    """A model whose export answers otherwise."""

    model: Any
    rows: Any
    fitted_on: Any
    step: str
    cause: str


def bad(model: Any, rows: Any, step: str, cause: str, fitted_on: Any = None) -> Bad:
    return Bad(model, rows, rows if fitted_on is None else fitted_on, step, cause)


BAD = {
    "scaled before trees": bad(
        make_pipeline(StandardScaler(), DecisionTreeClassifier(random_state=0)),
        ON_A_GRID,
        "standardscaler (StandardScaler), exported as Sub, Mul, which differs by",
        "on the threshold of a tree",
    ),
    "missing in trees": bad(
        make_pipeline(MinMaxScaler(), DecisionTreeClassifier(random_state=0)),
        WITH_GAPS,
        "DecisionTreeClassifier), exported as TreeEnsembleClassifier",
        "to which side",
        fitted_on=X,
    ),
    "a draw": bad(
        RandomForestClassifier(20, random_state=0),
        X,
        "RandomForestClassifier, exported as TreeEnsembleClassifier",
        "equally likely",
    ),
    "an offset before histograms": bad(
        HistGradientBoostingClassifier(max_iter=20, random_state=0),
        (X * 1000 + 1.7e9).astype(np.float32),
        "HistGradientBoostingClassifier, exported as TreeEnsembleClassifier",
        "a value between the two",
    ),
    "neighbours that impute": bad(
        make_pipeline(KNNImputer(), LogisticRegression(max_iter=1000)),
        WITH_GAPS.round(),
        "knnimputer (KNNImputer), exported as",
        "export of KNNImputer takes others",
    ),
    "neighbours": bad(
        KNeighborsClassifier(weights="distance"),
        ON_A_GRID,
        "KNeighborsClassifier, exported as",
        "takes others of them",
    ),
    "saturated probabilities": bad(
        SGDClassifier(loss="log_loss", random_state=0),
        np.abs(ON_A_GRID) * 50,
        "SGDClassifier, exported as",
        "probabilities near 1 are equal",
    ),
    "an offset": bad(
        make_pipeline(PCA(3), LogisticRegression(max_iter=3000)),
        (X * 100 + 1e6).astype(np.float32),
        "pca (PCA), exported as Sub, MatMul",
        "close together far from zero",
    ),
    "capital letters": bad(
        make_pipeline(TfidfVectorizer(), LogisticRegression()),
        TEXTS,
        "tfidfvectorizer (TfidfVectorizer), exported as",
        "lowers ASCII letters only",
    ),
}


def refused(model: Any, example: Any, place: Path, **named: Any) -> ProofError:
    with pytest.raises(ProofError) as raised:
        package.build(model, name="bad", version="1", output=place, example=example, **named)
    return raised.value


@pytest.mark.parametrize("name", list(BAD))
def test_a_known_cause_is_told_with_its_remedy(name: str, tmp_path: Path) -> None:
    case = BAD[name]
    labels = Y[: len(case.rows)]
    case.model.fit(case.fitted_on[FITTED], labels[FITTED])
    error = refused(case.model, case.rows[HELD_OUT], tmp_path / "bad", weak_proof=True)
    assert case.step in str(error)
    assert case.cause in str(error.hint)


def test_quantiles_that_only_single_precision_takes_for_equal_are_told(tmp_path: Path) -> None:
    """As percentiles of values with few digits are: they lie between two that are the same."""
    rows = ON_A_GRID[:, :1]
    model = make_pipeline(QuantileTransformer(n_quantiles=12), LogisticRegression())
    model.fit(rows[FITTED], Y[FITTED])
    quantiles = model[0].quantiles_[:, 0]
    quantiles[5] = np.float32(0.1)
    quantiles[6] = quantiles[5] + 1e-15
    error = refused(model, rows[HELD_OUT], tmp_path / "bad")
    assert "quantiletransformer (QuantileTransformer), exported as" in str(error)
    assert "Two quantiles are equal in single precision" in str(error.hint)


def test_the_row_and_the_part_of_a_column_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One scaler of two is exported with another mean."""
    frame = pd.DataFrame({"a": X[:, 0], "b": X[:, 1], "c": X[:, 2]}).astype(float)
    columns = ColumnTransformer(
        [
            ("left", StandardScaler(), ["a"]),
            ("right", make_pipeline(MinMaxScaler(), StandardScaler()), ["b", "c"]),
        ]
    )
    model = make_pipeline(columns, LogisticRegression()).fit(frame[FITTED], Y[FITTED])
    mean = model[0].named_transformers_["right"][1].mean_.astype(np.float32)
    sabotage(monkeypatch, lambda scaler: moved(scaler, mean))
    names = [f"number {row}" for row in range(2000)]
    settings = package.Settings(row_names=names)
    error = refused(model, frame[HELD_OUT], tmp_path / "bad", settings=settings)
    assert "row 0 (number 0) gives" in str(error)
    place = "columntransformer.right.standardscaler (StandardScaler), exported as Mul, Sub"
    assert f"They part in the step {place}, which differs by" in str(error)


def test_parts_of_a_union_are_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    union = FeatureUnion([("plain", MinMaxScaler()), ("normal", StandardScaler())])
    model = make_pipeline(union, LogisticRegression()).fit(X[FITTED], Y[FITTED])
    mean = model[0].transformer_list[1][1].mean_.astype(np.float32)
    sabotage(monkeypatch, lambda scaler: moved(scaler, mean))
    error = refused(model, X[HELD_OUT], tmp_path / "bad")
    assert "in the step featureunion.normal (StandardScaler), exported as Sub, Mul" in str(error)


def test_a_part_that_only_a_whole_makes_too_far_is_refused_as_such(tmp_path: Path) -> None:
    """The parts lie within their tolerance; among zeros and ones the same distance does not."""
    random = np.random.default_rng(2)
    frame = pd.DataFrame({name: random.normal(1000, 100, 2000) for name in "xy"})
    frame["city"] = random.choice(["Oslo", "Rome", "Bonn"], len(frame))
    city = OneHotEncoder(sparse_output=False)
    model = ColumnTransformer([("sum", PCA(1), ["x", "y"]), ("city", city, ["city"])]).fit(frame)
    error = refused(model, frame, tmp_path / "bad")
    assert "They part in ColumnTransformer, exported as" in str(error)


def test_text_that_is_equal_is_not_where_answers_part(tmp_path: Path) -> None:
    texts = np.random.default_rng(0).choice(["Oslo", "Rome", ""], len(X))
    frame = pd.DataFrame(np.abs(ON_A_GRID) * 50, columns=list("abcdefgh")).assign(city=texts)
    city = make_pipeline(
        SimpleImputer(missing_values="", strategy="most_frequent"),
        OneHotEncoder(handle_unknown="ignore"),
    )
    columns = ColumnTransformer([("city", city, ["city"]), ("a", "passthrough", [*"abcdefgh"])])
    last = SGDClassifier(loss="log_loss", random_state=0)
    model = make_pipeline(columns, last).fit(frame[FITTED], Y[FITTED])
    error = refused(model, frame[HELD_OUT], tmp_path / "bad")
    assert "They part in the step sgdclassifier (SGDClassifier), exported as" in str(error)
    assert "probabilities near 1 are equal" in str(error.hint)


def test_equally_likely_classes_are_no_cause_of_other_probabilities(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The label is right, and each first probability of a row is wrong."""
    rows = np.repeat(X[:1], 500, axis=0)
    model = RandomForestClassifier(2, random_state=0, bootstrap=False)
    model.fit(rows, np.arange(500) % 2)
    assert np.ptp(model.predict_proba(rows)[0]) == 0
    sabotage(monkeypatch, lambda node: None, less_likely)
    error = refused(model, rows, tmp_path / "bad")
    assert "in column 'probabilities'" in str(error)
    assert "equally likely" not in str(error.hint)


def test_a_model_that_cannot_be_explained_is_refused_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its last step answers no lone row, which explaining asks for."""
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(X[FITTED], Y[FITTED])
    answer = model[-1].predict

    def of_several(rows: Any) -> Any:
        if len(rows) < 2:
            raise ValueError("a lone row")
        return answer(rows)

    model[-1].predict = of_several
    sabotage(monkeypatch, lambda node: None, swap_labels)
    error = refused(model, X[HELD_OUT], tmp_path / "bad")
    assert "disagrees with the original on" in str(error)
    assert "They part" not in str(error)
    assert "No step was found: ValueError: a lone row" in error.__notes__


def test_what_has_no_known_cause_is_named_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(X[FITTED], Y[FITTED])
    sabotage(monkeypatch, lambda node: None, swap_labels)
    error = refused(model, X[HELD_OUT], tmp_path / "bad")
    step = "logisticregression (LogisticRegression), exported as LinearClassifier"
    assert f"They part in the step {step}" in str(error)
    assert "Change the step" in str(error.hint)


def sabotage(
    monkeypatch: pytest.MonkeyPatch,
    change_scaler: Callable[[Any], None],
    change_model: Callable[[Any], None] = lambda model: None,
) -> None:
    """Lets skl2onnx export other scalers, or others models."""
    honest = skl2onnx.to_onnx

    def dishonest(*arguments: Any, **named: Any) -> Any:
        model = honest(*arguments, **named)
        for node in model.graph.node:
            if node.op_type == "Scaler":
                change_scaler(node)
        change_model(model)
        return model

    monkeypatch.setattr(skl2onnx, "to_onnx", dishonest)


def moved(scaler: Any, mean: np.ndarray) -> None:
    """Moves the mean of this scaler; others are left as they are."""
    offset = next(each for each in scaler.attribute if each.name == "offset")
    if np.allclose(offset.floats, mean):
        offset.floats[0] += 0.25


def swap_labels(model: Any) -> None:
    for node in model.graph.node:
        for each in node.attribute:
            if each.name == "classlabels_ints":
                each.ints[0], each.ints[1] = each.ints[1], each.ints[0]


def less_likely(model: Any) -> None:
    """Takes a little of every weight of the last class in trees."""
    for node in model.graph.node:
        found = {each.name: each for each in node.attribute}
        if "class_weights" in found:
            weights = found["class_weights"].floats
            weights[:] = [weight * (0.9 if at % 2 else 1.0) for at, weight in enumerate(weights)]
