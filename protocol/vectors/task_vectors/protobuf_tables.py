"""Tables in protobuf that are not as they would be written, and tables that are refused."""
# ruff: noqa: INP001 - a program, not a package

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from protocol.vectors.task_vectors import as_arrow, as_protobuf
from protocol.vectors.task_vectors.as_protobuf import (
    FIXED64,
    LENGTH,
    VARINT,
    double,
    message,
    octets,
    tag,
    texts,
    unsigned,
    varint,
)
from protocol.vectors.task_vectors.neutral import Column, Table

if TYPE_CHECKING:
    from protocol.vectors.task_vectors.collection import Vectors

HEAD = octets(1, "x") + octets(2, "INT16")
VALUES = octets(4, struct.pack("<2h", 1, -2))
FIXED32 = 5
GROUP, END_GROUP = 3, 4


class Protobuf:
    """Adds tables given as bytes."""

    def __init__(self, vectors: Vectors) -> None:
        self.vectors = vectors

    def good(self, name: str, body: bytes, column: Column, of: str = "both") -> None:
        """Adds a table of one column."""
        self.vectors.add_table(f"protobuf_{name}", "protobuf", body, Table.of(column), of=of)

    def bad(
        self, name: str, body: bytes, code: str = "invalid_protobuf", of: str = "request"
    ) -> None:
        """Adds a table that is refused."""
        self.vectors.add_table(f"bad_protobuf_{name}", "protobuf", body, code, of=of)

    def column(self, name: str, content: bytes, code: str, rows: int = 2) -> None:
        """Adds a column that is refused."""
        self.bad(name, two(content, rows), code)


def two(content: bytes, rows: int = 2) -> bytes:
    """Gives a table of one column."""
    return unsigned(1, rows) + message(2, content)


def add_forms(add: Protobuf) -> None:
    """Adds what every library of protobuf reads, although it is not written so."""
    column = Column("x", "INT16", [1, -2])
    another = message(2, VALUES + octets(2, "INT16") + octets(1, "x")) + unsigned(1, 2)
    add.good("fields_in_another_order", another, column)
    unknown = tag(99, VARINT) + varint(2**64 - 1) + tag(98, FIXED64) + b"\0" * 8
    unknown += tag(97, LENGTH) + varint(3) + b"abc" + tag(96, FIXED32) + b"\0" * 4
    add.good("unknown_fields", unknown + two(HEAD + unknown + VALUES), column)
    group = tag(95, GROUP) + unsigned(1, 7) + tag(95, END_GROUP)
    add.good("unknown_group", group + two(HEAD + VALUES), column)
    shaped = tag(3, VARINT) + varint(1) + tag(3, VARINT) + varint(2)
    pair = Column("x", "INT16", [[1, -2]], [1, 2])
    add.good("shape_that_is_not_packed", two(HEAD + shaped + VALUES, 1), pair)
    add.good(
        "shape_packed_in_parts", two(HEAD + octets(3, b"\1") + octets(3, b"\2") + VALUES, 1), pair
    )
    long_rows = tag(1, VARINT) + b"\x82\x80\x00" + message(2, HEAD + VALUES)
    add.good("number_longer_than_needed", long_rows, column)
    default = two(HEAD + VALUES + message(7, b"") + message(9, b"")) + message(3, b"")
    add.good("defaults_that_are_written", default, column)
    add.good("last_of_two_counts", unsigned(1, 5) + two(HEAD + VALUES), column)
    there = octets(7, b"\0\0")
    add.good("missing_of_which_none_is", two(HEAD + VALUES + there), column)
    behind = two(HEAD + VALUES + octets(7, b"\0\1"))
    add.good("value_behind_a_missing_record", behind, Column("x", "INT16", [1, None]))
    words = octets(1, "x") + octets(2, "UTF8") + texts(5, ["a", "b"]) + octets(7, b"\1\0")
    add.good("text_behind_a_missing_record", two(words), Column("x", "UTF8", [None, "b"]))
    mixed = octets(1, "x") + octets(2, "MIXED")
    both = message(6, as_protobuf.scalar(5) + as_protobuf.scalar("a")) + message(6, unsigned(77, 1))
    add.good("mixed_of_two_values", two(mixed + both), Column("x", "MIXED", ["a", None]))
    empty = octets(1, "x") + octets(2, "FP32") + octets(3, b"\0")
    add.good("tensors_without_elements", two(empty), Column("x", "FP32", [[], []], [0]))


def add_arrow(add: Protobuf) -> None:
    """Adds tables that hold an Arrow stream."""
    table = Table.of(Column("x", "INT64", [1, None, 3]), Column("y", "UTF8", ["a", "", None]))
    body = octets(3, as_arrow.table(table))
    add.vectors.add_table("protobuf_with_arrow", "protobuf", body, table)
    add.bad("arrow_cut_short", octets(3, as_arrow.table(table)[:-9]), "invalid_arrow", of="both")
    add.bad("arrow_and_columns", body + two(HEAD + VALUES, 0), "invalid_request")
    add.bad("arrow_and_rows", body + unsigned(1, 3), "invalid_request")


def add_broken(add: Protobuf) -> None:
    """Adds bytes that are no message."""
    good = two(HEAD + VALUES)
    add.bad("cut_short", good[:-1], of="both")
    add.bad("tag_alone", good + tag(3, LENGTH), of="both")
    add.bad("length_beyond_the_end", message(2, HEAD)[:1] + b"\xff\xff\x03" + HEAD, of="both")
    add.bad("endless_number", tag(1, VARINT) + b"\xff" * 10 + b"\x01" + good, of="both")
    add.bad("field_zero", b"\x00\x00" + good, of="both")
    add.bad("unknown_wire_type", tag(1, 6) + good, of="both")
    add.bad("group_without_end", tag(95, GROUP) + unsigned(1, 7) + good)
    add.bad("rows_as_fixed64", tag(1, FIXED64) + struct.pack("<q", 2) + message(2, HEAD + VALUES))
    add.bad("columns_as_number", unsigned(1, 2) + unsigned(2, 1))
    add.bad("name_as_number", two(unsigned(1, 7) + octets(2, "INT16") + VALUES))
    add.bad("name_not_utf8", two(octets(1, b"\xff") + octets(2, "INT16") + VALUES))
    mixed = octets(1, "x") + octets(2, "MIXED")
    add.bad("mixed_text_not_utf8", two(mixed + message(6, message(3, b"\xff")), 1))
    add.bad("mixed_number_as_text", two(mixed + message(6, octets(1, "5")), 1))
    add.bad("text", b'{"columns":[]}')


def add_wrong_columns(add: Protobuf) -> None:
    """Adds columns whose values do not fill them, or that have values of another dtype."""
    add.column("values_too_short", HEAD + octets(4, b"\1\0\2"), "wrong_shape")
    add.column("values_too_long", HEAD + VALUES, "wrong_shape", rows=1)
    add.column("no_values", HEAD, "wrong_shape")
    add.column("shape_that_overflows", HEAD + octets(3, varint(2**63) * 2) + VALUES, "wrong_shape")
    add.column("nine_dimensions", HEAD + octets(3, b"\1" * 9) + VALUES, "wrong_shape")
    vast = octets(1, "x") + octets(2, "FP32") + octets(3, b"\0" + varint(2**40))
    add.column("large_dimension_beside_none", vast, "wrong_shape")
    word = octets(1, "x") + octets(2, "UTF8")
    add.column("fewer_items_than_records", word + texts(5, ["a"]), "wrong_shape")
    mixed = octets(1, "x") + octets(2, "MIXED")
    add.column("fewer_mixed_than_records", mixed + message(6, b""), "wrong_shape")
    add.column("mixed_tensor", mixed + octets(3, b"\1") + message(6, b"") * 2, "wrong_shape")
    add.column("missing_too_short", HEAD + VALUES + octets(7, b"\1"), "wrong_shape")
    add.column("missing_of_two", HEAD + VALUES + octets(7, b"\0\2"), "wrong_dtype")
    add.column(
        "boolean_of_two", octets(1, "x") + octets(2, "BOOL") + octets(4, b"\1\2"), "wrong_dtype"
    )
    for name, octet in (("not_utf8", b"\xff"), ("surrogate", b"\xed\xa0\x80")):
        add.column(f"text_{name}", word + texts(5, ["a", octet]), "wrong_dtype")
    add.column("unknown_dtype", octets(1, "x") + octets(2, "FP31") + VALUES, "wrong_dtype")
    add.column("no_dtype", octets(1, "x") + VALUES, "wrong_dtype")
    add.column("items_of_a_number", HEAD + VALUES + texts(5, ["a", "b"]), "invalid_request")
    add.column("values_of_a_text", word + texts(5, ["a", "b"]) + VALUES, "invalid_request")
    add.column(
        "mixed_of_a_number", HEAD + VALUES + message(6, double(2, 0.0)) * 2, "invalid_request"
    )
    both = mixed + message(6, b"") * 2 + octets(7, b"\1\1")
    add.column("missing_of_mixed", both, "invalid_request")
    twice = unsigned(1, 2) + message(2, HEAD + VALUES) * 2
    add.bad("duplicate_column", twice, "duplicate_column", of="both")


def add_wrong_moments(add: Protobuf) -> None:
    """Adds moments with wrong units, zones and values, and units and zones of what is no moment."""
    add.column("unit_of_a_number", HEAD + VALUES + octets(8, "s"), "invalid_request")
    add.column("zone_of_a_number", HEAD + VALUES + octets(9, "UTC"), "invalid_request")
    moment = octets(1, "x") + octets(2, "TIMESTAMP") + octets(4, b"\0" * 16)
    add.column("moment_without_zone", moment + octets(8, "s"), "time_without_zone")
    add.column("moment_without_unit", moment + octets(9, "UTC"), "invalid_request")
    add.column(
        "moment_of_an_unknown_unit", moment + octets(8, "min") + octets(9, "UTC"), "invalid_request"
    )
    add.column(
        "moment_of_a_long_zone", moment + octets(8, "s") + octets(9, "z" * 65), "invalid_request"
    )
    late = octets(1, "x") + octets(2, "DATE") + octets(4, struct.pack("<2i", 0, 2932897))
    add.column("day_year_10000", late, "wrong_dtype")
    early = octets(4, struct.pack("<2q", 0, -62135596801)) + octets(8, "s") + octets(9, "UTC")
    add.column("moment_year_0", octets(1, "x") + octets(2, "TIMESTAMP") + early, "wrong_dtype")


def add_all(vectors: Vectors) -> None:
    """Adds all tables of this file."""
    add = Protobuf(vectors)
    for part in (add_forms, add_arrow, add_broken, add_wrong_columns, add_wrong_moments):
        part(add)
