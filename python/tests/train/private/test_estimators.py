"""The estimators: as scikit-learn expects them, with a budget and without."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.utils.estimator_checks import check_estimator

from shoal.errors import BudgetError, InvalidRequestError
from shoal.train import Account, BoundedScaler, Budget, GradientClassifier, GradientRegressor

if TYPE_CHECKING:
    from numpy.typing import NDArray

PLENTY = Budget(1e4, 1e-4)
ONE_CLASS = "one class only is refused by name, as all of Shoal refuses it"


@pytest.fixture(scope="module")
def cancer() -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    rows, classes = load_breast_cancer(return_X_y=True)
    scaler = BoundedScaler([0.0] * rows.shape[1], list(1.2 * rows.max(axis=0)))
    return scaler.fit_transform(rows), classes


@pytest.mark.parametrize(
    "model",
    [
        GradientClassifier(),
        GradientClassifier(hidden_layers=(8,)),
        GradientClassifier(PLENTY),
        GradientRegressor(),
        GradientRegressor(hidden_layers=(8,), epochs=200),
        GradientRegressor(PLENTY, target_bounds=(-100.0, 100.0)),
    ],
    ids=str,
)
def test_scikit_learn_takes_it_for_one_of_its_own(model: Any) -> None:
    refused = {"check_classifiers_one_label": ONE_CLASS, "check_fit2d_1sample": ONE_CLASS}
    is_classifier = isinstance(model, GradientClassifier)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        check_estimator(
            model, on_skip=None, expected_failed_checks=refused if is_classifier else {}
        )


def test_without_noise_it_learns_what_logistic_regression_does(
    cancer: tuple[NDArray[np.float64], NDArray[np.int64]],
) -> None:
    rows, classes = cancer
    decay = 0.01
    model = GradientClassifier(
        epochs=3000, batch_records=len(rows), decay=decay, clip_norm=None, learning_rate=0.3
    ).fit(rows, classes)
    # scikit-learn leaves its intercept out of the penalty; a column of ones is in it.
    wide = np.hstack([rows, np.ones((len(rows), 1))])
    exact = LogisticRegression(C=1 / (decay * len(rows)), fit_intercept=False, tol=1e-10)
    exact.set_params(max_iter=10_000).fit(wide, classes)
    assert np.abs(model.predict_proba(rows) - exact.predict_proba(wide)).max() < 1e-3


def test_a_private_model_learns_and_says_what_it_cost(
    cancer: tuple[NDArray[np.float64], NDArray[np.int64]],
) -> None:
    rows, classes = cancer
    model = GradientClassifier(Budget(3.0, 1e-5)).fit(rows[::2], classes[::2])
    assert model.score(rows[1::2], classes[1::2]) > 0.75
    spent = model.privacy_
    assert spent is not None
    assert 2.9 < spent.epsilon <= 3.0
    assert spent.private
    assert spent.randomness == "system"
    assert any("as found in the targets" in each for each in spent.public)
    assert [use.purpose for use in spent.uses] == ["training"]


def test_digits_are_learned_within_epsilon_three() -> None:
    rows, classes = load_digits(return_X_y=True)
    model = GradientClassifier(Budget(3.0, 1e-5), classes=range(10), epochs=30)
    model.fit(rows[::2] / 8 - 1, classes[::2])
    assert model.score(rows[1::2] / 8 - 1, classes[1::2]) > 0.8
    assert np.allclose(model.predict_proba(rows[:50] / 8 - 1).sum(axis=1), 1)


def test_a_private_regressor_beats_the_mean() -> None:
    rows, targets = load_diabetes(return_X_y=True)
    model = GradientRegressor(Budget(5.0, 1e-5), target_bounds=(25.0, 350.0), epochs=50)
    assert model.fit(rows * 10, targets).score(rows * 10, targets) > 0.2


def test_a_seed_repeats_a_model_and_is_told(
    cancer: tuple[NDArray[np.float64], NDArray[np.int64]],
) -> None:
    rows, classes = cancer
    one, other = (
        GradientClassifier(Budget(1.0, 1e-5), random_state=4).fit(rows, classes) for _ in range(2)
    )
    assert np.array_equal(one.parameters_, other.parameters_)
    assert one.privacy_ is not None
    assert not one.privacy_.private
    assert one.privacy_.randomness == "seeded"
    free = GradientClassifier(Budget(1.0, 1e-5)).fit(rows, classes)
    assert not np.array_equal(one.parameters_, free.parameters_)


def test_clones_share_an_account_and_the_next_fit_is_refused(
    cancer: tuple[NDArray[np.float64], NDArray[np.int64]],
) -> None:
    rows, classes = cancer
    account = Account(Budget(1.0, 1e-5), records=len(rows))
    model = GradientClassifier(account)
    clone(model).fit(rows, classes)
    with pytest.raises(BudgetError, match="too small for one fit"):
        clone(model).fit(rows, classes)
    with pytest.raises(InvalidRequestError, match="was given 1138"):
        model.fit(np.vstack([rows, rows]), np.hstack([classes, classes]))


def test_ordinary_training_is_tamed_by_clipping() -> None:
    draw = np.random.default_rng(0)
    rows = draw.normal(size=(500, 5)) * 100
    targets = rows @ draw.normal(size=5)
    settings: dict[str, Any] = {
        "epochs": 30,
        "batch_records": 50,
        "learning_rate": 0.01,
        "random_state": 1,
    }
    with np.errstate(all="ignore"):
        wild = GradientRegressor(clip_norm=None, **settings).fit(rows, targets)
    assert not np.isfinite(wild.parameters_).all() or np.abs(wild.parameters_).max() > 1e6
    for clipping in ("record", "sum"):
        tame = GradientRegressor(clip_norm=1.0, clipping=clipping, **settings).fit(rows, targets)
        assert np.isfinite(tame.parameters_).all()
        assert np.abs(tame.parameters_).max() < 10
        assert tame.privacy_ is None


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"clip_norm": None, "budget": PLENTY}, "clip_norm is None"),
        ({"clipping": "sum", "budget": PLENTY}, "clipping 'sum' with a budget"),
        ({"clipping": "both"}, "clipping is 'both'"),
        ({"clip_norm": 0.0}, "clip_norm is 0.0"),
        ({"epochs": 0}, "epochs is 0"),
        ({"batch_records": 0}, "batch_records is 0"),
        ({"microbatch_records": 2000}, "expected 1 to 1024"),
        ({"epsilon": 1.0}, "epsilon is 1.0 without a budget"),
        ({"classes": [0, 2]}, "a target is 1, expected one of the classes"),
        ({"classes": [1]}, "all targets are of one class"),
    ],
)
def test_settings_that_cannot_be_are_refused_by_name(
    settings: dict[str, Any], message: str
) -> None:
    rows, classes = np.zeros((20, 2)), np.arange(20) % 2
    with pytest.raises(InvalidRequestError, match=message):
        GradientClassifier(**settings).fit(rows, classes)


def test_a_budget_needs_bounds_that_the_data_did_not_choose() -> None:
    rows, targets = np.zeros((20, 2)), np.arange(20)
    with pytest.raises(InvalidRequestError, match="without target_bounds"):
        GradientRegressor(PLENTY).fit(rows, targets)
    with pytest.raises(InvalidRequestError, match="the lower one first"):
        GradientRegressor(PLENTY, target_bounds=(1.0, 0.0)).fit(rows, targets)
    with pytest.raises(BudgetError, match="expected below 1/20"):
        GradientRegressor(Budget(1.0, 0.05), target_bounds=(0.0, 20.0)).fit(rows, targets)
    with pytest.raises(BudgetError, match=r"epsilon 0.01 is too small to train"):
        GradientRegressor(Budget(0.01), target_bounds=(0.0, 20.0)).fit(rows, targets)


def test_what_is_learned_varies_as_its_noise_multiplier_says() -> None:
    rows, targets = np.zeros((400, 3)), np.zeros(400)
    settings: dict[str, Any] = {"epochs": 1, "batch_records": 400, "momentum": 0.0}
    models = [
        GradientRegressor(
            Budget(1.0), target_bounds=(-1.0, 1.0), clip_norm=0.5, learning_rate=2.0, **settings
        ).fit(rows, targets)
        for _ in range(300)
    ]
    noise = models[0].noise_multiplier_
    assert noise is not None
    expected = noise * 0.5 * 2.0 / 400  # of one step: the noise over its records, times the rate
    learned = np.concatenate([model.parameters_ for model in models])
    assert abs(learned.std() / expected - 1) < 0.12
    assert 4.0 < noise < 5.0  # the Gaussian mechanism with epsilon 1 and delta 1e-6: about 4.2
