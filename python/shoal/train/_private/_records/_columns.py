"""Columns of which all is known that a model needs, and the step that makes features of them.

- Nothing here was computed from records without noise: it was stated, or found with noise.
- The step is fitted on made-up rows, of which it learns how many columns there are.
- Made-up rows are within bounds and categories, and beyond them, and have holes: the export is
  proved on them, and golden rows are taken from there.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeAlias

import msgspec
import numpy as np
import pyarrow as pa
from sklearn.compose import ColumnTransformer
from sklearn.preprocessing import OneHotEncoder

from shoal.train._prepare._description import Categorical, Numeric, Preparation
from shoal.train._prepare._frames import frame_of
from shoal.train._prepare._stated import StatedScaler
from shoal.train._prepare._steps import NO_TEXT
from shoal.train._prepare._transformers import MissingFlags
from shoal.train._private._records._bounds import private_bounds, private_categories
from shoal.train._private._records._settings import (
    PrivateBoolean,
    PrivateCategorical,
    PrivateNumeric,
    is_unknown,
)
from shoal.train._private._statistics import Bounds, moments
from shoal.train._seal._hard_rows import UNKNOWN

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

    from shoal.train._prepare._description import Feature
    from shoal.train._private._records._parts import Part
    from shoal.train._private._records._settings import PrivateColumn, PrivateSettings

_ROWS = 64
_FAR = 3.0
_MISSING, _STRANGE = 0.1, 0.05
_PART_OF_DELTA = 0.25
_FIND, _FIND_BESIDE_SCALES = 0.99, 0.5
"""What finding bounds and categories may spend of epsilon; sums are rounded up."""


@dataclass(frozen=True)
class Numbers:
    """A column of numbers, or of true and false."""

    name: str
    low: float
    high: float
    fill: float
    flag: bool
    center: float
    scale: float
    is_boolean: bool = False


@dataclass(frozen=True)
class Names:
    """A column of names."""

    name: str
    categories: tuple[str, ...]


Column: TypeAlias = Numbers | Names


def kinds_of(columns: dict[str, PrivateColumn]) -> Preparation:
    """Of which kind each column is, for reading records before all is known."""
    kinds: dict[str, Feature] = {
        name: Categorical() if isinstance(column, PrivateCategorical) else Numeric(missing=0.0)
        for name, column in columns.items()
    }
    return Preparation(columns=kinds)


def preparation_of(columns: Sequence[Column]) -> Preparation:
    """What is done with the columns, as a sealed model has it."""
    kinds: dict[str, Feature] = {
        column.name: Categorical()
        if isinstance(column, Names)
        else Numeric(missing=column.fill, flag=column.flag)
        for column in columns
    }
    return Preparation(columns=kinds)


@dataclass(frozen=True)
class Finder:
    """What is not stated, found in a part of the records.

    Attributes:
        part: The records.
        epsilon: What each column may cost.
        delta: What each column of names may take of the budget's delta.
        seed: For tests: with it nothing is private.
    """

    part: Part
    epsilon: float
    delta: float
    seed: int | None

    def stated(self, name: str, column: PrivateColumn, values: Any) -> PrivateColumn:
        """The column with all that has to be known of it.

        Raises:
            BudgetError: it cannot be found with what there is to spend.
        """
        account, here = self.part.account, values.to_numpy()[self.part.places]
        if isinstance(column, PrivateNumeric) and column.bounds is None:
            bounds = private_bounds(account, here, name=name, epsilon=self.epsilon, seed=self.seed)
            return msgspec.structs.replace(column, bounds=bounds)
        if isinstance(column, PrivateCategorical) and column.categories is None:
            names = private_categories(
                account, here, name=name, epsilon=self.epsilon, delta=self.delta, seed=self.seed
            )
            return msgspec.structs.replace(column, categories=names)
        return column


def found_columns(
    settings: PrivateSettings, frame: pd.DataFrame, part: Part | None, seed: int | None
) -> tuple[Column, ...]:
    """All that a model needs to know of its columns, as stated or found with noise.

    Args:
        settings: What is stated.
        frame: All records, as `frame_of` gives them.
        part: The records that something may be found in; None where all is stated.
        seed: For tests: with it nothing is private.

    Raises:
        BudgetError: something cannot be found with what there is to spend.
    """
    stated = dict(settings.columns)
    if part is not None:
        unknown = [name for name, column in stated.items() if is_unknown(column)]
        share = _FIND_BESIDE_SCALES if settings.scale == "noisy" else _FIND
        count, budget = max(1, len(unknown)), part.account.budget
        for name in unknown:
            finder = Finder(
                part, share * budget.epsilon / count, _PART_OF_DELTA * budget.delta / count, seed
            )
            stated[name] = finder.stated(name, stated[name], frame[name])
    columns = tuple(_known(name, column) for name, column in stated.items())
    if part is None or settings.scale == "bounds":
        return columns
    return _scaled(columns, frame, part, seed)


def encoder_of(columns: Sequence[Column]) -> ColumnTransformer:
    """The step from raw columns to features; no record is in it."""
    numbers, names = _split(columns)
    flagged = [column.name for column in numbers if column.flag]
    categories = [np.array([*column.categories, NO_TEXT], object) for column in names]
    entries = [
        ("numbers", _scaler(numbers), [column.name for column in numbers]),
        ("missing", MissingFlags(), flagged),
        (
            "names",
            OneHotEncoder(
                categories=categories,
                handle_unknown="ignore",
                sparse_output=False,
                dtype=np.float32,
            ),
            [column.name for column in names],
        ),
    ]
    step = ColumnTransformer([each for each in entries if each[2]], sparse_threshold=0.0)
    return step.fit(frame_of(made_up(columns, _ROWS), preparation_of(columns)))


def made_up(columns: Sequence[Column], rows: int, seed: int = 0) -> pa.Table:
    """Records that nobody has: some with holes, with unknown names, and beyond the bounds."""
    generator = np.random.default_rng(seed)
    return pa.table({column.name: _values(column, rows, generator) for column in columns})


def said_of(columns: Sequence[Column], settings: PrivateSettings) -> list[str]:
    """What is taken as public of the columns, in words."""
    numbers, names = _split(columns)
    stated = [column for column in numbers if not is_unknown(settings.columns[column.name])]
    bounds = [f"{each.name} {each.low:g} to {each.high:g}" for each in stated]
    listed = [each.name for each in names if not is_unknown(settings.columns[each.name])]
    said = [f"the columns: {', '.join(column.name for column in columns)}"]
    said += [f"bounds, as stated: {', '.join(bounds)}"] if bounds else []
    said += [f"the categories of {', '.join(listed)}, as stated"] if listed else []
    return said


def _known(name: str, column: PrivateColumn) -> Column:
    if isinstance(column, PrivateCategorical):
        return Names(name, column.categories or ())
    is_boolean = isinstance(column, PrivateBoolean)
    stated = None if isinstance(column, PrivateBoolean) else column.bounds
    low, high = map(float, stated or (0.0, 1.0))
    middle, half = (low + high) / 2, (high - low) / 2
    fill = middle if column.missing is None else min(max(column.missing, low), high)
    return Numbers(name, low, high, fill, column.flag, middle, half, is_boolean)


def _scaled(
    columns: Sequence[Column], frame: pd.DataFrame, part: Part, seed: int | None
) -> tuple[Column, ...]:
    """The columns with noisy centres and scales, for all that is left of the part's budget."""
    numbers, _ = _split(columns)
    here = frame.iloc[part.places]
    values = np.column_stack([here[each.name].fillna(each.fill) for each in numbers])
    bounds = Bounds([each.low for each in numbers], [each.high for each in numbers])
    means, deviations = moments(part.account, values, bounds, epsilon=None, seed=seed)
    scaled = {
        each.name: replace(
            each, center=each.center + mean * each.scale, scale=each.scale * deviation
        )
        for each, mean, deviation in zip(numbers, means.tolist(), deviations.tolist(), strict=True)
    }
    return tuple(scaled.get(column.name, column) for column in columns)


def _split(columns: Sequence[Column]) -> tuple[list[Numbers], list[Names]]:
    numbers = [column for column in columns if isinstance(column, Numbers)]
    return numbers, [column for column in columns if isinstance(column, Names)]


def _scaler(numbers: Sequence[Numbers]) -> StatedScaler:
    return StatedScaler(
        lower=[each.low for each in numbers],
        upper=[each.high for each in numbers],
        fills=[each.fill for each in numbers],
        centers=[each.center for each in numbers],
        scales=[each.scale for each in numbers],
    )


def _values(column: Column, rows: int, generator: np.random.Generator) -> pa.Array:
    is_missing = generator.random(rows) < _MISSING
    is_strange = generator.random(rows) < _STRANGE
    if isinstance(column, Names):
        names = generator.choice(np.array(column.categories, object), rows)
        return pa.array(np.where(is_strange, UNKNOWN, names), pa.string(), mask=is_missing)
    if column.is_boolean:
        return pa.array(generator.random(rows) < 0.5, mask=is_missing)  # noqa: PLR2004 - a coin
    middle, half = (column.low + column.high) / 2, (column.high - column.low) / 2
    reach = np.where(is_strange, _FAR, 1.0) * generator.uniform(-1, 1, rows)
    values = np.float32(middle + half * reach).astype(np.float64)
    return pa.array(values, mask=is_missing)
