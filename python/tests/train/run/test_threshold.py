"""The threshold that is chosen is as good as any, and rounding moves no answer across it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score, f1_score

from shoal.errors import ConfigurationError
from shoal.train import Folds, Threshold
from shoal.train._run._threshold import best_threshold, shares_of_folds
from shoal.train._search._folds import folds_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

SHARES = st.lists(
    st.tuples(st.sampled_from([n / 16 for n in range(17)]), st.booleans()), min_size=2, max_size=40
).filter(lambda records: len({positive for _, positive in records}) == 2)


def cost(truth: NDArray[np.bool_], answers: NDArray[np.bool_]) -> float:
    return -float(5 * (truth & ~answers).sum() + (~truth & answers).sum())


RULES: dict[str, tuple[Threshold, Callable[..., float]]] = {
    "f1": (Threshold(by="f1"), f1_score),
    "balanced_accuracy": (Threshold(by="balanced_accuracy"), balanced_accuracy_score),
    "cost": (Threshold(by="cost", missed=5.0), cost),
}


@pytest.mark.parametrize("name", list(RULES))
@given(SHARES)
def test_no_threshold_does_better(name: str, records: list[tuple[float, bool]]) -> None:
    rule, measured = RULES[name]
    shares, truth = (np.array(column) for column in zip(*records, strict=True))
    found = best_threshold(shares, truth, rule)
    all_thresholds = [*np.unique(shares), *(np.unique(shares) + 1e-9), 1.1]
    best = max(measured(truth, shares >= each) for each in all_thresholds)
    assert measured(truth, shares >= found) == pytest.approx(best)


@given(SHARES)
def test_a_threshold_lies_between_what_records_have(records: list[tuple[float, bool]]) -> None:
    shares, truth = (np.array(column) for column in zip(*records, strict=True))
    found = best_threshold(shares, truth, Threshold())
    moved = shares + np.random.default_rng(0).uniform(-1e-6, 1e-6, len(shares))
    inside = (shares > 0) & (shares < 1)
    assert ((shares >= found) == (moved >= found))[inside].all()


def test_a_threshold_for_nobody_is_above_all_probabilities() -> None:
    shares, truth = np.array([1.0, 1.0, 0.9, 0.4]), np.array([False, False, True, False])
    found = best_threshold(shares, truth, Threshold(by="cost", false_alarm=100.0))
    assert not (shares >= found).any()
    assert not (shares.astype(np.float32) >= np.float32(found)).any()


@given(st.integers(1, 2**30), st.integers(1, 3))
def test_neighbours_of_single_precision_are_told_apart(bits: int, apart: int) -> None:
    low = np.array(bits, np.int32).view(np.float32)
    high = np.array(bits + apart, np.int32).view(np.float32)
    if not high <= 1:
        return
    shares = np.array([high, low], np.float64)
    found = np.float32(best_threshold(shares, np.array([True, False]), Threshold()))
    assert high >= found > low


def test_a_class_that_a_part_has_never_learned_has_no_probability() -> None:
    import pandas as pd

    frame = pd.DataFrame({"x": np.arange(100.0), "day": np.arange(100)})
    target = np.array(["no"] * 50 + ["no", "yes"] * 25)
    folds = folds_of(Folds(count=3, time="day"), frame, target, "classification")
    model = RandomForestClassifier(5, random_state=0)
    rows, shares = shares_of_folds(model, frame[["x"]], target, folds, "yes")
    assert len(rows) == len(shares)
    assert (shares[rows < 50] == 0).all()


def test_each_probability_is_of_a_model_that_has_not_seen_the_record() -> None:
    import pandas as pd

    random = np.random.default_rng(0)
    frame = pd.DataFrame({"x": random.normal(size=300)})
    target = np.where(frame["x"] + random.normal(size=300) > 0, "yes", "no")
    folds = folds_of(Folds(count=3), frame, target, "classification")
    rows, shares = shares_of_folds(LogisticRegression(), frame, target, folds, "yes")
    assert sorted(rows) == list(range(300))
    for fold in folds:
        model = LogisticRegression().fit(frame.iloc[fold.learn], target[fold.learn])
        told = shares[np.isin(rows, fold.test)]
        wanted = model.predict_proba(frame.iloc[rows[np.isin(rows, fold.test)]])[:, 1]
        assert np.allclose(told, wanted)


@pytest.mark.parametrize("wrong", [{"missed": 0.0}, {"false_alarm": float("inf")}])
def test_a_cost_that_is_none_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigurationError, match="expected a finite number above 0"):
        Threshold(by="cost", **wrong)
