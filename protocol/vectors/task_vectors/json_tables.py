"""Tables in JSON that are not as they would be written, and tables that are refused."""
# ruff: noqa: INP001 - a program, not a package

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from protocol.vectors.task_vectors import as_json
from protocol.vectors.task_vectors.neutral import Column, Table

if TYPE_CHECKING:
    from protocol.vectors.task_vectors.collection import Vectors


class Json:
    """Adds tables of one column `x`, whose data is given as text."""

    def __init__(self, vectors: Vectors) -> None:
        self.vectors = vectors

    def good(self, name: str, body: str, *columns: Column, of: str = "both") -> None:
        """Adds a table that is read as these columns."""
        table = Table.of(*columns)
        self.vectors.add_table(f"json_{name}", "json", body.encode(), table, of=of)

    def values(self, name: str, dtype: str, data: str, records: list[Any], **more: str) -> None:
        """Adds a column of scalars."""
        self.good(name, one(dtype, data), Column("x", dtype, records), **more)

    def refused(self, name: str, code: str, body: str | bytes, of: str = "request") -> None:
        """Adds a table that is refused."""
        whole = body if isinstance(body, bytes) else body.encode()
        self.vectors.add_table(f"bad_json_{name}", "json", whole, code, of=of)

    def bad(self, name: str, dtype: str, data: str, code: str = "wrong_dtype", **more: Any) -> None:
        """Adds a column that is refused."""
        self.refused(name, code, one(dtype, data, **more))


def one(dtype: str, data: str, **more: Any) -> str:
    """Gives a table of one column whose data is written as it stands here."""
    head = as_json.text({"name": "x", "dtype": dtype, **more}).decode()
    return '{"columns":[' + head[:-1] + ',"data":' + data + "}]}"


def add_forms(add: Json) -> None:
    """Adds tables that are written in another way than servers write them."""
    pair = Column("x", "INT8", [[1, 2], None, [3, 4]], [2])
    flat = one("INT8", "[1,2,null,null,3,4]", shape=[2])
    add.good("flat_tensors", flat, pair)
    add.good("nested_tensors", one("INT8", "[[1,2],null,[3,4]]", shape=[2]), pair)
    first = one("INT8", "[null,[1,2]]", shape=[2])
    add.good("missing_tensor_first", first, Column("x", "INT8", [None, [1, 2]], [2]))
    nothing = one("INT8", "[null,null]", shape=[2])
    add.good("nulls_alone_are_records", nothing, Column("x", "INT8", [None, None], [2]))
    cube = Column("x", "INT8", [[1, 2, 3, 4]], [2, 2])
    add.good("flat_matrix", one("INT8", "[1,2,3,4]", shape=[2, 2]), cube)
    empty = Column("x", "FP32", [[], None, []], [0])
    add.good("tensors_without_elements", one("FP32", "[[],null,[]]", shape=[0]), empty)
    spaced = (
        ' {\r\n\t"columns" : [ { "data":[ 1 ,\t2 ] , "shape":[ ], "dtype":"INT8" ,\n"name":"x" } ]'
    )
    two = Column("x", "INT8", [1, 2])
    add.good("white_space_and_another_order", spaced + ' ,\n"rows": 2 }\n', two)
    escapes = rb'{"columns":[{"name":"\u0078\/","dtype":"UTF8","data":["\ud83d\udc1f\u00e4\b"]}]}'
    add.good("escapes", escapes.decode(), Column("x/", "UTF8", ["🐟ä\b"]))
    newer = '{"said":{"a":[1]},"columns":[{"name":"x","dtype":"INT8","said":null,"data":[1,2]}]}'
    add.good("answer_with_unknown_fields", newer, two, of="answer")
    add.refused("unknown_field", "invalid_request", '{"said":1,"columns":[]}')
    of_column = '{"columns":[{"name":"x","dtype":"INT8","said":null,"data":[1]}]}'
    add.refused("unknown_field_of_a_column", "invalid_request", of_column)


def add_numbers(add: Json) -> None:
    """Adds numbers in notations and of sizes that need care."""
    add.values("integers_as_text", "INT8", '["1","-128","127","0"]', [1, -128, 127, 0])
    limits = '[-9223372036854775808,9223372036854775807,"-9223372036854775808",9007199254740993]'
    of_limits = [-(2**63), 2**63 - 1, -(2**63), 2**53 + 1]
    add.values("int64_as_numbers", "INT64", limits, of_limits, of="request")
    add.values("uint64_as_number", "UINT64", "[18446744073709551615]", [2**64 - 1], of="request")
    add.values("minus_zero_is_zero", "INT64", "[-0]", [0], of="request")
    notations = "[1,1.0,1e0,100E-2,0.1e+1,-0,-0.0,12345678901234567890]"
    read = [1.0, 1.0, 1.0, 1.0, 1.0, -0.0, -0.0, 12345678901234567890.0]
    add.values("notations_of_fp64", "FP64", notations, read, of="request")
    # The middle between two FP32 goes to the even one; so does what is nearest to it in FP64.
    ties = "[16777217,16777219,1.00000017881393432617187499,7.006492321624085e-46,7.1e-46,1e-400]"
    even = [16777216.0, 16777220.0, 1.0000002384185791, 0.0, 2.0**-149, 0.0]
    add.values("rounding_of_fp32", "FP32", ties, even)
    add.values("largest_fp32", "FP32", "[3.4028235677973362e38]", [3.4028234663852886e38])
    # The last but one would become 1 by way of FP32; it is read as FP64 and rounded once.
    halves = "[2049,2051,65519.99,2.980232238769531e-08,1.0004882821813226,0.1]"
    nearest = [2048.0, 2052.0, 65504.0, 0.0, 1.0009765625, 0.0999755859375]
    add.values("rounding_of_fp16", "FP16", halves, nearest)
    exact = "[2.2250738585072011e-308,9007199254740993,0.1234567890123456789,8.41E+21]"
    digits = [2.2250738585072011e-308, 9007199254740993.0, 0.1234567890123456789, 8.41e21]
    add.values("nearest_fp64", "FP64", exact, digits)
    mixed = '[1.0,1e3,-0.0,-0,{"INT64":5},{"INT64":"-7"},{"FP64":1},{"FP64":"-Infinity"},1e-400]'
    scalars = [1.0, 1000.0, -0.0, 0, 5, -7, 1.0, float("-inf"), 0.0]
    add.values("mixed_notations", "MIXED", mixed, scalars, of="request")


def add_wrong_integers(add: Json) -> None:
    """Adds whole numbers beyond their type, and what is no whole number."""
    for bits in (8, 16, 32, 64):
        add.bad(f"int{bits}_too_large", f"INT{bits}", f"[0,{2 ** (bits - 1)}]")
        add.bad(f"int{bits}_too_small", f"INT{bits}", f"[{-(2 ** (bits - 1)) - 1}]")
        add.bad(f"uint{bits}_too_large", f"UINT{bits}", f"[{2**bits}]")
        add.bad(f"uint{bits}_below_zero", f"UINT{bits}", "[-1]")
    add.bad("int64_too_large_as_text", "INT64", '["9223372036854775808"]')
    add.bad("int64_too_small_as_text", "INT64", '["-9223372036854775809"]')
    add.bad("uint64_below_zero_as_text", "UINT64", '["-1"]')
    add.bad("point_in_an_integer", "INT64", "[1.0]")
    add.bad("exponent_in_an_integer", "INT64", "[1e2]")
    texts = {"point": "1.0", "plus": "+1", "space": " 1", "zero": "01", "nothing": "", "hex": "0x1"}
    for name, text in texts.items():
        add.bad(f"integer_as_text_with_{name}", "INT64", f'["{text}"]')
    add.bad("boolean_for_an_integer", "INT8", "[true]")


def add_wrong_values(add: Json) -> None:
    """Adds values that their column cannot hold."""
    add.bad("number_for_a_boolean", "BOOL", "[true,1]")
    add.bad("text_for_a_boolean", "BOOL", '["true"]')
    add.bad("fp16_too_large", "FP16", "[65520]")
    add.bad("fp32_too_large", "FP32", "[3.4028235677973366e38]")
    add.bad("fp64_too_large", "FP64", "[1e400]")
    add.bad("text_for_a_number", "FP64", '["1.5"]')
    add.bad("another_word_for_infinity", "FP64", '["inf"]')
    add.bad("nan_in_small_letters", "FP32", '["nan"]')
    add.bad("boolean_for_a_number", "FP32", "[true]")
    add.bad("number_for_a_text", "UTF8", '["a",1]')
    for name, text in (("high", r"\ud800"), ("low", r"a\udc1f"), ("swapped", r"\udc1f\ud83d")):
        add.bad(f"lone_surrogate_{name}", "UTF8", f'["{text}"]')
    encoded = {"without_padding": "AA", "of_another_alphabet": "-_8=", "with_a_space": "AA =="}
    left = {"with_bits_left_over": "AB==", "too_short": "A", "with_padding_alone": "===="}
    for name, text in {**encoded, **left}.items():
        add.bad(f"base64_{name}", "BYTES", f'["{text}"]')
    add.bad("number_for_bytes", "BYTES", "[1]")
    mixed = {
        "too_large": "9223372036854775808",
        "too_small": "-9223372036854775809",
        "list": "[1]",
        "empty_object": "{}",
        "two_fields": '{"INT64":1,"FP64":1}',
        "other_type": '{"UTF8":"a"}',
        "point": '{"INT64":1.0}',
        "infinite": "1e400",
        "too_large_as_text": '{"INT64":"9223372036854775808"}',
        "word": '{"FP64":"inf"}',
        "lone_surrogate": r'"\ud800"',
        "null_in_object": '{"FP64":null}',
    }
    for name, text in mixed.items():
        add.bad(f"mixed_{name}", "MIXED", f"[{text}]")
    add.bad("mixed_tensor", "MIXED", "[[1]]", "wrong_shape", shape=[1])
    add.bad("unknown_dtype", "FP31", "[1]")
    add.bad("dtype_in_small_letters", "int8", "[1]")


def add_moments(add: Json) -> None:
    """Adds moments as people write them."""

    def moments(name: str, texts: list[str], counts: list[int], unit: str) -> None:
        column = Column("x", "TIMESTAMP", counts, unit=unit, zone="Asia/Kolkata")
        body = one("TIMESTAMP", as_json.text(texts).decode(), unit=unit, zone="Asia/Kolkata")
        add.good(name, body, column)

    offsets = ["Z", "+00:00", "-00:00", "+05:30", "-09:30", "+23:59", "-23:59"]
    minutes = [0, 0, 0, 330, -570, 1439, -1439]
    at = 1622456430
    texts = [f"2021-05-31T10:20:30{offset}" for offset in offsets]
    moments("moments_with_offsets", texts, [at - east * 60 for east in minutes], "s")
    fractions = [f"2021-05-31T10:20:30.{'123456789'[:digits]}Z" for digits in range(1, 10)]
    counts = [at * 10**9 + int("123456789"[:digits].ljust(9, "0")) for digits in range(1, 10)]
    moments("fractions_in_ns", fractions, counts, "ns")
    moments("fractions_cut_off", fractions, [count // 10**6 for count in counts], "ms")
    before = ["1969-12-31T23:59:59.9Z", "1969-12-31T23:59:59.000000001Z", "1969-12-31T23:59:58Z"]
    moments("cut_off_towards_the_past", before, [-1, -1, -2], "s")
    leap = ["2000-02-29T00:00:00Z", "2020-02-29T23:59:59Z", "0004-02-29T00:00:00Z"]
    moments("moments_on_leap_days", leap, [951782400, 1583020799, -62035891200], "s")
    edge = ["1677-09-21T00:12:43.145224192Z", "2262-04-11T23:47:16.854775807Z"]
    moments("first_and_last_in_ns", edge, [-(2**63), 2**63 - 1], "ns")
    plain = Column("x", "TIMESTAMP", [at * 10**6], unit="us", zone="UTC")
    add.good("moment_of_default_unit", one("TIMESTAMP", '["2021-05-31T10:20:30Z"]'), plain)


def add_wrong_moments(add: Json) -> None:
    """Adds texts that are no moments."""
    good = '["2021-05-31T10:20:30Z"]'
    add.bad("moment_without_zone", "TIMESTAMP", '["2021-05-31T10:20:30"]', "time_without_zone")
    add.bad("moment_of_an_empty_zone", "TIMESTAMP", good, "time_without_zone", zone="")
    wrong = {
        "day_alone": "2021-05-31",
        "space": "2021-05-31 10:20:30Z",
        "hour_24": "2021-05-31T24:00:00Z",
        "second_60": "2016-12-31T23:59:60Z",
        "no_such_day": "2021-02-29T10:20:30Z",
        "ten_digits": "2021-05-31T10:20:30.1234567890Z",
        "comma": "2021-05-31T10:20:30,5Z",
        "no_digits": "2021-05-31T10:20:30.Z",
        "small_z": "2021-05-31T10:20:30z",
        "no_seconds": "2021-05-31T10:20Z",
        "no_colon": "2021-05-31T10:20:30+0200",
        "large_offset": "2021-05-31T10:20:30+24:00",
        "year_0": "0000-12-31T10:20:30Z",
        "year_0_in_utc": "0001-01-01T00:00:00+00:01",
        "year_10000_in_utc": "9999-12-31T23:59:59-00:01",
        "text_after": "2021-05-31T10:20:30Z ",
        "nothing": "",
    }
    for name, text in wrong.items():
        add.bad(f"moment_{name}", "TIMESTAMP", f'["{text}"]')


def add_wrong_units(add: Json) -> None:
    """Adds moments that are no text or that their unit does not hold, and wrong units and zones."""
    good = '["2021-05-31T10:20:30Z"]'
    add.bad("moment_as_number", "TIMESTAMP", "[1622456430]")
    add.bad("moment_beyond_ns", "TIMESTAMP", '["2262-04-11T23:47:16.854775808Z"]', unit="ns")
    add.bad("moment_of_an_unknown_unit", "TIMESTAMP", good, "invalid_request", unit="min")
    add.bad("moment_of_a_long_zone", "TIMESTAMP", good, "invalid_request", zone="z" * 65)
    add.bad("moment_of_a_zone_that_is_no_text", "TIMESTAMP", good, "invalid_request", zone=1)
    add.bad("unit_of_a_number", "INT64", "[1]", "invalid_request", unit="s")
    add.bad("zone_of_a_day", "DATE", '["2021-05-31"]', "invalid_request", zone="UTC")


def add_wrong_days(add: Json) -> None:
    """Adds texts that are no days."""
    days = {
        "no_leap_year": "2100-02-29",
        "month_13": "2021-13-01",
        "with_time": "2021-05-31T00:00:00Z",
        "year_10000": "10000-01-01",
        "year_0": "0000-12-31",
        "one_digit": "2021-5-31",
    }
    for name, text in days.items():
        add.bad(f"day_{name}", "DATE", f'["{text}"]')
    add.bad("day_as_number", "DATE", "[18778]")


def add_wrong_shapes(add: Json) -> None:
    """Adds columns whose data does not fill their shape, or each other's."""

    def wrong(name: str, data: str, **more: Any) -> None:
        add.bad(name, "INT8", data, "wrong_shape", **more)

    wrong("ragged_tensors", "[[1,2],[3]]", shape=[2])
    wrong("nested_too_deep", "[[1]]")
    wrong("nested_in_part", "[[1,2],3,4]", shape=[2])
    wrong("not_nested_enough", "[[1,2,3,4]]", shape=[2, 2])
    wrong("flat_that_does_not_fill", "[1,2,3]", shape=[2])
    wrong("data_that_is_no_list", "5")
    wrong("nine_dimensions", "[]", shape=[1] * 9)
    x, y = (f'{{"name":"{name}","dtype":"INT8","data":[1]}}' for name in "xy")
    ragged = f'{{"columns":[{x.replace("[1]", "[1,2]")},{y}]}}'
    add.refused("ragged_columns", "wrong_shape", ragged, of="both")
    three = '{"rows":3,"columns":[{"name":"x","dtype":"INT8","data":[1,2]}]}'
    add.refused("rows_that_disagree", "wrong_shape", three, of="both")
    twice = f'{{"columns":[{x},{x}]}}'
    add.refused("duplicate_column", "duplicate_column", twice, of="both")


def add_wrong_structure(add: Json) -> None:
    """Adds bodies that are no table."""
    good = one("INT8", "[1]")
    malformed = {
        "cut_short": good[:-2].encode(),
        "nan_literal": one("FP32", "[NaN]").encode(),
        "not_utf8": one("UTF8", '["?"]').encode().replace(b"?", b"\xff"),
        "empty": b"",
        "text_after_it": good.encode() + b"x",
        "comma_too_many": one("INT8", "[1,]").encode(),
        "leading_zero": one("INT8", "[01]").encode(),
        "control": one("UTF8", '["\n"]').encode(),
        "encoded_surrogate": one("UTF8", '["?"]').encode().replace(b"?", b"\xed\xa0\x80"),
    }
    for name, body in malformed.items():
        add.refused(name, "malformed_json", body, of="both")
    wrong = {
        "list": "[]",
        "number": "5",
        "null": "null",
        "no_columns": "{}",
        "rows_alone": '{"rows":1}',
        "columns_null": '{"columns":null}',
        "column_no_object": '{"columns":[1]}',
        "no_name": '{"columns":[{"dtype":"INT8","data":[1]}]}',
        "no_data": '{"columns":[{"name":"x","dtype":"INT8"}]}',
        "name_number": '{"columns":[{"name":1,"dtype":"INT8","data":[1]}]}',
        "shape_number": one("INT8", "[1]", shape=1),
        "shape_below_zero": one("INT8", "[]", shape=[-1]),
        "rows_with_point": '{"rows":1.0,"columns":[]}',
        "rows_below_zero": '{"rows":-1,"columns":[]}',
    }
    for name, text in wrong.items():
        add.refused(f"table_{name}", "invalid_request", text)


def add_all(vectors: Vectors) -> None:
    """Adds all tables of this file."""
    add = Json(vectors)
    for part in (add_forms, add_numbers, add_wrong_integers, add_wrong_values, add_moments):
        part(add)
    add_wrong_moments(add)
    add_wrong_units(add)
    add_wrong_days(add)
    for part in (add_wrong_shapes, add_wrong_structure):
        part(add)
