"""Which columns are learned from, in the order of the features that are made of them.

- What of a preparation can be learned in one pass with bounded memory: means, deviations, ranges,
  exact medians and quartiles, categories, missing values, parts of dates. What cannot is refused by
  name: words and TF-IDF, modelled values, the most frequent number, products and selections of
  features, and numbers that stay missing, which no model here takes.
- The features stand in the order in which the steps of a preparation give them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import pyarrow as pa

from shoal.errors import DtypeError, InvalidRequestError
from shoal.train._prepare._description import Categorical, Date, Numeric, Preparation, Text
from shoal.train._prepare._steps import alike

if TYPE_CHECKING:
    from collections.abc import Iterator

    from shoal.train._prepare._description import Feature

# A missing date has to be one: by type alone nobody knows whether one is missing.
USUAL_DATE = Date(missing="1970-01-01")
USUAL_CATEGORY = Categorical(least_rows=10)


class Layout(NamedTuple):
    """Columns by what is made of them.

    Attributes:
        numbers: Numeric columns, those that are treated alike beside each other.
        flags: Places among them of those with a feature that says what is missing.
        categories: Columns of names.
        dates: Columns of moments.
    """

    numbers: dict[str, Numeric]
    flags: list[int]
    categories: dict[str, Categorical]
    dates: dict[str, Date]

    @property
    def names(self) -> list[str]:
        """All of them."""
        return [*self.numbers, *self.categories, *self.dates]


def layout_of(preparation: Preparation) -> Layout:
    """Sorts the columns of a preparation.

    Raises:
        InvalidRequestError: it names none, or asks for what cannot be learned in micro-batches.
    """
    if not preparation.columns:
        raise InvalidRequestError("the preparation names no column")
    for name, feature in preparation.columns.items():
        _check(name, feature)
    if preparation.polynomial > 1:
        raise _refused(f"polynomial={preparation.polynomial}", "Multiply columns beforehand.")
    if preparation.select is not None:
        raise _refused(f"select={preparation.select}", "Name the columns that are to count.")
    found = {name: each for name, each in preparation.columns.items() if isinstance(each, Numeric)}
    numbers = {name: found[name] for _, names in alike(found) for name in names}
    order = list(numbers)
    return Layout(
        numbers,
        [order.index(name) for name, feature in found.items() if feature.flag],
        {name: each for name, each in preparation.columns.items() if isinstance(each, Categorical)},
        {name: each for name, each in preparation.columns.items() if isinstance(each, Date)},
    )


def usual_preparation(schema: pa.Schema, target: str) -> Preparation:
    """A preparation by the types of the columns alone: no value is looked at.

    Raises:
        DtypeError: a column has a type that nothing is made of.
    """
    columns = {field.name: _usual(field) for field in schema if field.name != target}
    return Preparation(columns=columns)


def _usual(field: pa.Field) -> Feature:
    kind = field.type.value_type if pa.types.is_dictionary(field.type) else field.type
    if pa.types.is_boolean(kind) or pa.types.is_integer(kind) or pa.types.is_floating(kind):
        return Numeric()
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        return USUAL_DATE
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return USUAL_CATEGORY
    message = f"column {field.name!r} is {kind}, expected numbers, text, dates, or true and false"
    raise DtypeError(message, hint="Leave it out: name the other columns in a preparation.")


def _check(name: str, feature: Feature) -> None:
    for what, hint in _unlearnable(feature):
        raise _refused(f"column {name!r}: {what}", hint)


def _unlearnable(feature: Feature) -> Iterator[tuple[str, str]]:
    if isinstance(feature, Text):
        yield "words of a text", "Leave it out, or learn from a sample with train.fit."
    elif isinstance(feature, Numeric) and feature.missing in {"modelled", "most_frequent", "keep"}:
        yield f"missing={feature.missing!r}", "Say missing='median', 'mean', a number or 'drop'."


def _refused(what: str, hint: str) -> InvalidRequestError:
    return InvalidRequestError(f"{what} cannot be learned in micro-batches", hint=hint)
