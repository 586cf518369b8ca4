"""Tables as the golden vectors describe them, see protocol/protocol.md, "Of tasks"."""

from __future__ import annotations

import math
import struct
from typing import Any

import numpy as np

from shoal.client import Column, Kind, Table
from shoal.client._tables._column import of_records
from shoal.client._tables._dtypes import NUMPY_CODES, numpy_dtype


def described(table: Table) -> dict[str, Any]:
    return {"rows": table.rows, "columns": [described_column(each) for each in table.columns]}


def described_column(column: Column) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "name": column.name,
        "dtype": column.dtype,
        "shape": list(column.shape),
    }
    if column.dtype == "MIXED":
        return {**entry, "mixed": [described_scalar(value) for value in column.flat()]}
    if column.dtype in NUMPY_CODES:
        entry["data_hex"] = column.elements().tobytes().hex()
    else:
        items = [value.encode() if column.dtype == "UTF8" else value for value in column.flat()]
        entry["strings_hex"] = [item.hex() for item in items]
    if column.missing is not None:
        entry["missing_hex"] = column.missing.hex()
    if column.dtype == "TIMESTAMP":
        entry |= {"unit": column.kind.unit, "zone": column.kind.zone}
    return entry


def described_scalar(value: Any) -> Any:
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
            return ["UTF8", value.encode().hex()]


def built(entry: dict[str, Any]) -> Table:
    rows = entry["rows"]
    return Table([built_column(each, rows) for each in entry["columns"]], rows=rows)


def built_column(entry: dict[str, Any], rows: int) -> Column:
    dtype = entry["dtype"]
    kind = Kind(dtype, tuple(entry["shape"]), entry.get("unit", ""), entry.get("zone", ""))
    if dtype == "MIXED":
        return of_records(entry["name"], kind, [built_scalar(each) for each in entry["mixed"]])
    missing = bytes.fromhex(entry["missing_hex"]) if "missing_hex" in entry else None
    values = built_values(entry, dtype)
    assert len(values) == rows * math.prod(kind.shape)
    return Column(entry["name"], kind, rows, flat=values, missing=missing)


def built_values(entry: dict[str, Any], dtype: str) -> list[Any]:
    if "data_hex" in entry:
        values: list[Any] = np.frombuffer(
            bytes.fromhex(entry["data_hex"]), numpy_dtype(dtype)
        ).tolist()
        return values
    items = [bytes.fromhex(each) for each in entry["strings_hex"]]
    return [item.decode() for item in items] if dtype == "UTF8" else list(items)


def built_scalar(entry: Any) -> Any:
    match entry:
        case ["BOOL", value]:
            return value
        case ["INT64", digits]:
            return int(digits)
        case ["FP64", octets]:
            return struct.unpack("<d", bytes.fromhex(octets))[0]
        case ["UTF8", octets]:
            return bytes.fromhex(octets).decode()
    return None
