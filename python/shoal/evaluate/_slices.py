"""The same metrics, for each value of a column, and how far apart they lie.

- A slice is all records of one value; a missing value is a slice of its own.
- A column of more than `MOST_SLICES` values is refused: its numbers belong into ranges first.
- Slices are compared by fairlearn's `MetricFrame`: the largest difference between two of them.

Source: fairlearn, "Performing a fairness assessment", `MetricFrame.difference`.
"""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from shoal.errors import DtypeError, InvalidRequestError, RequirementError
from shoal.evaluate._evaluation import Slice, Sliced
from shoal.evaluate._measures import measures_of
from shoal.evaluate._rows import column_of

try:
    from fairlearn.metrics import MetricFrame
except ImportError as error:
    _message = "slices are compared by the package fairlearn, which is not installed"
    raise RequirementError(_message, hint="pip install 'shoal[train]'") from error

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from shoal.evaluate._evaluation import Metric
    from shoal.evaluate._rows import Rows
    from shoal.evaluate._task import Settings

    Integers = NDArray[np.int64]

MOST_SLICES: Final = 50


def sliced(
    rows: Rows, records: pa.RecordBatch | pa.Table | None, settings: Settings
) -> tuple[Sliced, ...]:
    """Measures the slices of each column that is named.

    Raises:
        InvalidRequestError: There are no records, or a column has too many values.
        MissingColumnError: A column is not there.
        DtypeError: A column holds lists or structs.
    """
    if records is None:
        raise InvalidRequestError(
            f"the slices {list(settings.slices)} are columns of the records, and there are none",
            hint="give records=, a table with a row for each truth",
        )
    return tuple(
        _sliced(rows, column_of(records, name), name, settings) for name in settings.slices
    )


def _sliced(rows: Rows, column: pa.Array, name: str, settings: Settings) -> Sliced:
    try:
        encoded = column.dictionary_encode()
    except pa.ArrowException as cause:
        raise DtypeError(
            f"column {name!r} is {column.type}: its records cannot be told apart by value"
        ) from cause
    values = [_text(value) for value in encoded.dictionary.to_pylist()]
    if len(values) > MOST_SLICES:
        raise InvalidRequestError(
            f"column {name!r} has {len(values)} values, expected at most {MOST_SLICES} slices",
            hint="put its values into a few ranges or groups first",
        )
    codes = pc.fill_null(encoded.indices, -1).to_numpy(zero_copy_only=False).astype(np.int64)
    present = [code for code in np.unique(codes).tolist() if rows.weights[codes == code].any()]
    found = {code: _measured(rows, np.flatnonzero(codes == code), settings) for code in present}
    slices = (
        Slice(None if code < 0 else values[code], int((codes == code).sum()), metrics)
        for code, metrics in found.items()
    )
    differences = _differences(codes[np.isin(codes, present)], found)
    return Sliced(name, tuple(slices), differences)


def _measured(rows: Rows, places: Integers, settings: Settings) -> tuple[Metric, ...]:
    from shoal.evaluate._measure import measured

    return measured(measures_of(rows.take(places), settings), settings)[0]


def _differences(codes: Integers, found: dict[int, tuple[Metric, ...]]) -> dict[str, float | None]:
    """Gives the largest difference of each metric between two slices."""
    metrics = [metric.name for metric in next(iter(found.values()))]
    frame = MetricFrame(
        metrics={name: partial(_value, found, name) for name in metrics},
        y_true=codes,
        y_pred=codes,
        sensitive_features=codes,
    )
    differences: Any = frame.difference(method="between_groups", errors="coerce")
    has_two = frame.by_group.notna().sum() > 1
    return {
        name: float(differences[name])
        if has_two[name] and math.isfinite(differences[name])
        else None
        for name in metrics
    }


def _value(found: dict[int, tuple[Metric, ...]], name: str, codes: Any, _answers: Any) -> float:
    """Gives a slice's metric, which was measured before: its records are told by their code."""
    (code, *others) = np.unique(codes)
    if others:
        return math.nan  # all records at once: measured elsewhere
    metrics = found[int(code)]
    values = (metric.value for metric in metrics if metric.name == name)
    return next((value for value in values if value is not None), math.nan)


def _text(value: object) -> str:
    return value if isinstance(value, str) else str(value)
