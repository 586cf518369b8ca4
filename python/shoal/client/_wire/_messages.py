"""The messages of `shoal.v1`, made when they are first needed: nothing is generated and kept.

The table below is protocol/shoal/v1/tasks.proto, and a test holds it to that file.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

PACKAGE = "shoal.v1"

# field: "type number", with what stands before the type: repeated, optional, or its oneof.
MESSAGES: dict[str, dict[str, str]] = {
    "RunRequest": {
        "tables": "repeated SharedTable 1",
        "tasks": "repeated Task 2",
        "merge": "Merge 3",
        "timeout_us": "uint64 4",
    },
    "StreamRequest": {"table": "request SharedTable 1", "task": "request Task 2"},
    "SharedTable": {"name": "string 1", "table": "Table 2"},
    "Task": {
        "id": "string 1",
        "model": "string 2",
        "version": "string 3",
        "table": "input Table 4",
        "shared": "input string 5",
        "outputs": "repeated string 6",
        "priority": "uint32 7",
        "timeout_us": "uint64 8",
        "idempotency_key": "string 9",
        "weight": "optional double 10",
    },
    "Merge": {"by": "string 1", "columns": "repeated string 2"},
    "RunResponse": {"results": "repeated TaskResult 1", "merged": "Merged 2"},
    "TaskResult": {
        "id": "string 1",
        "model": "string 2",
        "version": "string 3",
        "batch_rows": "uint64 4",
        "table": "outcome Table 5",
        "error": "outcome Error 6",
    },
    "Merged": {
        "table": "outcome Table 1",
        "error": "outcome Error 2",
        "left_out": "repeated string 3",
    },
    "Error": {
        "code": "string 1",
        "error": "string 2",
        "hint": "string 3",
        "retry_after_ms": "optional uint64 4",
    },
    "Table": {"rows": "uint64 1", "columns": "repeated Column 2", "arrow": "bytes 3"},
    "Column": {
        "name": "string 1",
        "dtype": "string 2",
        "shape": "repeated uint64 3",
        "values": "bytes 4",
        "items": "repeated bytes 5",
        "mixed": "repeated Scalar 6",
        "missing": "bytes 7",
        "unit": "string 8",
        "zone": "string 9",
    },
    "Scalar": {
        "int64": "value sint64 1",
        "fp64": "value double 2",
        "utf8": "value string 3",
        "bool": "value bool 4",
    },
}


@cache
def message(name: str) -> Any:
    """Gives the class of a message, such as `RunRequest`."""
    return message_factory.GetMessageClass(_pool().FindMessageTypeByName(f"{PACKAGE}.{name}"))


@cache
def _pool() -> Any:
    """Gives a pool of our own: one that others fill may hold the same names."""
    file = descriptor_pb2.FileDescriptorProto(
        name="shoal/v1/tasks.proto", package=PACKAGE, syntax="proto3"
    )
    for name, fields in MESSAGES.items():
        described = file.message_type.add(name=name)
        for field, text in fields.items():
            _add_field(described, field, text)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return pool


def _add_field(described: Any, name: str, text: str) -> None:
    *label, kind, number = text.split()
    field = described.field.add(name=name, number=int(number))
    is_repeated = label == ["repeated"]
    field.label = field.LABEL_REPEATED if is_repeated else field.LABEL_OPTIONAL
    if kind in MESSAGES:
        field.type, field.type_name = field.TYPE_MESSAGE, f".{PACKAGE}.{kind}"
    else:
        field.type = getattr(field, f"TYPE_{kind.upper()}")
    if label and not is_repeated:
        field.proto3_optional = label == ["optional"]
        field.oneof_index = _oneof(described, f"_{name}" if field.proto3_optional else label[0])


def _oneof(described: Any, name: str) -> int:
    names = [one.name for one in described.oneof_decl]
    if name not in names:
        described.oneof_decl.add(name=name)
        names.append(name)
    return names.index(name)
