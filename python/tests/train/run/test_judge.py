"""What is measured is fair: rare classes are in each sample, and the sign of a score is its own."""

from __future__ import annotations

import numpy as np

from shoal.evaluate import Classification, Regression
from shoal.train import Leaderboard
from shoal.train._run._judge import IMPORTANCE_ROWS, sample_of


def test_a_rare_class_is_in_the_sample_of_importances() -> None:
    truth = np.array(["no"] * 39_992 + ["yes"] * 8)
    task = Classification(labels=("no", "yes"))
    for seed in range(5):
        rows = sample_of(truth, task, seed)
        assert (truth[rows] == "yes").sum() == 8
        assert len(rows) <= IMPORTANCE_ROWS + 8
        assert (np.diff(rows) > 0).all()


def test_few_records_are_all_taken() -> None:
    assert sample_of(np.arange(100.0), Regression(), 0).tolist() == list(range(100))
    assert len(sample_of(np.arange(9999.0), Regression(), 0)) == IMPORTANCE_ROWS


def test_the_sign_of_a_score_is_that_of_its_metric() -> None:
    def board(score: str) -> Leaderboard:
        return Leaderboard(
            task="regression", score=score, rows=(), records=1, repeated=0, test_share=0.25
        )

    assert board("r2").sign == 1
    assert board("mean_absolute_error").sign == -1
