"""Columns, tables and signatures; Arrow <-> wire columns <-> JSON and binary tensors.

Columns and signatures load at once. What needs numpy or pyarrow loads when it is first used, so
that a process that only serves models never imports them.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from shoal.values._padding import Padding
from shoal.values._padding_words import read_follows, read_padding
from shoal.values._signature import Column, Dtype, Signature, with_moments

if TYPE_CHECKING:
    from shoal.values._arrow_reader import from_arrow
    from shoal.values._arrow_writer import infer_columns, no_records, schema_of, to_arrow
    from shoal.values._groups import ShapeGroup, join_groups, split_by_shape
    from shoal.values._json import from_json, to_json
    from shoal.values._message import (
        InferRequest,
        InferResponse,
        Message,
        RequestedOutput,
        decode_request,
        decode_response,
        encode_request,
        encode_response,
    )
    from shoal.values._moments import in_seconds, read_moments, with_seconds
    from shoal.values._raw import from_binary, to_binary
    from shoal.values._wire import WireColumn, match_columns

__all__ = [
    "Column",
    "Dtype",
    "InferRequest",
    "InferResponse",
    "Message",
    "Padding",
    "RequestedOutput",
    "ShapeGroup",
    "Signature",
    "WireColumn",
    "decode_request",
    "decode_response",
    "encode_request",
    "encode_response",
    "from_arrow",
    "from_binary",
    "from_json",
    "in_seconds",
    "infer_columns",
    "join_groups",
    "match_columns",
    "no_records",
    "read_follows",
    "read_moments",
    "read_padding",
    "schema_of",
    "split_by_shape",
    "to_arrow",
    "to_binary",
    "to_json",
    "with_moments",
    "with_seconds",
]

_HOMES = {
    "InferRequest": "_message",
    "InferResponse": "_message",
    "Message": "_message",
    "RequestedOutput": "_message",
    "ShapeGroup": "_groups",
    "WireColumn": "_wire",
    "decode_request": "_message",
    "decode_response": "_message",
    "encode_request": "_message",
    "encode_response": "_message",
    "from_arrow": "_arrow_reader",
    "from_binary": "_raw",
    "from_json": "_json",
    "in_seconds": "_moments",
    "infer_columns": "_arrow_writer",
    "join_groups": "_groups",
    "match_columns": "_wire",
    "no_records": "_arrow_writer",
    "read_moments": "_moments",
    "schema_of": "_arrow_writer",
    "split_by_shape": "_groups",
    "to_arrow": "_arrow_writer",
    "to_binary": "_raw",
    "to_json": "_json",
    "with_seconds": "_moments",
}


def __getattr__(name: str) -> Any:
    """Loads what needs numpy or pyarrow when it is first asked for."""
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'shoal.values' has no attribute {name!r}")
    return getattr(import_module(f"shoal.values.{home}"), name)
