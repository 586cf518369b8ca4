"""Tables as JSON, in the form that is written."""
# ruff: noqa: INP001 - a program, not a package

from __future__ import annotations

import base64
import json
import math
import struct
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from protocol.vectors.task_vectors.neutral import FLOATS

if TYPE_CHECKING:
    from protocol.vectors.task_vectors.neutral import Column, Table

EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - without a zone: UTC
PER_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
SAFE = 2**53 - 1


def text(value: Any) -> bytes:
    """Gives JSON without white space."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def table(of: Table) -> dict[str, Any]:
    """Gives a table as the value of a JSON field."""
    return {"rows": of.rows, "columns": [column(one) for one in of.columns]}


def column(of: Column) -> dict[str, Any]:
    """Gives a column; its fields are in the order in which they are written."""
    head: dict[str, Any] = {"name": of.name, "dtype": of.dtype}
    if of.shape:
        head["shape"] = of.shape
    if of.dtype == "TIMESTAMP":
        head |= {"unit": of.unit, "zone": of.zone}
    return {**head, "data": [record(of, one) for one in of.records]}


def record(of: Column, one: Any) -> Any:
    """Gives a record, nested as deep as its shape."""
    if one is None:
        return None
    return nested([value(of, element) for element in of.listed(one)], of.shape)


def nested(elements: list[Any], shape: list[int]) -> Any:
    """Gives elements as nested lists."""
    if not shape:
        return elements[0]
    size = len(elements) // shape[0] if shape[0] else 0
    parts = [elements[place * size : (place + 1) * size] for place in range(shape[0])]
    return [nested(part, shape[1:]) for part in parts]


def value(of: Column, element: Any) -> Any:
    """Gives an element as JSON has it."""
    if of.dtype == "MIXED":
        return scalar(element)
    if of.dtype == "BYTES":
        return base64.b64encode(element).decode()
    if of.dtype == "TIMESTAMP":
        return moment(element, of.unit)
    if of.dtype == "DATE":
        return day(element)
    if of.dtype in FLOATS:
        return floating(element, of.dtype)
    return whole(element) if of.dtype.startswith(("INT", "UINT")) else element


def whole(element: int) -> int | str:
    """Gives a whole number: text where it is not exact in FP64."""
    return element if abs(element) <= SAFE else str(element)


def floating(element: float, dtype: str) -> float | str:
    """Gives the number whose digits are the fewest, or the word of one that is not finite."""
    if math.isnan(element):
        return "NaN"
    if math.isinf(element):
        return "Infinity" if element > 0 else "-Infinity"
    return element if dtype == "FP64" else fewest_digits(element)


def fewest_digits(element: float) -> float:
    """Gives the FP64 of the fewest digits that becomes the same FP32."""
    tried = (float(f"{element:.{digits}g}") for digits in range(1, 18))
    return next(found for found in tried if as_fp32(found) == as_fp32(element))


def as_fp32(number: float) -> bytes:
    """Gives the bytes of the nearest FP32, and none where that would be infinite."""
    try:
        return struct.pack("<f", number)
    except OverflowError:
        return b""


def scalar(element: Any) -> Any:
    """Gives a record of MIXED."""
    if isinstance(element, float):
        number = floating(element, "FP64")
        return number if math.isfinite(element) and element % 1 else {"FP64": number}
    if isinstance(element, int) and not isinstance(element, bool) and abs(element) > SAFE:
        return {"INT64": str(element)}
    return element


def moment(count: int, unit: str) -> str:
    """Gives a moment in UTC."""
    seconds, rest = divmod(count, PER_SECOND[unit])
    when = EPOCH + timedelta(seconds=seconds)
    digits = len(str(PER_SECOND[unit])) - 1
    fraction = f".{rest:0{digits}}" if digits else ""
    return f"{when.isoformat()}{fraction}Z"


def day(count: int) -> str:
    """Gives a day."""
    return (EPOCH + timedelta(days=count)).date().isoformat()
