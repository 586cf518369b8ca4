"""Steps of scikit-learn pipelines that it lacks; `_transformers_onnx` writes them in ONNX.

Each answers in ONNX exactly what it answers here: by comparisons, casts and whole numbers, by one
operation in single precision, or in double precision and rounded to single once.

Source of the calendar: H. Hinnant, "chrono-Compatible Low-Level Date Algorithms", civil_from_days.
"""

from __future__ import annotations

import warnings
from itertools import combinations_with_replacement
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.base import BaseEstimator, OneToOneFeatureMixin, TransformerMixin
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler
from sklearn.utils.validation import check_is_fitted

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Self

    from numpy.typing import NDArray

    Array = NDArray[Any]

DAY_SECONDS = 86_400
# Days of 400 years, of 100, of 4, and of one, and from 0000-03-01 to 1970-01-01.
ERA_DAYS, CENTURY_DAYS, FOUR_YEAR_DAYS, YEAR_DAYS = 146_097, 36_524, 1_460, 365
EPOCH_DAYS = 719_468


class MissingFlags(OneToOneFeatureMixin, TransformerMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """1 where a number is missing, 0 where it is there."""

    def fit(self, values: Any, _target: Any = None) -> Self:
        """Learns nothing but the width."""
        self.n_features_in_ = np.shape(values)[1]
        return self

    def transform(self, values: Any) -> Array:
        """(rows, columns) numbers of FP32."""
        check_is_fitted(self)
        return np.isnan(np.asarray(values, np.float64)).astype(np.float32)


class ModelledImputer(OneToOneFeatureMixin, TransformerMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """Fills a missing number with what a ridge regression on the other columns says.

    Among those, a missing number counts as their median. A column of which nothing is there is 0.
    Sums are double precision, here and in ONNX, and rounded to single once: the same number.
    """

    def __init__(self, penalty: float = 1.0) -> None:
        """Takes the weight of the penalty, for columns of deviation 1."""
        self.penalty = penalty

    def fit(self, values: Any, _target: Any = None) -> Self:
        """Learns a regression for each column, from the records that have it."""
        known = np.asarray(values, np.float64)
        self.n_features_in_ = known.shape[1]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # a column of which nothing is there
            self.medians_ = np.nan_to_num(np.nanmedian(known, axis=0))
        filled = np.where(np.isnan(known), self.medians_, known)
        self.weights_ = np.zeros((self.n_features_in_, self.n_features_in_))
        self.intercepts_ = self.medians_.copy()
        for column in range(self.n_features_in_):
            self._learn(column, filled, ~np.isnan(known[:, column]))
        return self

    def transform(self, values: Any) -> Array:
        """(rows, columns) numbers of FP32."""
        check_is_fitted(self)
        known = np.asarray(values, np.float32).astype(np.float64)
        filled = np.where(np.isnan(known), self.medians_, known)
        modelled = filled @ self.weights_ + self.intercepts_
        return np.where(np.isnan(known), modelled, known).astype(np.float32)

    def _learn(self, column: int, filled: Array, is_there: Array) -> None:
        others = [other for other in range(self.n_features_in_) if other != column]
        if not others or not is_there.any():
            return
        model = make_pipeline(StandardScaler(), Ridge(self.penalty))
        model.fit(filled[is_there][:, others], filled[is_there, column])
        scaler, ridge = model[0], model[1]
        weights = ridge.coef_ / scaler.scale_
        self.weights_[others, column] = weights
        self.intercepts_[column] = ridge.intercept_ - scaler.mean_ @ weights


class SingleScaler(OneToOneFeatureMixin, TransformerMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """Scales in single precision: a difference and a product, which ONNX computes alike.

    What comes out is the same number here and there, so that a tree that compares it decides alike.
    """

    def __init__(self, kind: str = "standard") -> None:
        """Takes which, see `Numeric`."""
        self.kind = kind

    def fit(self, values: Any, _target: Any = None) -> Self:
        """Learns offsets and factors."""
        known = np.asarray(values, np.float64)
        self.n_features_in_ = known.shape[1]
        offsets, ranges = _offsets_and_ranges(self.kind, known)
        self.offsets_ = offsets.astype(np.float32)
        self.factors_ = (1.0 / ranges).astype(np.float32)
        return self

    def transform(self, values: Any) -> Array:
        """(rows, columns) numbers of FP32."""
        check_is_fitted(self)
        return (np.asarray(values, np.float32) - self.offsets_) * self.factors_


class WordWeights(OneToOneFeatureMixin, TransformerMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """Counts of words as TF-IDF: less for words that many texts have, and each text of length 1.

    The same as in scikit-learn's `TfidfTransformer`, but computed in double precision in ONNX as
    well, and rounded to single once: the same number.
    """

    def fit(self, counts: Any, _target: Any = None) -> Self:
        """Learns how many texts have each word."""
        self.n_features_in_ = counts.shape[1]
        texts = np.asarray((counts > 0).sum(axis=0)).ravel()
        self.weights_ = np.log((1.0 + counts.shape[0]) / (1.0 + texts)) + 1.0
        return self

    def transform(self, counts: Any) -> Array:
        """(texts, words) numbers of FP32."""
        check_is_fitted(self)
        dense = counts.toarray() if hasattr(counts, "toarray") else np.asarray(counts)
        weighed = dense.astype(np.float64) * self.weights_
        lengths = np.sqrt((weighed * weighed).sum(axis=1, keepdims=True))
        lengths[lengths == 0.0] = 1.0
        found: Array = (weighed / lengths).astype(np.float32)
        return found


def _offsets_and_ranges(kind: str, values: Array) -> tuple[Array, Array]:
    if kind == "min_max":
        lows = np.nanmin(values, axis=0)
        return lows, _not_zero(np.nanmax(values, axis=0) - lows)
    if kind == "robust":
        first, middle, third = np.nanquantile(values, (0.25, 0.5, 0.75), axis=0)
        return middle, _not_zero(third - first)
    return np.nanmean(values, axis=0), _not_zero(np.nanstd(values, axis=0))


def _not_zero(ranges: Array) -> Array:
    """A constant column becomes 0, not infinite."""
    return np.where(ranges == 0.0, 1.0, ranges)


class Products(TransformerMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """Features, and all products of up to so many of them, in the order of `PolynomialFeatures`.

    Products are computed in double precision, factor by factor, here and in ONNX, and rounded to
    single once: the same number.
    """

    def __init__(self, degree: int = 2) -> None:
        """Takes how many factors a product has at most."""
        self.degree = degree

    def fit(self, values: Any, _target: Any = None) -> Self:
        """Learns which products there are."""
        self.n_features_in_ = np.shape(values)[1]
        one = self.n_features_in_  # the place of a 1 behind all features
        found = [
            (*factors, *[one] * (self.degree - count))
            for count in range(1, self.degree + 1)
            for factors in combinations_with_replacement(range(one), count)
        ]
        self.factors_ = np.array(found, np.int64)
        return self

    def transform(self, values: Any) -> Array:
        """(rows, products) numbers of FP32."""
        check_is_fitted(self)
        known = np.asarray(values, np.float32).astype(np.float64)
        known = np.column_stack([known, np.ones(len(known))])
        product = known[:, self.factors_[:, 0]]
        for factor in self.factors_.T[1:]:
            product = product * known[:, factor]
        with np.errstate(over="ignore"):
            found: Array = product.astype(np.float32)
        return found


class DateParts(TransformerMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """Parts of moments that are given in seconds since 1970-01-01 UTC."""

    def __init__(self, parts: Sequence[str] = ("year", "month", "day")) -> None:
        """Takes names of parts, see `Date`."""
        self.parts = parts

    def fit(self, values: Any, _target: Any = None) -> Self:
        """Learns nothing but the width."""
        self.n_features_in_ = np.shape(values)[1]
        return self

    def transform(self, values: Any) -> Array:
        """(rows, columns x parts) numbers of FP32, column by column."""
        check_is_fitted(self)
        seconds = np.asarray(values).astype(np.int64)
        found = [
            part
            for column in range(self.n_features_in_)
            for part in calendar(Numpy, seconds[:, column : column + 1], self.parts)
        ]
        return np.concatenate(found, axis=1).astype(np.float32)


class FrequentOneHot(OneHotEncoder):  # type: ignore[misc]  # scikit-learn has no types
    """A feature for each frequent category; rare and unknown ones have none."""

    def __init__(self, least_rows: int = 1, most_categories: int = 100) -> None:
        """Takes what is frequent, see `Categorical`."""
        super().__init__(handle_unknown="ignore", sparse_output=False, dtype=np.float32)
        self.least_rows = least_rows
        self.most_categories = most_categories

    def fit(self, values: Any, target: Any = None) -> Self:
        """Counts the categories."""
        self.categories = frequent(values, self.least_rows, self.most_categories)
        super().fit(values, target)
        return self


class FrequentOrdinal(OrdinalEncoder):  # type: ignore[misc]  # scikit-learn has no types
    """The place of a frequent category in the alphabet; -1 for rare and unknown ones."""

    def __init__(self, least_rows: int = 1, most_categories: int = 100) -> None:
        """Takes what is frequent, see `Categorical`."""
        super().__init__(handle_unknown="use_encoded_value", unknown_value=-1, dtype=np.float32)
        self.least_rows = least_rows
        self.most_categories = most_categories

    def fit(self, values: Any, target: Any = None) -> Self:
        """Counts the categories."""
        self.categories = frequent(values, self.least_rows, self.most_categories)
        super().fit(values, target)
        return self


def frequent(values: Any, least_rows: int, most_categories: int) -> list[Array]:
    """The frequent categories of each column, sorted; at least one."""
    return [_frequent(column, least_rows, most_categories) for column in np.asarray(values).T]


def _frequent(column: Array, least_rows: int, most_categories: int) -> Array:
    names, counts = np.unique(column.astype(object), return_counts=True)
    order = np.lexsort((names, -counts))[:most_categories]
    kept = [at for at in order if counts[at] >= least_rows] or order[:1].tolist()
    return np.sort(names[kept])


def calendar(operations: Any, seconds: Any, parts: Sequence[str]) -> list[Any]:
    """Parts of moments, said in floor divisions, so that numpy and ONNX do the same.

    Args:
        operations: `divided(a, b)`, rounded down, for whole numbers, and `plus`, `minus`, `times`.
        seconds: Whole numbers.
        parts: Which, see `Date`.
    """
    op = operations
    days = op.divided(seconds, DAY_SECONDS)
    shifted = op.plus(days, EPOCH_DAYS)
    era = op.divided(shifted, ERA_DAYS)
    day_of_era = op.minus(shifted, op.times(era, ERA_DAYS))
    centuries = op.divided(day_of_era, CENTURY_DAYS)
    leaps = op.minus(centuries, op.divided(day_of_era, FOUR_YEAR_DAYS))
    leaps = op.minus(leaps, op.divided(day_of_era, ERA_DAYS - 1))
    year_of_era = op.divided(op.plus(day_of_era, leaps), YEAR_DAYS)
    before = op.minus(
        op.plus(op.times(year_of_era, YEAR_DAYS), op.divided(year_of_era, 4)),
        op.divided(year_of_era, 100),
    )
    day_of_year = op.minus(day_of_era, before)  # from 1 March on
    month_from_march = op.divided(op.plus(op.times(day_of_year, 5), 2), 153)
    begun = op.divided(op.plus(op.times(month_from_march, 153), 2), 5)
    past_december = op.divided(month_from_march, 10)
    found = {
        "days": days,
        "hour": op.divided(op.minus(seconds, op.times(days, DAY_SECONDS)), 3600),
        # 1970-01-01 was a Thursday; Monday is 0.
        "weekday": op.minus(op.plus(days, 3), op.times(op.divided(op.plus(days, 3), 7), 7)),
        "day": op.plus(op.minus(day_of_year, begun), 1),
        "month": op.minus(op.plus(month_from_march, 3), op.times(past_december, 12)),
        "year": op.plus(op.plus(year_of_era, op.times(era, 400)), past_december),
    }
    return [found[part] for part in parts]


class Numpy:
    """Whole numbers in numpy."""

    divided = staticmethod(np.floor_divide)
    plus = staticmethod(np.add)
    minus = staticmethod(np.subtract)
    times = staticmethod(np.multiply)
