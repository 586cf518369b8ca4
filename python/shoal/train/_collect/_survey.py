"""Looks at records as they pass, and says at the end what holds for all of them.

A column of text is categorical if it has at most `CATEGORIES` values, each of at most
`CATEGORY_BYTES`, and each twice on average; so a column of names or sentences stays text. What the
user has stated stays as it is.
"""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from shoal.errors import DtypeError
from shoal.train._collect._schema import ColumnSchema, Schema

if TYPE_CHECKING:
    from collections.abc import Mapping

    from shoal.train._collect._kinds import Kind
    from shoal.train._collect._schema import Bound

CATEGORIES = 1000
CATEGORY_BYTES = 256
ROWS_OF_A_CATEGORY = 2

_KINDS: dict[pa.DataType, Kind] = {
    pa.int64(): "integer",
    pa.float64(): "float",
    pa.float32(): "float",
    pa.bool_(): "boolean",
    pa.date32(): "date",
    pa.timestamp("us"): "datetime",
    pa.null(): "empty",
}


class Counts(msgspec.Struct, frozen=True):
    """How many records of a column are out of the ordinary.

    Attributes:
        missing: Records without a value.
        infinite: Records whose value is infinite.
    """

    missing: int = 0
    infinite: int = 0


class Survey:
    """What is seen of the columns of a dataset."""

    def __init__(self, columns: pa.Schema, stated: Mapping[str, Kind]) -> None:
        """Takes the stored columns, and the kinds that the user has stated."""
        self._columns = [_Column(field, stated.get(field.name)) for field in columns]
        self.rows = 0

    def look(self, batch: pa.RecordBatch) -> None:
        """Takes more records."""
        self.rows += batch.num_rows
        for column, values in zip(self._columns, batch.columns, strict=True):
            column.look(values)

    def schema(self) -> Schema:
        """What holds for all records.

        Raises:
            DtypeError: a column that was stated to be categorical has too many categories.
        """
        return Schema(tuple(column.schema(self.rows) for column in self._columns))

    def counts(self) -> dict[str, Counts]:
        """What is out of the ordinary, by column."""
        return {column.name: Counts(column.missing, column.infinite) for column in self._columns}


class _Column:
    """What is seen of one column."""

    def __init__(self, field: pa.Field, stated: Kind | None) -> None:
        self.name: str = field.name
        self.missing = 0
        self.infinite = 0
        self._type = field.type
        self._stated = stated
        self._least: Bound | None = None
        self._most: Bound | None = None
        self._categories: set[str] | None = None if stated == "text" else set()

    def look(self, values: pa.Array) -> None:
        """Takes more values."""
        self.missing += values.null_count
        if pa.types.is_string(self._type):
            self._look_at_texts(values)
        elif pa.types.is_floating(self._type):
            finite = pc.is_finite(values)
            self.infinite += pc.sum(pc.invert(finite)).as_py() or 0
            self._look_at_range(values.filter(finite))
        elif not pa.types.is_boolean(self._type) and not pa.types.is_null(self._type):
            self._look_at_range(values)

    def schema(self, rows: int) -> ColumnSchema:
        """What holds for all values."""
        kind = self._kind(rows)
        return ColumnSchema(
            name=self.name,
            kind=kind,
            nullable=self.missing > 0,
            minimum=self._least,
            maximum=self._most,
            infinite=self.infinite > 0,
            categories=tuple(sorted(self._categories or ())) if kind == "categorical" else None,
            bits=32 if self._type == pa.float32() else 64,
        )

    def _kind(self, rows: int) -> Kind:
        if not pa.types.is_string(self._type):
            return _KINDS[self._type]
        if self._stated == "categorical":
            if self._categories is None:
                message = (
                    f"column {self.name!r} has more than {CATEGORIES} categories, or long ones"
                )
                raise DtypeError(message, hint="State that it is text.")
            return "categorical"
        values = rows - self.missing
        few = self._categories and ROWS_OF_A_CATEGORY * len(self._categories) <= values
        return "categorical" if few else "text"

    def _look_at_texts(self, values: pa.Array) -> None:
        if self._categories is None:
            return
        found = pc.unique(values).drop_null()
        longest = pc.max(pc.binary_length(found)).as_py() or 0
        if longest <= CATEGORY_BYTES and len(found) <= CATEGORIES:
            self._categories.update(found.to_pylist())
        if longest > CATEGORY_BYTES or len(found) > CATEGORIES or self._has_too_many():
            self._categories = None

    def _has_too_many(self) -> bool:
        return self._categories is not None and len(self._categories) > CATEGORIES

    def _look_at_range(self, values: pa.Array) -> None:
        found = pc.min_max(values)
        least, most = _bound(found["min"].as_py()), _bound(found["max"].as_py())
        if least is None or most is None:
            return
        # Of one kind: numbers, or texts of dates that sort as the dates do.
        self._least = least if self._least is None else min(self._least, least)
        self._most = most if self._most is None else max(self._most, most)


def _bound(value: object) -> Bound | None:
    """A value as a bound: a date as text."""
    if isinstance(value, datetime.date):
        return value.isoformat()
    return value if isinstance(value, int | float) else None
