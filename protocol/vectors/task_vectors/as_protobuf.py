"""Messages of `shoal/v1/tasks.proto`, byte by byte from the wire format: tags, and what they say.

Fields at their default are left out, as every writer does; the fields of a message are in the order
of their numbers.
"""
# ruff: noqa: INP001 - a program, not a package

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

from protocol.vectors.task_vectors.neutral import ITEMS, LETTERS, as_bytes, packed

if TYPE_CHECKING:
    from protocol.vectors.task_vectors.neutral import Column, Table

VARINT, FIXED64, LENGTH = 0, 1, 2


def varint(number: int) -> bytes:
    """Gives a whole number, not below 0, in groups of seven bits."""
    low, rest = number & 0x7F, number >> 7
    return bytes([low | 0x80]) + varint(rest) if rest else bytes([low])


def tag(number: int, wire: int) -> bytes:
    """Gives what stands before the value of a field."""
    return varint(number << 3 | wire)


def message(number: int, content: bytes) -> bytes:
    """Gives a field that is there, also if it is empty: a message, or an entry of a list."""
    return tag(number, LENGTH) + varint(len(content)) + content


def octets(number: int, content: str | bytes) -> bytes:
    """Gives a field of text or bytes, and nothing if it is empty."""
    return message(number, as_bytes(content)) if content else b""


def unsigned(number: int, content: int) -> bytes:
    """Gives a field of a whole number, and nothing if it is 0."""
    return tag(number, VARINT) + varint(content) if content else b""


def double(number: int, content: float) -> bytes:
    """Gives a field of FP64 that is there, also if it is 0."""
    return tag(number, FIXED64) + struct.pack("<d", content)


def texts(number: int, contents: list[Any]) -> bytes:
    """Gives a list of texts or bytes."""
    return b"".join(message(number, as_bytes(content)) for content in contents)


def scalar(value: Any) -> bytes:
    """Gives the message of a record of MIXED."""
    match value:
        case None:
            return b""
        case bool():
            return tag(4, VARINT) + varint(int(value))
        case int():
            return tag(1, VARINT) + varint((value << 1) ^ (value >> 63))
        case float():
            return double(2, value)
        case _:
            return message(3, as_bytes(value))


def column(of: Column) -> bytes:
    """Gives the message of a column."""
    parts = [octets(1, of.name), octets(2, of.dtype)]
    parts.append(octets(3, b"".join(varint(dimension) for dimension in of.shape)))
    if of.dtype in LETTERS:
        parts.append(octets(4, packed(of)))
    if of.dtype in ITEMS:
        parts.append(texts(5, of.elements))
    if of.dtype == "MIXED":
        parts += [message(6, scalar(value)) for value in of.records]
    elif any(of.missing):
        parts.append(octets(7, bytes(of.missing)))
    return b"".join([*parts, octets(8, of.unit), octets(9, of.zone)])


def table(of: Table) -> bytes:
    """Gives the message of a table."""
    return unsigned(1, of.rows) + b"".join(message(2, column(one)) for one in of.columns)
