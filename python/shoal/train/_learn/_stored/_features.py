"""Stored records as features, and the steps of a preparation that answer the same.

- Features are those numbers, bit for bit, that the fitted steps give for the same records: filled,
  rounded to single precision, then a difference and a product.
- Steps are fitted on a few made-up records, which hold every name that is kept; what is learned
  from records is then set in them.
"""

from __future__ import annotations

from itertools import cycle, islice
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from sklearn.pipeline import Pipeline

from shoal.train._learn._stored._scales import filled
from shoal.train._prepare._steps import NO_TEXT, steps_of
from shoal.train._prepare._transformers import DateParts

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray
    from sklearn.compose import ColumnTransformer

    from shoal.train._learn._stored._layout import Layout
    from shoal.train._learn._stored._scales import Scale
    from shoal.train._learn._stored._survey import Names, Question, Survey
    from shoal.train._prepare._description import Categorical

    Array = NDArray[Any]


class Features:
    """Makes features of stored records; several threads may."""

    def __init__(self, layout: Layout, survey: Survey) -> None:
        """Takes which columns there are, and what is known of them."""
        self._layout = layout
        self._fills = [scale.fill for scale in survey.numbers]
        self._numbers = _moves(survey.numbers)
        self._dates = [_moves(scales) for scales in survey.dates]
        self._names = [
            (np.asarray(names.places, np.int64), len(names.kept)) for names in survey.names
        ]

    def __call__(self, records: Array) -> Array:
        """(rows, features) FP32."""
        numbers = records["numbers"]
        parts = [
            _moved(filled(numbers, self._fills), self._numbers),
            np.isnan(numbers[:, self._layout.flags]).astype(np.float32),
            *self._categories(records["codes"]),
            *self._parts_of_dates(records["seconds"]),
        ]
        return np.concatenate(parts, axis=1)

    def _categories(self, codes: Array) -> Iterator[Array]:
        features = self._layout.categories.values()
        for column, (feature, (places, width)) in enumerate(
            zip(features, self._names, strict=True)
        ):
            found = places[codes[:, column]]
            if feature.encode == "ordinal":
                yield found[:, None].astype(np.float32)
            else:
                yield (found[:, None] == np.arange(width)).astype(np.float32)

    def _parts_of_dates(self, seconds: Array) -> Iterator[Array]:
        dates = self._layout.dates.values()
        for column, (date, moves) in enumerate(zip(dates, self._dates, strict=True)):
            of_date = seconds[:, column : column + 1]
            parts = DateParts(date.parts).fit(of_date[:1]).transform(of_date)
            yield _moved(parts, moves)


def fitted_step(question: Question, survey: Survey) -> tuple[str, ColumnTransformer]:
    """The step of the preparation, fitted as if on all records that are learned from."""
    layout = question.layout
    steps = steps_of(
        question.preparation,
        is_scaled=question.is_scaled,
        is_classification=question.has_classes,
    )
    ((name, columns),) = steps
    least = {name: feature.least_rows for name, feature in layout.categories.items()}
    _set_least_rows(columns.transformers, dict.fromkeys(least, 1))
    columns.fit(_made_up(question, survey))
    _set_least_rows(columns.transformers_, least)
    _set_least_rows(columns.transformers, least)
    scales = dict(zip(layout.numbers, survey.numbers, strict=True))
    dates = dict(zip(layout.dates, survey.dates, strict=True))
    names = dict(zip(layout.categories, survey.names, strict=True))
    for _, step, of in columns.transformers_:
        if not isinstance(step, Pipeline):
            continue
        if of[0] in names:
            step.named_steps["fill"].statistics_ = np.array([names[of[0]].filled], object)
        else:
            _set(step, [scales[name] for name in of] if of[0] in scales else dates[of[0]])
    return name, columns


def _set(step: Pipeline, scales: Sequence[Scale]) -> None:
    if "fill" in step.named_steps:
        step.named_steps["fill"].statistics_ = np.array([scale.fill for scale in scales])
    if "scale" in step.named_steps:
        scaler = step.named_steps["scale"]
        scaler.offsets_, scaler.factors_ = _moves(scales)


def _set_least_rows(transformers: Sequence[tuple[str, Any, Any]], least: dict[str, int]) -> None:
    """Of each encoder of names: how many records a name must have to be kept."""
    for _, step, of in transformers:
        if isinstance(of, list) and of[0] in least:
            encoder = step.named_steps["encode"] if isinstance(step, Pipeline) else step
            encoder.least_rows = least[of[0]]


def _made_up(question: Question, survey: Survey) -> pd.DataFrame:
    """Records that hold every name that is kept, and a number where one is needed."""
    layout = question.layout
    rows = max([2, *(len(names.kept) for names in survey.names)])
    made: dict[str, Any] = {name: np.zeros(rows) for name in layout.numbers}
    made |= {name: np.zeros(rows, np.int64) for name in layout.dates}
    for (name, feature), names in zip(layout.categories.items(), survey.names, strict=True):
        made[name] = _repeated(names, feature, rows)
    return pd.DataFrame({name: made[name] for name in question.preparation.columns})


def _repeated(names: Names, feature: Categorical, rows: int) -> Array:
    known = [name for name in names.kept if name != NO_TEXT or feature.missing == "category"]
    return np.array(list(islice(cycle(known or [NO_TEXT]), rows)), object)


def _moves(scales: Sequence[Scale]) -> tuple[Array, Array]:
    return (
        np.array([scale.offset for scale in scales]).astype(np.float32),
        np.array([scale.factor for scale in scales]).astype(np.float32),
    )


def _moved(values: Array, moves: tuple[Array, Array]) -> Array:
    offsets, factors = moves
    return (values - offsets) * factors
