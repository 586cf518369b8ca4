"""What columns look like: a preparation to begin with, which a person can change.

- Numbers and true-and-false values are numeric, moments are dates.
- Text of few different values is categorical, other text is sentences.
- A column of which nothing is there, or in which every value is the same, is left out, and so is
  text that is different in each record and has no spaces, such as a key.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from shoal.errors import DtypeError
from shoal.train._prepare._description import Categorical, Date, Feature, Numeric, Preparation, Text

if TYPE_CHECKING:
    from collections.abc import Collection

# Text of more different values, or of a greater share of them, is not categorical.
MOST_CATEGORIES = 50
MOST_DISTINCT = 0.5
# A category of fewer records is rare.
LEAST_ROWS = 10


def preparation_of(records: pa.Table, target: str, *, without: Collection[str] = ()) -> Preparation:
    """A preparation of all columns but the target.

    Args:
        records: What is known.
        target: What is to be predicted.
        without: Columns to leave out, such as those of groups or times that folds are cut by.

    Raises:
        DtypeError: a column is of a type that nothing is made of; leave it out.
    """
    columns = {
        name: feature
        for name in records.column_names
        if name != target
        and name not in without
        and (feature := feature_of(name, records.column(name))) is not None
    }
    return Preparation(columns=columns)


def feature_of(name: str, values: pa.ChunkedArray) -> Feature | None:
    """What a column looks like; None for one that says nothing.

    Raises:
        DtypeError: its type is none that something is made of.
    """
    kind = values.type.value_type if pa.types.is_dictionary(values.type) else values.type
    if pa.types.is_null(kind) or values.null_count == len(values):
        return None
    if pc.count_distinct(values, mode="all").as_py() == 1:
        return None
    if pa.types.is_boolean(kind) or pa.types.is_integer(kind) or pa.types.is_floating(kind):
        return Numeric(flag=values.null_count > 0)
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        return Date(missing="1970-01-01") if values.null_count else Date()
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return _text(values)
    message = f"column {name!r} is {kind}, expected numbers, text, dates, or true and false"
    raise DtypeError(message, hint="Convert it, or leave it out.")


def _text(values: pa.ChunkedArray) -> Feature | None:
    distinct = int(pc.count_distinct(values, mode="only_valid").as_py())
    known = len(values) - values.null_count
    if distinct <= min(MOST_CATEGORIES, max(MOST_DISTINCT * known, 2)):
        return Categorical(least_rows=min(LEAST_ROWS, max(known // 100, 1)))
    has_words = pc.any(pc.match_substring(values, " ")).as_py()
    return Text() if has_words else None
