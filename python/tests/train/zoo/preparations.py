"""The ways to prepare records that the zoo tries."""

from __future__ import annotations

from itertools import cycle
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from shoal.train._prepare._description import Categorical, Date, Feature, Numeric, Preparation, Text

if TYPE_CHECKING:
    from tests.train.zoo.records import Records

# More columns than that are not multiplied with each other.
MOST_MULTIPLIED = {"polynomial": 30, "cubic": 6}

NUMERIC: dict[str, tuple[Numeric, ...]] = {
    "usual": (Numeric(),),
    "standard": (Numeric(scale="standard", missing="mean", flag=True),),
    "min_max": (Numeric(scale="min_max", missing="most_frequent"),),
    "robust": (Numeric(scale="robust", missing=-1.0),),
    "unscaled": (Numeric(scale="none", missing=0.0, flag=True),),
    "modelled": (Numeric(missing="modelled"),),
    "different": (
        Numeric(scale="min_max"),
        Numeric(scale="standard", missing="modelled", flag=True),
        Numeric(scale="robust", missing="mean"),
    ),
    "kept": (Numeric(missing="keep"),),
    "dropped": (Numeric(missing="drop", scale="standard"), *[Numeric()] * 99),
}
OTHER: dict[str, tuple[Categorical, Text, Date]] = {
    "rare": (Categorical(least_rows=30), Text(n_grams=2), Date()),
    "ordinal": (
        Categorical(encode="ordinal", missing="most_frequent"),
        Text(weigh="counts", most_words=6),
        Date(parts=("days",)),
    ),
    "few": (
        Categorical(most_categories=3),
        Text(weigh="tf_idf", n_grams=2, most_words=40),
        Date(parts=("month", "weekday", "hour")),
    ),
}
WHOLE: dict[str, dict[str, Any]] = {
    "polynomial": {"polynomial": 2},
    "cubic": {"polynomial": 3},
    "selected": {"select": 4},
}


def names_for(found: Records) -> list[str]:
    """The ways that can be tried on these records."""
    numbers = [name for name in found.columns if _is_number(found, name)]
    whole = [name for name in WHOLE if len(numbers) <= MOST_MULTIPLIED.get(name, len(numbers))]
    others = [] if len(numbers) == len(found.columns) else list(OTHER)
    return [*NUMERIC, *whole, *others]


def preparation(name: str, found: Records) -> Preparation:
    """The way of this name, for the columns of these records."""
    numeric = cycle(NUMERIC.get(name, NUMERIC["usual"]))
    category, text, date = OTHER.get(name, OTHER["rare"])
    columns: dict[str, Feature] = {}
    for column in found.columns:
        kind = found.learned.schema.field(column).type
        if _is_number(found, column):
            columns[column] = next(numeric)
        elif pa.types.is_timestamp(kind):
            columns[column] = date
        else:
            columns[column] = text if column == "notes" else category
    return Preparation(columns=columns, **WHOLE.get(name, {}))


def _is_number(found: Records, column: str) -> bool:
    kind = found.learned.schema.field(column).type
    return bool(pa.types.is_floating(kind) or pa.types.is_boolean(kind))
