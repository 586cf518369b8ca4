"""FLAML on one outer fold: what it finds in a time, measured on records it has not seen.

`python search.py FILE SECONDS SCORE TASK`: the file is an .npz of learn, learn_target, test and
test_target; the last line printed is the score.
"""

from __future__ import annotations

import sys
import warnings

import numpy as np
from flaml import AutoML
from sklearn.metrics import accuracy_score, r2_score, roc_auc_score


def main() -> None:
    path, seconds, score, task = sys.argv[1:]
    held = np.load(path, allow_pickle=False)
    model = AutoML()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(
            held["learn"],
            held["learn_target"],
            task=task,
            time_budget=float(seconds),
            metric=score,
            n_jobs=2,
            seed=0,
            verbose=0,
        )
    test, target = held["test"], held["test_target"]
    if score == "roc_auc":
        classes = list(model.classes_)
        print(roc_auc_score(target == classes[1], model.predict_proba(test)[:, 1]))
    elif score == "r2":
        print(r2_score(target, model.predict(test)))
    else:
        print(accuracy_score(target, model.predict(test)))


if __name__ == "__main__":
    main()
