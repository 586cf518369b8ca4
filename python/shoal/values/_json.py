"""Tensors in JSON, as the Open Inference Protocol writes them.

One tensor is `{"name", "datatype", "shape", "data"}`, the elements row by row.

Rules:

- `data` is read flat or nested to the depth of its shape, and written flat.
- Types are strict: true and false for BOOL, whole numbers without a point for integers, numbers for
  floats, text for BYTES. A number that a type cannot hold is refused; a float is rounded to the
  nearest value of its type, and is written with the fewest digits that give it back.
- What JSON cannot say is refused by name, with the hint to use binary: FP16, NaN and the
  infinities, and BYTES that are not UTF-8.
- A missing record is `null`: for a scalar in place of the value; in nested data in place of the
  record; in flat data in place of each of its elements. A null anywhere else is refused.
- No record is made that the text did not pay for: a tensor has at most as many elements or records
  as its message has bytes.
"""

from __future__ import annotations

import functools
import itertools
import math
import re
from typing import TYPE_CHECKING, Any, NoReturn

import msgspec
import numpy as np

from shoal.errors import (
    DtypeError,
    InvalidRequestError,
    MalformedJsonError,
    NullError,
    ShapeError,
)
from shoal.values._signature import Dtype, read_dtype, read_json
from shoal.values._wire import (
    Elements,
    Mask,
    WireColumn,
    as_buffer,
    as_missing,
    cast,
    check_data,
    elements_of,
    match_columns,
    missing_mask,
    numpy_dtype,
    scatter,
    scatter_bytes,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from shoal.values._signature import Column

Parameters = dict[str, str | int | float | bool]
USE_BINARY = "send or ask for this tensor in binary"


class JsonTensor(msgspec.Struct, omit_defaults=True):
    """One tensor of an answer. `data` is not set where the elements follow in binary."""

    name: str
    datatype: str
    shape: list[int]
    parameters: Parameters | None = None
    data: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


class RequestTensor(JsonTensor, forbid_unknown_fields=True):
    """One tensor of a request; a field that nobody knows is refused."""


class _Tensors(msgspec.Struct):
    tensors: list[RequestTensor]


def to_json(wire: Sequence[WireColumn]) -> list[dict[str, Any]]:
    """Gives wire columns as tensors made of plain lists, text and numbers, to be written as JSON.

    Raises:
        DtypeError: A column is FP16, or holds NaN, an infinity, or text that is not UTF-8.
        BinaryError: A column's data does not have the length its shape asks for.
    """
    return [
        {"name": one[0], "datatype": str(one[1]), "shape": list(one[2]), "data": json_data(one)}
        for one in wire
    ]


def from_json(
    tensors: Sequence[dict[str, Any]], columns: Sequence[Column] | None = None
) -> list[WireColumn]:
    """Reads tensors as `to_json` gives them.

    Args:
        tensors: JSON objects.
        columns: What they have to be; None reads them as they are.

    Returns:
        Wire columns, in declared order where `columns` is given.

    Raises:
        InputError: A tensor is malformed, or not as declared; the class says how.
    """
    text = msgspec.json.encode({"tensors": tensors})
    read = read_json(text, _Tensors, "the list of tensors").tensors
    wire = [read_tensor(tensor, limit=len(text)) for tensor in read]
    return wire if columns is None else match_columns(wire, columns)


def json_data(wire: WireColumn) -> list[Any]:
    """Gives the elements of a wire column as a list for JSON; see `to_json`."""
    name, dtype, shape, data, missing = wire
    check_data(wire)
    kind = read_dtype(dtype)
    if kind is Dtype.FP16:
        raise DtypeError(f"column {name!r} is FP16, which JSON does not carry", hint=USE_BINARY)
    mask = None if missing is None else missing_mask(missing)
    values = _texts(wire, data) if isinstance(data, list) else _numbers(wire, kind, mask)
    return values if mask is None else _with_nulls(values, mask, shape[1:])


def read_tensor(tensor: JsonTensor, *, limit: int) -> WireColumn:
    """Reads one tensor whose elements are in JSON.

    Args:
        tensor: What was read of it so far.
        limit: The most elements or records it may have; the bytes of the message.

    Raises:
        InputError: The class says what is wrong; see the rules of this module.
    """
    kind, name = read_dtype(tensor.datatype), tensor.name
    check_shape(tensor, limit)
    if kind is Dtype.FP16:
        raise DtypeError(f"column {name!r} is FP16, which JSON does not carry", hint=USE_BINARY)
    if tensor.data is msgspec.UNSET:
        raise InvalidRequestError(f"column {name!r} has no data, expected a list")
    values, depth = _decode(tensor, kind, bytes(tensor.data))
    present, mask = _flatten(tensor, values, depth)
    rows = np.flatnonzero(~mask)
    if kind is Dtype.BYTES:
        texts = scatter_bytes([text.encode() for text in present], tensor.shape, rows)
        return name, kind.value, tensor.shape, texts, as_missing(mask)
    elements = scatter(_elements(tensor, kind, present, rows), tensor.shape, rows)
    return name, kind.value, tensor.shape, as_buffer(elements), as_missing(mask)


def check_shape(tensor: JsonTensor, limit: int) -> None:
    """Refuses a shape without records, below zero, or larger than its message.

    Raises:
        ShapeError: Shows the shape.
        InvalidRequestError: A dimension is below zero.
    """
    if not tensor.shape:
        raise ShapeError(
            f"column {tensor.name!r} has shape [], expected the records as first dimension"
        )
    if min(tensor.shape) < 0:
        raise InvalidRequestError(
            f"column {tensor.name!r} has shape {tensor.shape}, expected no dimension below 0"
        )
    # A dimension of 0 makes room for others without any data: each of them counts.
    if math.prod(max(1, dim) for dim in tensor.shape) > max(1, limit):
        raise ShapeError(
            f"column {tensor.name!r} has shape {tensor.shape}, "
            f"expected no more elements than the {limit} bytes of its message"
        )


def _texts(wire: WireColumn, data: list[bytes]) -> list[Any]:
    try:
        return [text.decode("utf-8") for text in data]
    except UnicodeDecodeError as error:
        raise DtypeError(
            f"column {wire[0]!r} holds {error.object[:20]!r}, which is not UTF-8", hint=USE_BINARY
        ) from None


def _numbers(wire: WireColumn, kind: Dtype, mask: Mask | None) -> list[Any]:
    elements = elements_of(wire)
    if elements.dtype.kind != "f":
        listed: list[Any] = elements.reshape(-1).tolist()
        return listed
    finite = np.isfinite(elements)
    if mask is not None:
        finite[mask] = True
    if not finite.all():
        index = int(finite.reshape(-1).argmin())
        row = index // max(1, math.prod(wire[2][1:]))
        raise DtypeError(
            f"column {wire[0]!r} row {row} is {elements.reshape(-1)[index]!s}, "
            "which JSON does not carry",
            hint=USE_BINARY,
        )
    return _shortest(elements.reshape(-1)) if kind is Dtype.FP32 else elements.reshape(-1).tolist()


def _shortest(elements: Elements) -> list[Any]:
    """Gives float32 as floats of the fewest digits: 0.1, not 0.10000000149011612."""
    short = elements.astype("U").astype(np.float64)
    # Rounded twice, decimal to double to single, which could in rare cases miss.
    exact = np.where(short.astype(np.float32) == elements, short, elements.astype(np.float64))
    listed: list[Any] = exact.tolist()
    return listed


def _with_nulls(values: list[Any], mask: Mask, dims: list[int]) -> list[Any]:
    missing, per_record = mask.tolist(), math.prod(dims)
    if per_record == 0:  # Flat data is empty and could not show what is missing.
        return [None if gone else np.empty(dims).tolist() for gone in missing]
    return [None if missing[at // per_record] else value for at, value in enumerate(values)]


_ELEMENT_TYPES: dict[str, Any] = {"b": bool, "i": int, "u": int, "f": float}


@functools.cache
def _decoder(kind: Dtype, depth: int) -> msgspec.json.Decoder[Any]:
    element = str if kind is Dtype.BYTES else _ELEMENT_TYPES[numpy_dtype(kind).kind]
    nested: Any = element | None
    for _ in range(depth - 1):
        nested = list[nested] | None
    return msgspec.json.Decoder(list[nested])


def _decode(tensor: JsonTensor, kind: Dtype, raw: bytes) -> tuple[list[Any], int]:
    """Gives the data as nested lists of the right element type, and how deep they are nested."""
    depth, rank = _depth(raw), len(tensor.shape)
    is_empty = math.prod(tensor.shape) == 0
    if depth not in (1, rank) and not (is_empty and 0 < depth < rank):
        raise ShapeError(
            f"column {tensor.name!r} has data nested {depth} deep, "
            f"expected 1 or {rank} for shape {tensor.shape}"
        )
    try:
        return _decoder(kind, depth).decode(raw), depth
    except msgspec.ValidationError as error:
        _refuse_element(tensor, kind, str(error), depth)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise MalformedJsonError(
            f"the data of column {tensor.name!r} is not JSON: {error}"
        ) from None


def _depth(raw: bytes) -> int:
    """Counts the brackets that open before the first value; a missing record is no value."""
    opening = re.match(rb"(?:\[|\s|null\s*,)*", raw)
    return 0 if opening is None else opening.group().count(b"[")


def _refuse_element(tensor: JsonTensor, kind: Dtype, reason: str, depth: int) -> NoReturn:
    """Turns what msgspec says ("Expected `float | null`, got `str` - at `$[3]`") into an error."""
    path = re.search(r"\$\[(\d+)\]", reason)
    index = int(path.group(1)) if path else 0
    row = index if depth > 1 else index // max(1, math.prod(tensor.shape[1:]))
    got = re.search(r"got `(\w+)`", reason)
    where = f"column {tensor.name!r} row {row}"
    if "Expected `array" in reason or (got and got.group(1) == "array"):
        raise ShapeError(f"{where} is nested unlike the others, expected shape {tensor.shape}")
    found = f"has a value of JSON type {got.group(1)}" if got else "has a number out of range"
    raise DtypeError(f"{where} {found}, expected {kind}")


def _flatten(tensor: JsonTensor, values: list[Any], depth: int) -> tuple[list[Any], Mask]:
    """Gives the elements of the records that are there, row by row, and which are missing."""
    records, *dims = tensor.shape
    if depth == 1 and dims and not _is_all_missing(values, records):
        return _flatten_flat(tensor, values)
    _check_count(tensor, 0, len(values), records)
    mask = np.fromiter((value is None for value in values), dtype=np.bool_, count=records)
    items = [value for value in values if value is not None] if mask.any() else values
    rows = np.flatnonzero(~mask)
    for dim in dims:
        for at, item in enumerate(items):
            if item is None:
                _refuse_inner_null(tensor, int(rows[at * len(rows) // len(items)]))
            _check_count(tensor, int(rows[at * len(rows) // len(items)]), len(item), dim)
        items = list(itertools.chain.from_iterable(items))
    if dims and None in items:
        _refuse_inner_null(tensor, int(rows[items.index(None) * len(rows) // len(items)]))
    return items, mask


def _is_all_missing(values: list[Any], records: int) -> bool:
    return len(values) == records > 0 and all(value is None for value in values)


def _flatten_flat(tensor: JsonTensor, values: list[Any]) -> tuple[list[Any], Mask]:
    records, *dims = tensor.shape
    per_record = math.prod(dims)
    if len(values) != records * per_record:
        raise ShapeError(
            f"column {tensor.name!r} has {len(values)} elements of data, "
            f"expected {records * per_record} for shape {tensor.shape}"
        )
    if None not in values:
        return values, np.zeros(records, dtype=np.bool_)
    nulls = np.fromiter((value is None for value in values), dtype=np.bool_, count=len(values))
    by_record = nulls.reshape(records, per_record)
    mask = np.asarray(by_record.all(axis=1))
    partly: Mask = by_record.any(axis=1) & ~mask
    if partly.any():
        _refuse_inner_null(tensor, int(partly.argmax()))
    return [value for value in values if value is not None], mask


def _check_count(tensor: JsonTensor, row: int, count: int, expected: int) -> None:
    if count != expected:
        raise ShapeError(
            f"column {tensor.name!r} row {row} has a list of {count}, "
            f"expected {expected} for shape {tensor.shape}"
        )


def _refuse_inner_null(tensor: JsonTensor, row: int) -> NoReturn:
    raise NullError(
        f"column {tensor.name!r} row {row} has a null inside its record of shape "
        f"{tensor.shape[1:]}, expected values only",
        hint="only a whole record may be missing",
    )


def _elements(tensor: JsonTensor, kind: Dtype, values: list[Any], rows: Elements) -> Elements:
    """Gives the values as numpy of the tensor's type; refuses the first that does not fit."""
    target = numpy_dtype(kind)
    refused: int | None
    try:
        read = np.array(values, dtype=np.float64 if target.kind == "f" else target)
        elements, refused = cast(read, kind)
    except OverflowError:
        info = np.iinfo(target)
        refused = next(at for at, v in enumerate(values) if not info.min <= v <= info.max)
    if refused is not None:
        row = int(rows[refused * len(rows) // len(values)])
        raise DtypeError(
            f"column {tensor.name!r} row {row} is {values[refused]}, "
            f"expected a value that {kind} holds"
        )
    return elements
