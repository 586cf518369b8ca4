"""Estimators that decide alike here and in a package, where values repeat and classes are equal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest
from sklearn.datasets import load_diabetes, load_digits
from sklearn.ensemble import RandomForestClassifier
from sklearn.feature_extraction.text import CountVectorizer, TfidfTransformer
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.preprocessing import PolynomialFeatures
from sklearn.svm import SVC, SVR, LinearSVC, LinearSVR

from shoal import package
from shoal.train._estimators import _double_onnx
from shoal.train._estimators._double import doubled
from shoal.train._estimators._leaves import in_units, round_leaves
from shoal.train._estimators._neighbours import NearestClassifier, NearestRegressor
from shoal.train._prepare import _transformers_onnx
from shoal.train._prepare._transformers import Products, WordWeights

if TYPE_CHECKING:
    from pathlib import Path

    from shoal.package import Package

PIXELS, DIGITS = load_digits(return_X_y=True)
NAMES = np.array(["zero", "éin", "two"])
CLASSES = {"2": DIGITS % 2, "3": NAMES[DIGITS % 3], "10": DIGITS}
BODIES, SUGAR = load_diabetes(return_X_y=True)
BODIES = BODIES.astype(np.float32).astype(float)
FITTED, HELD_OUT = slice(0, 200), slice(200, 600)


@pytest.fixture(autouse=True)
def registered() -> None:
    _double_onnx.register()
    _transformers_onnx.register()


def sealed(model: Any, rows: Any, place: Path) -> Package:
    return package.build(model, name="m", version="1", output=place / "m", example=rows[HELD_OUT])


def answers(built: Package, rows: Any) -> list[np.ndarray]:
    flat = pa.array(rows.astype(np.float32).ravel())
    batch = pa.record_batch({"X": pa.FixedSizeListArray.from_arrays(flat, rows.shape[1])})
    found = built.model().predict(batch)
    return [np.array(column.to_pylist()) for column in found.columns]


@pytest.mark.parametrize("classes", CLASSES)
@pytest.mark.parametrize(
    "model",
    [
        LogisticRegression(max_iter=200),
        GaussianNB(),
        MLPClassifier((8, 4), max_iter=30, random_state=0),
        MLPClassifier(8, activation="tanh", max_iter=30, random_state=0),
        LinearSVC(max_iter=200),
        SVC(),
    ],
    ids=lambda model: f"{type(model).__name__}-{getattr(model, 'activation', '')}",
)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_a_classifier_is_exported_in_double_precision(
    model: Any, classes: str, tmp_path: Path
) -> None:
    model.fit(PIXELS[FITTED], CLASSES[classes][FITTED])
    double = doubled(model)
    label, numbers = answers(sealed(double, PIXELS, tmp_path), PIXELS)
    assert (label == model.predict(PIXELS)).all()
    is_probable = hasattr(model, "predict_proba")
    wanted = double.predict_proba(PIXELS) if is_probable else double.decision_function(PIXELS)
    assert np.allclose(numbers, wanted, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    "model",
    [
        LinearRegression(),
        Ridge(),
        LinearSVR(),
        SVR(C=100.0),
        MLPRegressor(hidden_layer_sizes=8, max_iter=50, random_state=0),
    ],
    ids=lambda model: type(model).__name__,
)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_a_regressor_is_exported_in_double_precision(model: Any, tmp_path: Path) -> None:
    model.fit(BODIES[FITTED], SUGAR[FITTED])
    (numbers,) = answers(sealed(doubled(model), BODIES, tmp_path), BODIES)
    assert np.allclose(numbers, model.predict(BODIES), rtol=1e-6)


def test_what_has_no_double_export_is_left_as_it_is() -> None:
    for other in (SVC(kernel="poly"), SVC(decision_function_shape="ovo"), RandomForestClassifier()):
        assert doubled(other) is other


@pytest.mark.parametrize("weights", ["uniform", "distance"])
@pytest.mark.parametrize("count", [1, 4, 7, 500])
def test_neighbours_are_drawn_alike_where_many_are_equally_far(
    count: int, weights: str, tmp_path: Path
) -> None:
    """Few values, so that nearly every row has ties."""
    random = np.random.default_rng(0)
    rows = random.integers(0, 3, (2000, 4)) * 0.1
    target = random.integers(0, 3, 2000)
    model = NearestClassifier(count, weights).fit(rows[FITTED], target[FITTED])
    label, shares = answers(sealed(model, rows, tmp_path), rows)
    given = rows.astype(np.float32).astype(float)
    assert (label == model.predict(given)).all()
    assert np.allclose(shares, model.predict_proba(given), atol=1e-7)


@pytest.mark.parametrize("weights", ["uniform", "distance"])
def test_neighbours_without_ties_are_those_of_scikit_learn(weights: str, tmp_path: Path) -> None:
    plain = KNeighborsClassifier(5, weights=weights).fit(BODIES[FITTED], SUGAR[FITTED] > 150)
    model = NearestClassifier(5, weights).fit(BODIES[FITTED], SUGAR[FITTED] > 150)
    assert np.allclose(model.predict_proba(BODIES), plain.predict_proba(BODIES), atol=1e-4)
    number = NearestRegressor(5, weights).fit(BODIES[FITTED], SUGAR[FITTED])
    usual = KNeighborsRegressor(5, weights=weights).fit(BODIES[FITTED], SUGAR[FITTED])
    assert np.allclose(number.predict(BODIES), usual.predict(BODIES), rtol=1e-4)
    (found,) = answers(sealed(number, BODIES, tmp_path), BODIES)
    assert np.allclose(found, number.predict(BODIES), rtol=1e-6)


def test_a_record_that_is_known_counts_alone_by_distance() -> None:
    rows = np.array([[0.0], [0.0], [1.0], [2.0]])
    model = NearestRegressor(3, "distance").fit(rows, [1.0, 3.0, 10.0, 10.0])
    assert model.predict([[0.0], [1.0], [1e9], [-1e9]]).tolist()[:2] == [2.0, 10.0]


def test_shares_in_units_add_up_to_one_and_stay_as_they_are() -> None:
    shares = np.random.default_rng(0).dirichlet(np.ones(5), 1000)
    rounded = in_units(shares, 2**12)
    assert (rounded.sum(axis=1) == 1.0).all()
    assert (rounded * 2**12 == np.rint(rounded * 2**12)).all()
    assert np.abs(rounded - shares).max() < 2**-12
    assert (in_units(rounded, 2**12) == rounded).all()


@pytest.mark.parametrize("trees", [16, 64])
def test_a_forest_draws_alike_where_classes_are_equal(trees: int, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    rows = random.integers(0, 5, (6000, 5)).astype(float)
    target = NAMES[random.integers(0, 3, 6000)]
    model = RandomForestClassifier(trees, random_state=0)
    model.fit(rows[FITTED], target[FITTED])
    before = model.predict_proba(rows)
    round_leaves(model)
    after = model.predict_proba(rows)
    assert np.abs(after - before).max() < 1e-4
    best = np.sort(after, axis=1)
    assert (best[:, -1] == best[:, -2]).any()  # there are draws
    label, shares = answers(sealed(model, rows, tmp_path), rows)
    assert (label == model.predict(rows)).all()
    assert (shares == after).all()


def test_weights_of_words_are_those_of_scikit_learn() -> None:
    texts = ["a good dog", "bad dog", "", "good good dog", "unheard of"]
    counts = CountVectorizer().fit_transform(texts)
    found = WordWeights().fit(counts).transform(counts)
    assert np.allclose(found, TfidfTransformer().fit_transform(counts).toarray(), atol=1e-7)
    assert found.dtype == np.float32


@pytest.mark.parametrize("degree", [2, 3, 4])
def test_products_are_the_same_number_in_a_package(degree: int, tmp_path: Path) -> None:
    rows = np.random.default_rng(0).lognormal(0, 3, (600, 4)).astype(np.float32)
    model = Products(degree).fit(rows[FITTED])
    (found,) = answers(sealed(model, rows, tmp_path), rows)
    assert (found.astype(np.float32) == model.transform(rows)).all()
    usual = PolynomialFeatures(degree, include_bias=False).fit_transform(rows.astype(float))
    assert np.allclose(found, usual, rtol=1e-6)
