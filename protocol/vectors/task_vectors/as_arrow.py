"""Tables as Arrow IPC streams, by pyarrow."""
# ruff: noqa: INP001 - a program, not a package

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Any

import pyarrow as pa

if TYPE_CHECKING:
    from protocol.vectors.task_vectors.neutral import Column, Table

TYPES = {
    "BOOL": pa.bool_(),
    "UINT8": pa.uint8(),
    "UINT16": pa.uint16(),
    "UINT32": pa.uint32(),
    "UINT64": pa.uint64(),
    "INT8": pa.int8(),
    "INT16": pa.int16(),
    "INT32": pa.int32(),
    "INT64": pa.int64(),
    "FP16": pa.float16(),
    "FP32": pa.float32(),
    "FP64": pa.float64(),
    "UTF8": pa.utf8(),
    "BYTES": pa.binary(),
    "DATE": pa.date32(),
}
# The children of the union of MIXED, in the order in which they are written.
UNION = {
    "null": pa.null(),
    "bool": pa.bool_(),
    "int64": pa.int64(),
    "double": pa.float64(),
    "utf8": pa.utf8(),
}


def element_type(of: Column) -> Any:
    """Gives the type of an element."""
    return pa.timestamp(of.unit, of.zone) if of.dtype == "TIMESTAMP" else TYPES[of.dtype]


def array(of: Column) -> Any:
    """Gives a column as an array."""
    if of.dtype == "MIXED":
        return union(of.records)
    if not of.shape:
        return pa.array(of.records, element_type(of))
    kind = pa.fixed_shape_tensor(element_type(of), of.shape)
    return pa.ExtensionArray.from_storage(kind, lists(of))


def lists(of: Column) -> Any:
    """Gives a column of tensors as lists of a fixed size."""
    elements = pa.array(of.elements, element_type(of))
    mask = pa.array(of.missing, pa.bool_()) if any(of.missing) else None
    return pa.FixedSizeListArray.from_arrays(elements, prod(of.shape), mask=mask)


def kind_of(value: Any) -> str:
    """Gives the name of the child of a union that holds a value."""
    kinds = {type(None): "null", bool: "bool", int: "int64", float: "double", str: "utf8"}
    return kinds[type(value)]


def union(values: list[Any]) -> Any:
    """Gives the dense union of the values of MIXED."""
    held: dict[str, list[Any]] = {name: [] for name in UNION}
    types, offsets = [], []
    for value in values:
        name = kind_of(value)
        types.append(list(UNION).index(name))
        offsets.append(len(held[name]))
        held[name].append(value)
    children = [pa.array(held[name], kind) for name, kind in UNION.items()]
    codes = pa.array(types, pa.int8())
    return pa.UnionArray.from_dense(codes, pa.array(offsets, pa.int32()), children, list(UNION))


def batch(of: Table) -> Any:
    """Gives a table as one record batch."""
    arrays = [array(column) for column in of.columns]
    return pa.record_batch(arrays, names=[column.name for column in of.columns])


def stream(*batches: Any, schema: Any = None, options: Any = None) -> bytes:
    """Gives record batches as one stream."""
    sink = pa.BufferOutputStream()
    schema = batches[0].schema if schema is None else schema
    with pa.ipc.new_stream(sink, schema, options=options) as writer:
        for one in batches:
            writer.write_batch(one)
    return bytes(sink.getvalue())


def table(of: Table) -> bytes:
    """Gives a table as a stream of one batch."""
    return stream(batch(of))


def head(envelope: bytes) -> bytes:
    """Gives the stream that says what the streams after it are."""
    return stream(schema=pa.schema([], metadata={"shoal.tasks": envelope}))
