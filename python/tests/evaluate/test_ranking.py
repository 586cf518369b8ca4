from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from sklearn import metrics

from shoal.errors import InvalidRequestError, ShapeError
from shoal.evaluate import average_precision, roc_auc


@pytest.mark.parametrize("digits", [0, 1, 12])
def test_areas_are_those_of_scikit_learn_with_ties_and_weights(digits: int) -> None:
    rng = np.random.default_rng(digits)
    truth, weight = rng.random(300) < 0.3, rng.random(300)
    score = np.round(rng.normal(size=300) + truth, digits)
    assert roc_auc(truth, score) == pytest.approx(metrics.roc_auc_score(truth, score), rel=1e-12)
    assert average_precision(truth, score, weight) == pytest.approx(
        metrics.average_precision_score(truth, score, sample_weight=weight), rel=1e-12
    )
    assert roc_auc(truth, score, weight) == pytest.approx(
        metrics.roc_auc_score(truth, score, sample_weight=weight), rel=1e-12
    )


def test_of_one_kind_there_is_no_area() -> None:
    assert roc_auc([1, 1], [0.1, 0.2]) is None
    assert roc_auc([], []) is None
    assert average_precision([0, 0], [0.1, 0.2]) is None
    assert average_precision([1, 1], [0.1, 0.2]) == 1.0


@pytest.mark.parametrize(
    ("truth", "scores", "weights", "message"),
    [
        ([2], [0.5], None, "truth 0 is 2, expected 0 or 1"),
        ([0, 1], [0.5, math.nan], None, "score 1 is nan"),
        ([1], [0.5], [-1.0], "weight 0 is -1.0"),
    ],
)
def test_what_cannot_be_ranked_is_refused(
    truth: Any, scores: Any, weights: Any, message: str
) -> None:
    with pytest.raises(InvalidRequestError, match=message):
        roc_auc(truth, scores, weights)


def test_other_shapes_are_refused() -> None:
    with pytest.raises(ShapeError, match="expected one length"):
        roc_auc([0, 1], [0.5])
