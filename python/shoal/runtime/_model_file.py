"""Looks into an ONNX file without loading it: which other files and which operators it wants.

- The file is walked as plain protobuf; nothing is copied, and neither `onnx` nor `protobuf` is
  needed, because a server asks before it hands a model to ONNX Runtime.
- The numbers of a tree ensemble are fields of their own, millions of them: they are stepped over by
  a regular expression, in one call.
- A model may name data in other files. ONNX Runtime would open any path; here a path must be plain
  and inside the package.
- Only the standard operator domains are allowed: a custom domain needs a library that runs code.

Source: onnx.proto3 of ONNX 1.20 (field numbers); protobuf encoding,
https://protobuf.dev/programming-guides/encoding/.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NoReturn

from shoal.errors import CorruptPackageError, UnsupportedModelError

if TYPE_CHECKING:
    from collections.abc import Iterator

STANDARD_DOMAINS = frozenset({"", "ai.onnx", "ai.onnx.ml", "com.microsoft"})
"""What ONNX Runtime's own library implements; training operators are of no use here."""

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_NUMBERS = re.compile(
    rb"(?:"
    rb"[\x08\x10\x18\x20\x28\x30\x38\x40\x48\x50\x58\x60\x68\x70\x78][\x80-\xff]{0,9}[\x00-\x7f]|"
    rb"[\x0d\x15\x1d\x25\x2d\x35\x3d\x45\x4d\x55\x5d\x65\x6d\x75\x7d].{4}"
    rb")++",
    re.DOTALL,
)
"""Fields 1 to 15 in a row that are a number of up to ten bytes, or of 32 bits."""
_DEPTH_LIMIT = 64
"""Graphs nest in If and Loop; protobuf's own readers stop at 100 messages."""

_CHILDREN: dict[str, dict[int, str]] = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "function": {7: "node", 11: "attribute"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
    "tensor": {13: "entry"},
}
_NODE_DOMAIN = 7
_MODEL_FUNCTIONS = 25
_FUNCTION_DOMAIN = 10
_ENTRY_KEY, _ENTRY_VALUE = 1, 2


def external_files(model: bytes) -> frozenset[str]:
    """The names of the files, beside the model, that hold its data.

    Raises:
        UnsupportedModelError: a name points outside the directory of the model.
        CorruptPackageError: the bytes are not an ONNX model.
    """
    names = set()
    for kind, message in _messages(model):
        if kind == "entry" and _text(message, _ENTRY_KEY) == "location":
            names.add(_plain_name(_text(message, _ENTRY_VALUE)))
    return frozenset(names)


def check_domains(model: bytes) -> None:
    """Refuses operators that ONNX Runtime's own library does not have.

    Raises:
        UnsupportedModelError: naming the domain.
        CorruptPackageError: the bytes are not an ONNX model.
    """
    own = {
        _text(value, _FUNCTION_DOMAIN)
        for number, value in _fields(memoryview(model))
        if number == _MODEL_FUNCTIONS
    }
    for kind, message in _messages(model):
        domain = _text(message, _NODE_DOMAIN) if kind == "node" else ""
        if domain not in STANDARD_DOMAINS | own:
            text = f"the model uses operators of the domain {domain!r}, which need a custom library"
            raise UnsupportedModelError(text, hint="Export it with standard ONNX operators only.")


def _plain_name(name: str) -> str:
    parts = name.split("/")
    if "\\" in name or ":" in name or any(part in {"", ".", ".."} for part in parts):
        message = f"the model keeps data outside the package: {name!r}"
        raise UnsupportedModelError(message, hint="Save the model with its data beside it.")
    return name


def _messages(model: bytes) -> Iterator[tuple[str, memoryview]]:
    """Every message below the model that may name a file or a domain, with its kind."""
    waiting = [("model", memoryview(model), 0)]
    while waiting:
        kind, message, depth = waiting.pop()
        if depth > _DEPTH_LIMIT:
            _refuse(f"its graphs nest deeper than {_DEPTH_LIMIT}")
        yield kind, message
        children = _CHILDREN.get(kind, {})
        for number, value in _fields(message) if children else ():
            if number in children:
                waiting.append((children[number], value, depth + 1))


def _fields(message: memoryview) -> Iterator[tuple[int, memoryview]]:
    """The length-delimited fields of a message: number and bytes; all others are stepped over."""
    at = 0
    while at < len(message):
        if numbers := _NUMBERS.match(message, at):
            at = numbers.end()
            continue
        tag, at = _varint(message, at)
        number, wire = tag >> 3, tag & 7
        if wire == _VARINT:
            _, at = _varint(message, at)
        elif wire == _BYTES:
            size, at = _varint(message, at)
            if at + size > len(message):
                _refuse("it ends too early")
            yield number, message[at : at + size]
            at += size
        elif wire in {_FIXED32, _FIXED64}:
            at += 4 if wire == _FIXED32 else 8
        else:
            _refuse(f"it has a field of the unknown wire type {wire}")
    if at > len(message):
        _refuse("it ends too early")


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(message):
            _refuse("it ends too early")
        byte = message[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:  # noqa: PLR2004 - the continuation bit
            return value, at
    return _refuse("it has a number of more than ten bytes")


def _text(message: memoryview, number: int) -> str:
    found = ""
    for field, value in _fields(message):
        if field == number:
            found = bytes(value).decode("utf-8", "replace")
    return found


def _refuse(why: str) -> NoReturn:
    message = f"the file is not a whole ONNX model: {why}"
    raise CorruptPackageError(message)
