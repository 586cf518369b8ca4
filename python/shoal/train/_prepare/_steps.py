"""A preparation as steps of scikit-learn, each of which can be exported.

- All that is learned from records (means, categories, words, selected features) is learned by
  `fit`: inside a fold, from the records of that fold only.
- Columns are chosen by name. Numeric columns that are treated alike are treated together.
"""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Any

import numpy as np
from skl2onnx.sklapi import CastTransformer
from sklearn.compose import ColumnTransformer
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.feature_selection import SelectKBest, f_classif, f_regression
from sklearn.impute import SimpleImputer
from sklearn.pipeline import Pipeline

from shoal.errors import InvalidRequestError
from shoal.train._prepare._description import Categorical, Date, Numeric, Preparation, Text
from shoal.train._prepare._transformers import (
    DateParts,
    FrequentOneHot,
    FrequentOrdinal,
    MissingFlags,
    ModelledImputer,
    Products,
    SingleScaler,
    WordWeights,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from shoal.train._prepare._description import Scale

    Step = tuple[str, Any]
    Entry = tuple[str, Any, Any]

# A package computes in single precision: what an estimator learns from is rounded as well.
ROUND: tuple[str, Any] = ("round", CastTransformer(dtype=np.float32))
# What a missing text is, for a package as well.
NO_TEXT = ""


def steps_of(
    preparation: Preparation,
    *,
    is_scaled: bool,
    is_classification: bool,
    scale: Scale = "standard",
) -> list[Step]:
    """The steps before an estimator.

    Args:
        preparation: What is to be done.
        is_scaled: Whether the estimator needs features of one scale.
        is_classification: Whether the target is a class, for the selection of features.
        scale: What the scale `auto` is, where the estimator needs one.

    Raises:
        InvalidRequestError: it names no column, or what it asks for cannot be done together.
    """
    if not preparation.columns:
        raise InvalidRequestError("the preparation names no column")
    auto: Scale = scale if is_scaled else "none"
    entries = [*_numeric(preparation, auto), *_others(preparation, auto, is_scaled=is_scaled)]
    steps: list[Step] = [("columns", ColumnTransformer(entries, sparse_threshold=0.0))]
    if preparation.select is not None:
        score = f_classif if is_classification else f_regression
        steps.append(("select", SelectKBest(score, k=preparation.select)))
    return steps


def _numeric(preparation: Preparation, auto: Scale) -> Iterator[Entry]:
    numbers = _of_kind(preparation, Numeric)
    groups = alike(numbers)
    if preparation.polynomial > 1 and len(groups) > 1:
        message = "numeric columns that are treated differently cannot be multiplied"
        raise InvalidRequestError(message, hint="Treat all alike (missing, scale), or polynomial=1")
    for number, (feature, names) in enumerate(groups):
        steps = [*_filled(feature), *_scaled(feature.scale, auto)]
        if preparation.polynomial > 1:
            steps.append(("products", Products(preparation.polynomial)))
        yield f"numeric_{number}", Pipeline(steps), names
    if flagged := [name for name, feature in numbers.items() if feature.flag]:
        yield "missing", MissingFlags(), flagged


def alike(numbers: dict[str, Numeric]) -> list[tuple[Numeric, list[str]]]:
    """Numeric columns that are treated alike, in the order of their features."""

    def treatment(name: str) -> tuple[str, str]:
        return str(numbers[name].missing), numbers[name].scale

    groups = groupby(sorted(numbers, key=treatment), key=treatment)
    found = [list(names) for _, names in groups]
    return [(numbers[names[0]], names) for names in found]


def _filled(feature: Numeric) -> Iterator[Step]:
    if feature.missing == "modelled":
        yield "fill", ModelledImputer()
    elif isinstance(feature.missing, float | int):
        value = float(feature.missing)
        filled = SimpleImputer(strategy="constant", fill_value=value, keep_empty_features=True)
        yield "fill", filled
    elif feature.missing not in {"keep", "drop"}:
        yield "fill", SimpleImputer(strategy=feature.missing, keep_empty_features=True)


def _scaled(asked: str, auto: Scale) -> Iterator[Step]:
    chosen = auto if asked == "auto" else asked
    yield ROUND
    if chosen != "none":
        yield "scale", SingleScaler(chosen)


def _others(preparation: Preparation, auto: Scale, *, is_scaled: bool) -> Iterator[Entry]:
    for name, feature in _of_kind(preparation, Categorical).items():
        yield f"categories_{name}", _encoded(feature), [name]
    for name, text in _of_kind(preparation, Text).items():
        yield f"words_{name}", Pipeline(_words(text, is_scaled=is_scaled)), name
    for name, date in _of_kind(preparation, Date).items():
        steps = [("parts", DateParts(date.parts)), *_scaled("auto", auto)]
        yield f"dates_{name}", Pipeline(steps), [name]


def _words(text: Text, *, is_scaled: bool) -> list[Step]:
    n_grams = (1, text.n_grams)
    counts = TfidfVectorizer(
        max_features=text.most_words, ngram_range=n_grams, use_idf=False, norm=None
    )
    is_weighed = is_scaled if text.weigh == "auto" else text.weigh == "tf_idf"
    return [("words", counts), ("weigh", WordWeights()) if is_weighed else ROUND]


def _encoded(feature: Categorical) -> Any:
    kind = FrequentOneHot if feature.encode == "one_hot" else FrequentOrdinal
    encoder = kind(feature.least_rows, feature.most_categories)
    if feature.missing != "most_frequent":
        return encoder
    filled = SimpleImputer(missing_values=NO_TEXT, strategy="most_frequent")
    return Pipeline([("fill", filled), ("encode", encoder)])


def _of_kind(preparation: Preparation, kind: type[Any]) -> dict[str, Any]:
    return {name: each for name, each in preparation.columns.items() if isinstance(each, kind)}
