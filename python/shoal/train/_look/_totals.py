"""What is known of all records, in one pass: counts, ends, means; whatever their number.

- Sums are exact, so that the answer does not depend on how records are cut (`shoal.batch`).
- An infinite value counts as such, and in nothing else. Text is told by its length in characters.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from shoal import batch as merges
from shoal.train._collect._kinds import DATETIME

if TYPE_CHECKING:
    from collections.abc import Iterable

    from shoal.batch import Merge
    from shoal.train._look._facts import Bound, LookKind

NUMBERS: Final = ("integer", "float")
MOMENTS: Final = ("date", "datetime")
TEXTS: Final = ("categorical", "text")


@dataclass(frozen=True)
class Total:
    """One column of all records; see `ColumnLook`."""

    missing: int
    infinite: int
    minimum: Bound | None
    maximum: Bound | None
    mean: float | None
    deviation: float | None


class Totals:
    """Takes records as they pass."""

    def __init__(self, kinds: dict[str, LookKind]) -> None:
        """Takes what each column is."""
        self._kinds = list(kinds.values())
        self._names = list(kinds)
        self._plan = merges.Merges(
            [merge for place, kind in enumerate(self._kinds) for merge in _merges(place, kind)]
        )
        self._state = self._plan.combine([])
        self._infinite = np.zeros(len(kinds), np.int64)

    def look(self, batches: Iterable[pa.RecordBatch]) -> Iterable[pa.RecordBatch]:
        """Takes records, and passes them on."""
        for each in batches:
            lifted = self._plan.lift(self._measured(each))
            self._state = self._plan.combine([self._state, lifted])
            yield each

    def of_columns(self) -> dict[str, Total]:
        """What was seen, by column."""
        answer = self._plan.finish(self._state)
        found = {name: answer.column(name)[0] for name in answer.schema.names}
        return {
            name: _total(found, place, self._kinds[place], int(self._infinite[place]))
            for place, name in enumerate(self._names)
        }

    def _measured(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """What is merged of each column, by the place of the column."""
        columns = {}
        for place, (kind, values) in enumerate(zip(self._kinds, batch.columns, strict=True)):
            columns[f"known {place}"] = values
            if kind == "float":
                finite = pc.is_finite(values)
                columns[f"value {place}"] = pc.if_else(finite, values, pa.scalar(None, values.type))
                self._infinite[place] += pc.sum(pc.invert(finite)).as_py() or 0
            elif kind in TEXTS:
                columns[f"value {place}"] = pc.utf8_length(values)
            else:
                columns[f"value {place}"] = values
        return pa.RecordBatch.from_pydict(columns)


def moment_text(value: int, kind: pa.DataType) -> str:
    """A date or a datetime, as counted by its type, in the form of ISO 8601; of any year."""
    if kind == pa.date32():
        return str(np.datetime64(value, "D"))
    return str(np.datetime64(value, "us")).removesuffix(".000000")


def finite(value: Any) -> float | None:
    """A number that can be written, or None."""
    return float(value) if value is not None and math.isfinite(value) else None


def _merges(place: int, kind: LookKind) -> list[Merge]:
    found = [merges.nulls(f"known {place}", name=f"missing {place}")]
    column = f"value {place}"
    if kind in {*NUMBERS, *MOMENTS, *TEXTS}:
        found.append(merges.min(column, name=f"minimum {place}"))
        found.append(merges.max(column, name=f"maximum {place}"))
    if kind in {*NUMBERS, *TEXTS, "boolean"}:
        found.append(merges.mean(column, name=f"mean {place}"))
    if kind in NUMBERS:
        found.append(merges.variance(column, name=f"variance {place}"))
    return found


def _total(found: dict[str, pa.Scalar], place: int, kind: LookKind, infinite: int) -> Total:
    def of(what: str) -> Any:
        scalar = found.get(f"{what} {place}")
        return None if scalar is None else scalar.as_py()

    variance = of("variance") if kind in NUMBERS else None
    is_moment = kind in MOMENTS
    ends = [
        _moment(found[f"{end} {place}"]) if is_moment else of(end) for end in ("minimum", "maximum")
    ]
    return Total(
        missing=of("missing"),
        infinite=infinite,
        minimum=ends[0],
        maximum=ends[1],
        mean=finite(of("mean")),
        deviation=None if variance is None else finite(math.sqrt(max(variance, 0.0))),
    )


def _moment(scalar: pa.Scalar) -> str | None:
    if not scalar.is_valid:
        return None
    whole = pa.int32() if scalar.type == pa.date32() else pa.int64()
    kind = pa.date32() if scalar.type == pa.date32() else DATETIME
    return moment_text(scalar.cast(whole).as_py(), kind)
