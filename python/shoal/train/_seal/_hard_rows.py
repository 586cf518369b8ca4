"""Rows that exports get wrong more easily than others: what is missing, unknown, or extreme.

Each is a held-out row of which one column is changed, so that a package that answers it otherwise
than the model can be traced to that column.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

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


class NamedRows(NamedTuple):
    """Rows, and what each of them is called in a message.

    Attributes:
        frame: The rows.
        names: (rows,) such as `record 3 with 'city' missing`.
    """

    frame: pd.DataFrame
    names: list[str]


def hard_rows(frame: pd.DataFrame, preparation: Preparation) -> NamedRows:
    """Rows to add to those that a model is compared on.

    Args:
        frame: Held-out rows, as `frame_of` gives them.
        preparation: What the columns are.
    """
    taken = nulls_of(preparation)
    places = np.arange(ROWS) % len(frame)
    changed, names = [], []
    for name, feature in preparation.columns.items():
        for what, value in _changes(feature, frame[name], is_nullable=name in taken):
            rows = frame.iloc[places].copy()
            rows[name] = value
            changed.append(rows)
            names += [f"record {place} with {name!r} {what}" for place in places]
    if taken:
        changed.append(_all_missing(frame, preparation))
        names.append("record 0 with all missing that may be")
    return NamedRows(pd.concat(changed, ignore_index=True), names)


def _changes(feature: Feature, values: Any, *, is_nullable: bool) -> Iterator[tuple[str, Any]]:
    if isinstance(feature, Numeric):
        if is_nullable:
            yield "missing", np.nan
        known = values.dropna()
        low, high = (known.min(), known.max()) if len(known) else (0.0, 0.0)
        far = FAR * (high - low)
        yield "at its lowest", low
        yield "at its highest", high
        yield "far below", float(np.float32(low - far))
        yield "far above", float(np.float32(high + far))
        yield "zero", 0.0
    elif isinstance(feature, Categorical | Text):
        if is_nullable:
            yield "missing", NO_TEXT
        yield "unknown", UNKNOWN
    elif isinstance(feature, Date):
        yield from zip(("in 1900", "in 2100"), FAR_DATES, strict=True)


def _all_missing(frame: pd.DataFrame, preparation: Preparation) -> pd.DataFrame:
    row = frame.iloc[:1].copy()
    for name in nulls_of(preparation):
        feature = preparation.columns[name]
        if isinstance(feature, Numeric):
            row[name] = np.nan
        elif isinstance(feature, Categorical | Text):
            row[name] = NO_TEXT
    return row
