"""Rows that exports get wrong more easily than others: what is missing, unknown, or extreme.

Each is a held-out row of which one column is changed, so that a package that answers it otherwise
than the model can be traced to that column.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from shoal.train._prepare._description import Categorical, Date, Numeric, Text
from shoal.train._prepare._frames import nulls_of
from shoal.train._prepare._steps import NO_TEXT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from shoal.train._prepare._description import Feature, Preparation

# Of each kind, for each column.
ROWS = 4
UNKNOWN = "a name that was never there"
# So many times the range of a column beyond its ends.
FAR = 10.0
FAR_DATES = (-2_208_988_800, 4_102_444_800)  # 1900-01-01 and 2100-01-01


def hard_rows(frame: pd.DataFrame, preparation: Preparation) -> pd.DataFrame:
    """Rows to add to those that a model is compared on.

    Args:
        frame: Held-out rows, as `frame_of` gives them.
        preparation: What the columns are.
    """
    taken = nulls_of(preparation)
    changed = []
    for name, feature in preparation.columns.items():
        for values in _changes(feature, frame[name], is_nullable=name in taken):
            rows = frame.iloc[np.arange(ROWS) % len(frame)].copy()
            rows[name] = values
            changed.append(rows)
    if taken:
        changed.append(_all_missing(frame, preparation))
    return pd.concat(changed, ignore_index=True)


def _changes(feature: Feature, values: Any, *, is_nullable: bool) -> Iterator[Any]:
    if isinstance(feature, Numeric):
        if is_nullable:
            yield np.nan
        known = values.dropna()
        low, high = (known.min(), known.max()) if len(known) else (0.0, 0.0)
        far = FAR * (high - low)
        yield from (low, high, float(np.float32(low - far)), float(np.float32(high + far)), 0.0)
    elif isinstance(feature, Categorical | Text):
        if is_nullable:
            yield NO_TEXT
        yield UNKNOWN
    elif isinstance(feature, Date):
        yield from FAR_DATES


def _all_missing(frame: pd.DataFrame, preparation: Preparation) -> pd.DataFrame:
    row = frame.iloc[:1].copy()
    for name in nulls_of(preparation):
        feature = preparation.columns[name]
        if isinstance(feature, Numeric):
            row[name] = np.nan
        elif isinstance(feature, Categorical | Text):
            row[name] = NO_TEXT
    return row
