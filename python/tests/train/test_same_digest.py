"""The same data and the same seed give the same package, in any process and with any threads."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

PYTHON = Path(__file__).parents[2]
ESTIMATORS = (
    *("logistic_regression", "linear_svm", "svm", "random_forest", "hist_gradient_boosting"),
    *("lightgbm", "xgboost", "nearest_neighbours", "naive_bayes", "mlp"),
)


def digests(place: Path, times: int, *, hash_seed: str, threads: str) -> dict[str, str]:
    """Of each estimator, which has one digest however often it is sealed.

    The threads are those of trees and neighbours; products of matrices have two in any case, since
    their sums depend on how many threads share them.
    """
    environment = {
        **os.environ,
        "PYTHONHASHSEED": hash_seed,
        "OMP_NUM_THREADS": threads,
        "OPENBLAS_NUM_THREADS": "2",
    }
    command = [sys.executable, "-m", "tests.train.sealing", str(place), str(times), *ESTIMATORS]
    done = subprocess.run(
        command, cwd=PYTHON, env=environment, capture_output=True, text=True, check=True
    )
    found = json.loads(done.stdout)
    assert [name for name, several in found.items() if len(set(several)) > 1] == []
    return {name: several[0] for name, several in found.items()}


def test_fitting_and_sealing_again_gives_the_same_digest(tmp_path: Path) -> None:
    first = digests(tmp_path / "a", 2, hash_seed="1", threads="2")
    assert first == digests(tmp_path / "b", 1, hash_seed="2", threads="3")
