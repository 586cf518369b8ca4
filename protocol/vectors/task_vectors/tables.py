"""Tables that are in every encoding, as they are written."""
# ruff: noqa: INP001 - a program, not a package

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from protocol.vectors.task_vectors.neutral import Column, Table

if TYPE_CHECKING:
    from protocol.vectors.task_vectors.collection import Vectors

# Six values of each dtype, at its limits. Those of floating point are written alike in every
# language: notation differs elsewhere, see `add_extremes`.
VALUES: dict[str, list[Any]] = {
    "BOOL": [True, False, False, True, True, False],
    "UINT8": [0, 1, 127, 128, 254, 255],
    "UINT16": [0, 1, 256, 32767, 32768, 65535],
    "UINT32": [0, 1, 65536, 2**31 - 1, 2**31, 2**32 - 1],
    "UINT64": [0, 1, 2**53 - 1, 2**53, 2**53 + 1, 2**64 - 1],
    "INT8": [0, -1, 1, -128, 127, 64],
    "INT16": [0, -1, 255, -32768, 32767, 256],
    "INT32": [0, -1, 65535, -(2**31), 2**31 - 1, 65536],
    "INT64": [2**53 - 1, -(2**53) + 1, 2**53, -(2**53) - 1, -(2**63), 2**63 - 1],
    "FP16": [0.5, -1.5, 0.25, 1023.5, -0.125, 2.75],
    "FP32": [0.1, -0.3, 16777.217, 0.333333343, 1.5, 12345.678],
    "FP64": [0.1, -0.3, 123456789.12345679, 1 / 3, 0.30000000000000004, 1.5],
    "UTF8": ["plain", "", "käse 🐟", 'quote " back\\slash / \n\t', "\0", "\u2028\x7f\uffff"],
    "BYTES": [b"plain", b"", b"\x00", b"\xff\xfe", bytes(range(256)), b"\xc3\x28"],
    "TIMESTAMP": [0, -1, 1, 1622456430123456, -62135596800000000, 253402300799999999],
    "DATE": [0, -1, 11016, 18778, -719162, 2932896],
}


def columns_of(dtype: str) -> list[Column]:
    """Gives scalars and tensors of a dtype, with and without missing records; three records."""
    values = VALUES[dtype]
    about: dict[str, Any] = {}
    if dtype == "TIMESTAMP":
        about = {"unit": "us", "zone": "Europe/Berlin"}
    pairs = [values[:2], values[2:4], values[4:]]
    return [
        Column("scalars", dtype, values[:3], **about),
        Column("some scalars", dtype, [values[3], None, values[4]], **about),
        Column("tensors", dtype, pairs, [2], **about),
        Column("some tensors", dtype, [None, pairs[1], None], [1, 2], **about),
        Column("none", dtype, [None, None, None], **about),
    ]


def add_each_dtype(vectors: Vectors) -> None:
    """Adds for each dtype a table of all its forms."""
    for dtype in VALUES:
        vectors.add_everywhere(dtype.lower(), Table.of(*columns_of(dtype)))
    mixed = [
        None,
        True,
        False,
        0,
        -1,
        2**53 - 1,
        2**53,
        -(2**63),
        2**63 - 1,
        0.5,
        -1.25,
        "",
        "käse",
    ]
    vectors.add_everywhere("mixed", Table.of(Column("x", "MIXED", mixed)))


def every_column(rows: int) -> Table:
    """Gives a table of every dtype, as scalars and as tensors."""
    columns = [
        Column(f"{dtype} {column.name}", dtype, column.records[:rows], column.shape, **zoned(dtype))
        for dtype in VALUES
        for column in columns_of(dtype)
        if column.name in ("scalars", "tensors")
    ]
    return Table.of(*columns, Column("MIXED", "MIXED", ["text"][:rows]))


def zoned(dtype: str) -> dict[str, Any]:
    """Gives unit and zone where a dtype has them."""
    return {"unit": "ns", "zone": "UTC"} if dtype == "TIMESTAMP" else {}


def add_few_rows(vectors: Vectors) -> None:
    """Adds tables of no rows, of one, and of no columns."""
    vectors.add_everywhere("no_rows", every_column(0))
    vectors.add_everywhere("one_row", every_column(1))
    for rows in (0, 3):
        vectors.add_plain(f"no_columns_and_{rows}_rows", Table([], rows), "json", "protobuf")
    cube = Column("x", "INT16", [list(range(24)), None, list(range(24, 48))], [2, 3, 4])
    deep = Column("deep", "UINT8", [[7], [8], None], [1] * 8)
    vectors.add_everywhere("tensors_of_three_and_eight_dimensions", Table.of(cube, deep))
    names = ["", "a", "A", "ä", "a\u0308", "🐟", "x.y", " ", "\0", '"']
    vectors.add_everywhere("names", Table.of(*(Column(name, "INT8", [1]) for name in names)))


def add_texts(vectors: Vectors) -> None:
    """Adds texts of all planes, of the edges of UTF-8, and control characters."""
    edges = ["\x7f", "\x80", "\u07ff", "\u0800", "\ud7ff", "\ue000", "\uffff", "\U00010000"]
    planes = [chr(plane * 0x10000 + 0x41) for plane in range(17)]
    controls = [chr(number) for number in range(32)]
    texts = [*edges, *planes, "\U0010ffff", *controls, "\ufeff", "e\u0301", "é", "\u202e"]
    vectors.add_everywhere("texts", Table.of(Column("x", "UTF8", texts)))
    vectors.add_everywhere("long_text", Table.of(Column("x", "UTF8", ["ä" * 1000, "", "b"])))
    octets = [bytes([number]) for number in range(256)]
    vectors.add_everywhere("every_byte", Table.of(Column("x", "BYTES", octets)))
    lengths = [b"\xfb\xff\xbf" * 3 + b"\x00" * rest for rest in range(4)]
    vectors.add_everywhere("every_padding", Table.of(Column("x", "BYTES", lengths)))


def add_extremes(vectors: Vectors) -> None:
    """Adds numbers of floating point that languages write in different notations."""
    nan, inf = float("nan"), float("inf")
    largest = {"FP16": 65504.0, "FP32": 3.4028234663852886e38, "FP64": 1.7976931348623157e308}
    normal = {"FP16": 2.0**-14, "FP32": 2.0**-126, "FP64": 2.0**-1022}
    least = {"FP16": 2.0**-24, "FP32": 2.0**-149, "FP64": 5e-324}
    columns = [
        Column(dtype, dtype, [0.0, 1.0, top, -top, normal[dtype], least[dtype], -least[dtype]])
        for dtype, top in largest.items()
    ]
    vectors.add_everywhere("extremes_of_floating_point", Table.of(*columns), written=False)
    odd = [Column(dtype, dtype, [nan, inf, -inf, None, -0.0]) for dtype in largest]
    mixed = Column("MIXED", "MIXED", [inf, -inf, None, 0.5, "NaN"])
    vectors.add_everywhere("not_finite_and_minus_zero", Table.of(*odd, mixed))
    whole = Column("MIXED", "MIXED", [nan, 1.0, -0.0, 1e300, 5e-324, 2.0**53])
    vectors.add_everywhere("mixed_whole_floating_point", Table.of(whole), written=False)
    tensor = Column("x", "FP32", [[nan, 0.5], None, [inf, -inf]], [2])
    vectors.add_everywhere("not_finite_in_tensors", Table.of(tensor))


def add_times(vectors: Vectors) -> None:
    """Adds moments of each unit in several zones, and days."""
    zones = {"s": "UTC", "ms": "+05:30", "us": "America/Argentina/ComodRivadavia", "ns": "-09:30"}
    first, last = -62135596800, 253402300799
    counts = {
        "s": [0, -1, first, last],
        "ms": [0, -1, first * 1000, last * 1000 + 999],
        "us": [0, -1, first * 10**6, last * 10**6 + 999_999],
        "ns": [0, -1, -(2**63), 2**63 - 1],
    }
    for unit, zone in zones.items():
        records = [*counts[unit], None, 7]
        column = Column("x", "TIMESTAMP", records, unit=unit, zone=zone)
        vectors.add_everywhere(f"moments_in_{unit}", Table.of(column))
    columns = [
        Column(zone, "TIMESTAMP", [1622456430], unit="s", zone=zone)
        for zone in ("UTC", "Etc/UTC", "Z", "+00:00", "Europe/Kyiv", "Mars/Olympus", "z" * 64)
    ]
    vectors.add_everywhere("zones_are_kept", Table.of(*columns))
    leap = [-719162, -718800, 11016, 19782, 2932837, 2932896, None]
    vectors.add_everywhere("days", Table.of(Column("x", "DATE", leap)))


def add_wide(vectors: Vectors) -> None:
    """Adds a table of many columns, and one of many rows."""
    columns = [Column(f"column {place}", "INT16", [place, None]) for place in range(60)]
    vectors.add_everywhere("many_columns", Table.of(*columns))
    rows = [None if row % 7 == 0 else row * 3 - 1000 for row in range(500)]
    vectors.add_everywhere("many_rows", Table.of(Column("x", "INT32", rows)))


def add_all(vectors: Vectors) -> None:
    """Adds all tables of this file."""
    add_each_dtype(vectors)
    add_few_rows(vectors)
    add_texts(vectors)
    add_extremes(vectors)
    add_times(vectors)
    add_wide(vectors)
