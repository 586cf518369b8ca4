"""Why exports are known to answer otherwise than their originals, and what helps: one table.

- A cause is looked up by the step in which the answers part, the last step, and the row itself.
- The first that applies is told. Where none does, the step is named, and that is all that is known.

Source: scikit-learn 1.9 compared with skl2onnx 1.20 and ONNX Runtime 1.31;
`python/tests/package/test_causes.py` makes each of them happen.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from shoal.package._rows import Array, Rows
    from shoal.package._scikit._parting import Parting


class Cause(NamedTuple):
    """Why answers part, and what helps.

    Attributes:
        reason: What the export does otherwise.
        remedy: What to do about it.
    """

    reason: str
    remedy: str


class Case(NamedTuple):
    """What is known of an answer that differs.

    Attributes:
        parting: Where it parts from the original's.
        column: The output column that differs.
        rows: All rows that were asked, as the package takes them.
        row: Which one of them it answers.
        references: What the original answers, an array for each output column.
    """

    parting: Parting
    column: str
    rows: Rows
    row: int
    references: tuple[Array, ...]

    @property
    def step(self) -> str:
        """The class of the step in which they part."""
        return type(self.parting.step).__name__

    @property
    def last(self) -> str:
        """The class of the last step."""
        return type(self.parting.last).__name__


_TREES = (
    *("DecisionTreeClassifier", "DecisionTreeRegressor", "ExtraTreeClassifier"),
    *("ExtraTreeRegressor", "RandomForestClassifier", "RandomForestRegressor"),
    *("ExtraTreesClassifier", "ExtraTreesRegressor", "AdaBoostClassifier", "AdaBoostRegressor"),
    *("GradientBoostingClassifier", "GradientBoostingRegressor", "BaggingClassifier"),
    *("BaggingRegressor", "IsolationForest"),
)
_HISTOGRAMS = ("HistGradientBoostingClassifier", "HistGradientBoostingRegressor")
_THRESHOLDS_IN_DOUBLE = (*_HISTOGRAMS, "LGBMClassifier", "LGBMRegressor")
_BOOSTED = (*_THRESHOLDS_IN_DOUBLE, "XGBClassifier", "XGBRegressor", "NamedXgboost")
_NEIGHBOURS = ("KNeighborsClassifier", "KNeighborsRegressor")
_TEXTS = ("TfidfVectorizer", "CountVectorizer")
_LABEL = "label"
_EQUAL = 1e-6
_OFFSET = 1e3
"""Numbers so many times farther from zero than from each other lose their differences."""


def cause_of(case: Case) -> Cause | None:
    """The first known cause that applies."""
    return next((cause for applies, cause in _TABLE if applies(case)), None)


def _is_step(*names: str) -> Callable[[Case], bool]:
    return lambda case: case.step in names and not case.parting.is_rounding


def _is_rounded_before(*names: str) -> Callable[[Case], bool]:
    return lambda case: case.parting.is_rounding and case.last in names


def _is_equally_likely(case: Case) -> bool:
    """Whether two classes are equally likely, so that the last digit decides on the label."""
    label, *scores = case.references
    if case.column != _LABEL or not scores or label.ndim > 1 or scores[0].ndim == 1:
        return False
    largest = np.sort(scores[0][case.row])[-2:]
    return bool(np.diff(largest).max(initial=0.0) < _EQUAL)


def _is_missing_in_trees(case: Case) -> bool:
    """Whether trees are given a missing value."""
    if case.step not in _TREES:
        return False
    given = case.parting.given
    if given is not None and given.dtype.kind == "f":
        return bool(np.isnan(given).any())
    one = case.rows.take(np.array([case.row]))
    floats = (values for values in one.values if values.dtype.kind == "f")
    return any(mask.any() for mask in one.missing) or any(np.isnan(each).any() for each in floats)


def _has_far_capital(case: Case) -> bool:
    """Whether a text has an upper-case letter that ASCII lacks."""
    if case.step not in _TEXTS or not case.parting.step.lowercase:
        return False
    one = case.rows.take(np.array([case.row]))
    texts = (text for values in one.values if values.dtype == object for text in values.flat)
    return any(
        char.isupper() and not char.isascii()
        for text in texts
        for char in text.decode(errors="replace")
    )


def _has_offset(case: Case) -> bool:
    numbers = (values for values in case.rows.values if values.dtype.kind in "fiu")
    return any(map(_is_far, numbers))


def _is_far(values: Array) -> bool:
    """Whether numbers lie far from zero and close together."""
    known = values.reshape(len(values), -1).astype(np.float64)
    finite = np.where(np.isfinite(known), known, 0.0)
    spread, size = finite.std(axis=0), np.abs(finite.mean(axis=0))
    return bool(((spread > 0) & (size > _OFFSET * spread)).any())


_TABLE: tuple[tuple[Callable[[Case], bool], Cause], ...] = (
    (
        _has_far_capital,
        Cause(
            "The export of a text vectorizer with lowercase=True lowers ASCII letters only.",
            "Give texts in lower case yourself, before fitting and before asking.",
        ),
    ),
    (
        _is_missing_in_trees,
        Cause(
            "Trees of ONNX do not know to which side scikit-learn sends a missing value.",
            "Impute before the trees, or use HistGradientBoosting, which exports correctly.",
        ),
    ),
    (
        lambda case: case.step == "SGDClassifier" and case.column == _LABEL,
        Cause(
            "The export takes the class of the largest probability, in single precision, where "
            "probabilities near 1 are equal.",
            "Scale the features before it, or use LogisticRegression.",
        ),
    ),
    (
        _is_equally_likely,
        Cause(
            "Two classes are equally likely there, and the last digit decides: double precision in "
            "the original, single in the export.",
            "Use another estimator, or one that ends in no such draw: more trees, more neighbours. "
            "Forests that shoal.train fits count in whole numbers, and draw alike.",
        ),
    ),
    (
        _is_rounded_before(*_TREES, *_BOOSTED),
        Cause(
            "The step computes in double precision, its export in single, and a value that lies on "
            "the threshold of a tree goes the other way.",
            "Leave the step out, since trees need no scale; or round before fitting too: scale in "
            "single precision, as shoal.train does.",
        ),
    ),
    (
        _is_step(*_THRESHOLDS_IN_DOUBLE),
        Cause(
            "Thresholds are double precision, and single in the export: a value between the two "
            "goes the other way.",
            "Subtract a large offset before fitting, or seal by shoal.train.seal, which rounds "
            "thresholds without changing an answer.",
        ),
    ),
    (
        _is_step("KNNImputer"),
        Cause(
            "Several records are equally far, and the export of KNNImputer takes others of them.",
            "Impute by SimpleImputer, or by a model of the other columns (missing='modelled' in "
            "shoal.train).",
        ),
    ),
    (
        _is_step(*_NEIGHBOURS),
        Cause(
            "Records are equally far within single precision, and the export takes others of them.",
            "Fit on values that repeat less, ask more neighbours, or use another estimator.",
        ),
    ),
    (
        _is_step("QuantileTransformer"),
        Cause(
            "Two quantiles are equal in single precision, and not in double: scikit-learn takes "
            "the place of one of them, the export the middle of both.",
            "Use fewer quantiles (n_quantiles), or StandardScaler.",
        ),
    ),
    (
        _has_offset,
        Cause(
            "Numbers are FP32 in the package, with about 7 digits, and here they lie close "
            "together far from zero.",
            "Subtract an offset before fitting, as from seconds since 1970.",
        ),
    ),
    (
        lambda case: case.parting.is_rounding,
        Cause(
            "The step computes in double precision, its export in single, and the last step "
            "decides by the difference.",
            "Round before fitting too: skl2onnx.sklapi.CastTransformer() behind the step.",
        ),
    ),
)
