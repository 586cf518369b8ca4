"""Tables in no encoding: what a reader has to find, and what the writers of encodings start from.

A column holds records: `None` where one is missing, a value where `shape` is `[]`, and otherwise
the list of its elements, row-major. Values are `bool`, `int`, `float`, `str` and `bytes`; a
TIMESTAMP is a count of its unit, a DATE a count of days, and in MIXED each value has its own type.
"""
# ruff: noqa: INP001 - a program, not a package

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from math import prod
from typing import Any

# The struct letter of each dtype of fixed width.
LETTERS = {
    "BOOL": "?",
    "UINT8": "B",
    "UINT16": "H",
    "UINT32": "I",
    "UINT64": "Q",
    "INT8": "b",
    "INT16": "h",
    "INT32": "i",
    "INT64": "q",
    "FP16": "e",
    "FP32": "f",
    "FP64": "d",
    "TIMESTAMP": "q",
    "DATE": "i",
}
FLOATS = ("FP16", "FP32", "FP64")
ITEMS = ("UTF8", "BYTES")


@dataclass(frozen=True)
class Column:
    """A column of a table."""

    name: str
    dtype: str
    records: list[Any]
    shape: list[int] = field(default_factory=list)
    unit: str = ""
    zone: str = ""

    @property
    def elements(self) -> list[Any]:
        """All elements; zero, or empty, in the place of a missing record."""
        nothing = [zero(self.dtype)] * prod(self.shape)
        rows = [nothing if record is None else self.listed(record) for record in self.records]
        return [element for row in rows for element in row]

    @property
    def missing(self) -> list[bool]:
        """Whether each record is missing."""
        return [record is None for record in self.records]

    def listed(self, record: Any) -> list[Any]:
        """Gives the elements of a record that is there."""
        return record if self.shape else [record]


@dataclass(frozen=True)
class Table:
    """Columns that all have the same number of records."""

    columns: list[Column]
    rows: int

    @classmethod
    def of(cls, *columns: Column) -> Table:
        """Gives a table of at least one column."""
        return cls(list(columns), len(columns[0].records))


def zero(dtype: str) -> Any:
    """Gives what stands in the place of a missing element."""
    return {"UTF8": "", "BYTES": b"", "BOOL": False}.get(dtype, 0)


def as_bytes(value: str | bytes) -> bytes:
    """Gives text in UTF-8, and bytes as they are."""
    return value.encode() if isinstance(value, str) else value


def packed(column: Column) -> bytes:
    """Gives the raw bytes of a column of fixed width."""
    elements = column.elements
    return struct.pack(f"<{len(elements)}{LETTERS[column.dtype]}", *elements)


def described_scalar(value: Any) -> Any:
    """Gives a record of MIXED: `null`, or its type and its value without doubt."""
    match value:
        case None:
            return None
        case bool():
            return ["BOOL", value]
        case int():
            return ["INT64", str(value)]
        case float():
            return ["FP64", struct.pack("<d", value).hex()]
        case _:
            return ["UTF8", as_bytes(value).hex()]


def described_column(column: Column) -> dict[str, Any]:
    """Gives a column as `tasks.json` describes it."""
    entry: dict[str, Any] = {"name": column.name, "dtype": column.dtype, "shape": column.shape}
    if column.dtype == "MIXED":
        return {**entry, "mixed": [described_scalar(value) for value in column.records]}
    if column.dtype in ITEMS:
        entry["strings_hex"] = [as_bytes(element).hex() for element in column.elements]
    else:
        entry["data_hex"] = packed(column).hex()
    if any(column.missing):
        entry["missing_hex"] = bytes(column.missing).hex()
    if column.dtype == "TIMESTAMP":
        entry |= {"unit": column.unit, "zone": column.zone}
    return entry


def described(table: Table) -> dict[str, Any]:
    """Gives a table as `tasks.json` describes it."""
    return {"rows": table.rows, "columns": [described_column(column) for column in table.columns]}
