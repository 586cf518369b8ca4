"""What is done with each column before an estimator sees it, as data: it can be read from TOML.

- A column is numeric, categorical, text or a date. What is not named is left out.
- A missing value is filled, modelled, left to the estimator, or its record is dropped **in
  training only**: a served record always gets an answer, or a named error.
- Everything here ends inside the exported model, so that a package takes raw columns.

| column | what a package takes | missing |
|---|---|---|
| numeric, and true or false | FP32 | null |
| categorical, text | BYTES | null |
| date | INT64 of moments: seconds since 1970-01-01 UTC, or dates | a stated date, or refused |
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec

Scale: TypeAlias = Literal["standard", "min_max", "none"]
DatePart: TypeAlias = Literal["year", "month", "day", "weekday", "hour", "days"]


class Numeric(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    tag_field="kind",
    tag="numeric",
):
    """A column of numbers.

    Attributes:
        missing: A number, or what it becomes: `mean`, `median`, `most_frequent`; `modelled`, what
            a linear model of the other numeric columns says; `keep`, for estimators that take it;
            `drop`.
        flag: Whether a further feature says that the value is missing.
        scale: `standard` (mean 0, deviation 1), `min_max` (0 to 1), `robust` (median 0,
            interquartile range 1), `none`, or `auto`: what the candidate says, where its estimator
            needs it.
    """

    missing: Literal["mean", "median", "most_frequent", "modelled", "keep", "drop"] | float = (
        "median"
    )
    flag: bool = False
    scale: Literal["standard", "min_max", "robust", "none", "auto"] = "auto"


class Categorical(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    tag_field="kind",
    tag="categorical",
):
    """A column of names.

    Attributes:
        missing: `category`: it is a category of its own; `most_frequent`; `drop`.
        encode: `one_hot`: a feature for each category, where a rare or unknown one has none;
            `ordinal`: its place among the categories, -1 for a rare or unknown one.
        least_rows: A category of fewer records is rare.
        most_categories: Only so many, the most frequent ones, are not rare.
    """

    missing: Literal["category", "most_frequent", "drop"] = "category"
    encode: Literal["one_hot", "ordinal"] = "one_hot"
    least_rows: int = 1
    most_categories: int = 100


class Text(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    tag_field="kind",
    tag="text",
):
    """A column of sentences, as features for its words; a missing one has none.

    Attributes:
        weigh: `counts`: how often a word is there; `tf_idf`: the same, less for words that many
            sentences have, and for long sentences; `auto`: counts for trees, which can do little
            with the difference, and TF-IDF otherwise.
        most_words: Only so many, the most frequent ones, count.
        n_grams: Up to so many words that follow each other count as one.
        missing: `empty`, or `drop`.
    """

    weigh: Literal["counts", "tf_idf", "auto"] = "auto"
    most_words: int = 1000
    n_grams: int = 1
    missing: Literal["empty", "drop"] = "empty"


class Date(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    tag_field="kind",
    tag="date",
):
    """A column of moments.

    Attributes:
        parts: Features: of the calendar (UTC), or `days` since 1970-01-01.
        missing: A date such as `1970-01-01` that stands for a missing one; `drop`; or `refuse`.
    """

    parts: tuple[DatePart, ...] = ("year", "month", "day", "weekday", "hour")
    missing: str = "refuse"


Feature: TypeAlias = Numeric | Categorical | Text | Date


class Preparation(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is done with all columns.

    Attributes:
        columns: By name, in the order of the features.
        polynomial: The degree up to which numeric features are multiplied with each other.
        select: Only so many features, those that say most about the target each by itself.
    """

    columns: dict[str, Feature]
    polynomial: int = 1
    select: int | None = None
