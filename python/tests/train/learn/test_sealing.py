"""What was learned in micro-batches is sealed as it is, and its package answers as it does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from sklearn.linear_model import Perceptron, SGDClassifier, SGDRegressor
from sklearn.naive_bayes import BernoulliNB, GaussianNB, MultinomialNB

from shoal import train
from shoal.train import Categorical, Date, Gradient, LearnSettings, Numeric, Preparation
from shoal.train._prepare._frames import frame_of
from tests.train.conftest import customers
from tests.train.test_seal import raw

if TYPE_CHECKING:
    from pathlib import Path

MIXED = Preparation(
    columns={
        "age": Numeric(flag=True),
        "income": Numeric(missing="mean", scale="robust"),
        "city": Categorical(least_rows=30, missing="most_frequent"),
        "since": Date(parts=("year", "month", "weekday", "hour", "days")),
        "is_member": Numeric(),
    }
)
COUNTS = Preparation(columns={"city": Categorical(), "is_member": Numeric()})


@pytest.mark.parametrize(
    ("model", "target", "preparation"),
    [
        (Gradient(), "left", MIXED),
        (Gradient(hidden_layers=(8,)), "left", MIXED),
        (Gradient(), "city", Preparation(columns={"age": Numeric(), "is_member": Numeric()})),
        (Gradient(), "spent", MIXED),
        (Gradient(hidden_layers=(8,)), "spent", MIXED),
        (SGDClassifier(loss="log_loss"), "left", MIXED),
        (SGDClassifier(), "left", MIXED),
        (Perceptron(), "left", MIXED),
        (SGDRegressor(eta0=1e-3), "spent", MIXED),
        (GaussianNB(), "left", MIXED),
        (MultinomialNB(), "left", COUNTS),
        (BernoulliNB(), "left", COUNTS),
    ],
    ids=str,
)
def test_fresh_records_are_answered_by_the_package_as_by_the_model(
    model: Any, target: str, preparation: Preparation, tmp_path: Path
) -> None:
    records, fresh = customers(1500, seed=0), customers(2000, seed=7)
    if target == "city":
        records, fresh = (each.filter(each.column("city").is_valid()) for each in (records, fresh))
    epochs = None if type(model).__name__.endswith("NB") else 3
    how = LearnSettings(preparation=preparation, epochs=epochs, step_records=256)
    fitted = train.learn(records, target, model, settings=how)
    held_out = customers(250, seed=1)
    package = train.seal(fitted, held_out, name="left", version="1", output=tmp_path / "package")
    answers = package.model().predict(raw(fresh, preparation)).column(0).to_pylist()
    wanted = fitted.pipeline.predict(frame_of(fresh, preparation))
    if fitted.task == "classification":
        assert (np.array(answers) == wanted).all()
        assert set(wanted) <= set(fresh.column(target).to_pylist())
    else:
        assert np.allclose(answers, wanted, rtol=1e-3, atol=1e-3 * np.std(wanted))
