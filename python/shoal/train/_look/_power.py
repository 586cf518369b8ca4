"""How well one column alone predicts the target: a cross-validated score from 0 to 1.

- Numbers, dates and lengths of text: a decision tree of at most 16 leaves. Categories, and text
  that repeats: each value is a leaf, which answers what it has met, drawn a little towards the
  average.
- A missing value is a value: that it is missing may be what tells.
- Of classes: 2 AUC - 1, the mean over classes, each against all others. Of numbers: R squared of
  ranks. What is below chance is 0. Folds are the same for each column; classes of fewer than
  8 records are left out.

Source: L. Breiman and others, "Classification and Regression Trees"; J. Hanley, B. McNeil, "The
meaning and use of the area under a ROC curve". The predictive power score of F. Wetschoreck and
others is the same idea with other scores.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from scipy.stats import rankdata
from sklearn.model_selection import KFold, StratifiedKFold
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from shoal.train._look._coded import Coded
    from shoal.train._look._targets import Target

    Integers = NDArray[np.int64]
    Floats = NDArray[np.float64]

FOLDS: Final = 4
LEAST_OF_A_CLASS: Final = 2 * FOLDS
LEAST_RECORDS: Final = 50
MOST_CLASSES: Final = 20
DEPTH: Final = 4
LEAST_OF_A_LEAF: Final = 5
LEAVES_OF: Final = 1000
# So many records of the average stand beside those of a category.
AVERAGE_RECORDS: Final = 1.0
# Text of more different values is told by its length.
MOST_DISTINCT_SHARE: Final = 0.5
TWO: Final = 2


@dataclass(frozen=True)
class Trial:
    """What every column is tried on.

    Attributes:
        rows: (tried,) records of the sample.
        answers: (tried, answers) what is to be told: of each class whether it is it; or ranks.
        is_number: Whether these are ranks.
        folds: Rows of the above to learn from, and to test with.
    """

    rows: Integers
    answers: Floats
    is_number: bool
    folds: tuple[tuple[Integers, Integers], ...]


def trial_of(target: Target, seed: int) -> Trial | None:
    """What columns are tried on; None where there are too few records."""
    if target.task == "regression":
        if len(target.rows) < LEAST_RECORDS:
            return None
        splitter = KFold(FOLDS, shuffle=True, random_state=seed)
        folds = tuple(splitter.split(target.rows))
        return Trial(target.rows, target.ranks[:, None], is_number=True, folds=folds)
    counts = np.bincount(target.codes, minlength=len(target.classes))
    frequent = np.argsort(-counts, kind="stable")[:MOST_CLASSES]
    taken = np.sort(frequent[counts[frequent] >= LEAST_OF_A_CLASS])
    is_taken = np.isin(target.codes, taken)
    if len(taken) < TWO or is_taken.sum() < LEAST_RECORDS:
        return None
    codes = target.codes[is_taken]
    splits = StratifiedKFold(FOLDS, shuffle=True, random_state=seed).split(codes, codes)
    answers = (codes[:, None] == taken).astype(np.float64)
    return Trial(target.rows[is_taken], answers, is_number=False, folds=tuple(splits))


def power(column: Coded, trial: Trial) -> float | None:
    """How well a column alone predicts, from 0 to 1; None where all its values are the same."""
    features, is_tree = _feature(column)
    found = features[trial.rows]
    if len(np.unique(found)) < TWO:
        return None
    scores = []
    for learn, test in trial.folds:
        told = (_tree if is_tree else _shares)(found, trial, learn, test)
        scores.append(score(trial.answers[test], told, is_number=trial.is_number))
    return float(np.clip(np.mean(scores), 0.0, 1.0))


def score(answers: Floats, told: Floats, *, is_number: bool) -> float:
    """How good predictions are: 1 is perfect, 0 is chance.

    Args:
        answers: (records, answers) the truth, see `Trial`.
        told: (records, answers) what was predicted.
        is_number: Whether answers are numbers.
    """
    if is_number:
        spread = ((answers - answers.mean()) ** 2).sum()
        return float(1 - ((answers - told) ** 2).sum() / spread) if spread else 0.0
    ranks = rankdata(told, axis=0)
    hits = answers.sum(axis=0)
    misses = len(answers) - hits
    above = (ranks * answers).sum(axis=0) - hits * (hits + 1) / 2
    return float(np.mean(2 * above / (hits * misses) - 1))


def _feature(column: Coded) -> tuple[Integers, bool]:
    """A column as codes, and whether a tree cuts them by their order."""
    if column.kind == "categorical":
        return column.codes, False
    if column.kind != "text":
        return column.codes, True
    known = int(column.known.sum())
    if len(column.values) <= MOST_DISTINCT_SHARE * known:
        return column.codes, False
    return np.where(column.known, column.numbers, -1.0).astype(np.int64), True


def _tree(found: Integers, trial: Trial, learn: Integers, test: Integers) -> Floats:
    """What a shallow tree predicts."""
    features = found.astype(np.float32)[:, None]
    leaf = max(LEAST_OF_A_LEAF, len(learn) // LEAVES_OF)
    if trial.is_number:
        regressor = DecisionTreeRegressor(max_depth=DEPTH, min_samples_leaf=leaf, random_state=0)
        regressor.fit(features[learn], trial.answers[learn, 0])
        predicted: Floats = regressor.predict(features[test])[:, None]
        return predicted
    classifier = DecisionTreeClassifier(max_depth=DEPTH, min_samples_leaf=leaf, random_state=0)
    classifier.fit(features[learn], trial.answers[learn].argmax(axis=1))
    probabilities: Floats = classifier.predict_proba(features[test])
    return probabilities


def _shares(found: Integers, trial: Trial, learn: Integers, test: Integers) -> Floats:
    """What each value has met where it was learned from."""
    _, codes = np.unique(found, return_inverse=True)
    size = int(codes.max()) + 1
    answers = trial.answers[learn]
    average = answers.mean(axis=0)
    counts = np.bincount(codes[learn], minlength=size)[:, None]
    met = [np.bincount(codes[learn], answer, minlength=size) for answer in answers.T]
    told: Floats = (np.stack(met, axis=1) + AVERAGE_RECORDS * average) / (counts + AVERAGE_RECORDS)
    return told[codes[test]]
