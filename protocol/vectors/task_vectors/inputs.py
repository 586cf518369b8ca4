"""Tables for models: what becomes of their columns, and which are not taken."""
# ruff: noqa: INP001 - a program, not a package

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa

from protocol.vectors.task_vectors import as_arrow, as_json
from protocol.vectors.task_vectors.neutral import Column, Table, described

if TYPE_CHECKING:
    from protocol.vectors.task_vectors.collection import Vectors

ROUTER = "router"


class Inputs:
    """Adds tables in JSON and Arrow, and the signatures of the models that take them."""

    def __init__(self, vectors: Vectors) -> None:
        self.vectors = vectors

    def add(self, name: str, body: bytes, takes: Any, expect: Column | Table | str) -> None:
        """Adds a table; `expect` is what the model gets, or the code of the error."""
        encoding = "json" if body.startswith(b"{") else "arrow"
        found: Any = {"error": expect}
        if not isinstance(expect, str):
            found = described(expect if isinstance(expect, Table) else Table.of(expect))
        self.vectors.add(
            f"input_{name}", encoding, body, kind="model_input", signature=takes, expect=found
        )

    def untyped(
        self, name: str, data: str, takes: Any, expect: Column | str, rows: str = ""
    ) -> None:
        """Adds a column `x` without a dtype."""
        body = f'{{{rows}"columns":[{{"name":"x","data":{data}}}]}}'
        self.add(f"untyped_{name}", body.encode(), takes, expect)

    def typed(self, name: str, given: Column, takes: Any, expect: list[Any] | str) -> None:
        """Adds a column that is converted into these records."""
        want: Column | str = "wrong_dtype"
        if isinstance(expect, str):
            want = expect
        else:
            want = Column("x", takes[0]["dtype"], expect, given.shape)
        self.add(name, as_json.text(as_json.table(Table.of(given))), takes, want)


def column(dtype: str, shape: list[int] | None = None, name: str = "x", **more: bool) -> Any:
    """Gives a column of a signature."""
    return {"name": name, "dtype": dtype, "shape": shape or [], **more}


def x(dtype: str, records: list[Any], shape: list[int] | None = None, **more: Any) -> Column:
    """Gives a column `x`."""
    return Column("x", dtype, records, shape or [], **more)


def add_untyped(add: Inputs) -> None:
    """Adds columns of JSON that leave their dtype to the signature."""
    fp32, maybe = [column("FP32")], [column("FP32", nullable=True)]
    add.untyped("numbers", "[1,2.5,-0.0]", fp32, x("FP32", [1.0, 2.5, -0.0]))
    add.untyped("missing", "[null,2.5]", maybe, x("FP32", [None, 2.5]))
    add.untyped("missing_not_allowed", "[null,2.5]", fp32, "null_not_allowed")
    add.untyped("integers", "[9007199254740993]", [column("INT64")], x("INT64", [2**53 + 1]))
    add.untyped("digits_as_text", '["1"]', [column("INT64")], "wrong_dtype")
    add.untyped("word_for_a_number", '["NaN"]', fp32, "wrong_dtype")
    add.untyped("point", "[1.0]", [column("INT64")], "wrong_dtype")
    add.untyped("fp16", "[1]", [column("FP16")], "wrong_dtype")
    add.untyped("text", '["käse","AA=="]', [column("BYTES")], x("BYTES", ["käse", "AA=="]))
    add.untyped("booleans", "[true,false]", [column("BOOL")], x("BOOL", [True, False]))
    moments = '["2021-05-31","1969-12-31T23:59:59.5Z","2021-05-31T12:20:30+02:00",-5]'
    seconds = x("INT64", [1622419200, -1, 1622456430, -5])
    add.untyped("moments", moments, [column("INT64", moment=True)], seconds)
    pair = [column("INT8", [2])]
    add.untyped("nested_tensors", "[[1,2],[3,4]]", pair, x("INT8", [[1, 2], [3, 4]], [2]))
    flat = x("INT8", [[1, 2], [3, 4]], [2])
    add.untyped("flat_tensors", "[1,2,3,4]", pair, flat)
    add.untyped("flat_tensors_of_said_rows", "[1,2,3,4]", pair, flat, '"rows":2,')
    add.untyped(
        "tensors_of_open_length", "[[1,2,3]]", [column("INT8", [-1])], x("INT8", [[1, 2, 3]], [3])
    )
    add.untyped("ragged", "[[1,2],[3]]", pair, "wrong_shape")
    add.untyped("null_inside_a_tensor", "[[1,null]]", pair, "null_not_allowed")
    add.untyped("malformed", "[1,nan]", fp32, "malformed_json")
    any_type = '[1,2.5,"a",null,true,{"INT64":"9223372036854775807"},{"FP64":1}]'
    mixed = x("MIXED", [1, 2.5, "a", None, True, 2**63 - 1, 1.0])
    add.untyped("for_a_router", any_type, ROUTER, mixed)
    add.untyped("too_large_for_a_router", "[9223372036854775808]", ROUTER, "wrong_dtype")


def add_integers(add: Inputs) -> None:
    """Adds integers for models that take other numbers."""
    add.typed(
        "int64_as_int8",
        x("INT64", [-128, 127, None]),
        [column("INT8", nullable=True)],
        [-128, 127, None],
    )
    add.typed("int64_too_large_for_int8", x("INT64", [128]), [column("INT8")], "wrong_dtype")
    add.typed("int8_below_zero_for_uint64", x("INT8", [-1]), [column("UINT64")], "wrong_dtype")
    add.typed("uint64_too_large_for_int64", x("UINT64", [2**63]), [column("INT64")], "wrong_dtype")
    add.typed("uint64_as_int64", x("UINT64", [2**63 - 1]), [column("INT64")], [2**63 - 1])
    ties = [2**24 + 1, 2**24 + 3, -(2**24) - 1, 2**63 - 1, 2**40 + 2**16 + 1]
    nearest = [2.0**24, 2.0**24 + 4, -(2.0**24), 2.0**63, 2.0**40 + 2.0**17]
    add.typed("int64_as_fp32", x("INT64", ties), [column("FP32")], nearest)
    wide = [2**53 + 1, 2**53 + 3, 2**64 - 1]
    add.typed(
        "uint64_as_fp64", x("UINT64", wide), [column("FP64")], [2.0**53, 2.0**53 + 4, 2.0**64]
    )
    add.typed(
        "int32_as_fp16",
        x("INT32", [2049, 2051, 65519]),
        [column("FP16")],
        [2048.0, 2052.0, 65504.0],
    )
    add.typed("int32_too_large_for_fp16", x("INT32", [65520]), [column("FP16")], "wrong_dtype")
    add.typed("int8_for_bool", x("INT8", [1]), [column("BOOL")], "wrong_dtype")


def add_others(add: Inputs) -> None:
    """Adds floats, texts and moments for models that take something else."""
    nan, inf = float("nan"), float("inf")
    floats = [1 / 3, 1e-50, -inf, nan, 1.00000017881393432617187499]
    nearest = [0.3333333432674408, 0.0, -inf, nan, 1.0000002384185791]
    add.typed("fp64_as_fp32", x("FP64", floats), [column("FP32")], nearest)
    add.typed("fp64_too_large_for_fp32", x("FP64", [1e39]), [column("FP32")], "wrong_dtype")
    halves = [0.1, 65519.99, 1.0004882821813226]
    add.typed(
        "fp64_as_fp16",
        x("FP64", halves),
        [column("FP16")],
        [0.0999755859375, 65504.0, 1.0009765625],
    )
    add.typed("fp32_too_large_for_fp16", x("FP32", [65520.0]), [column("FP16")], "wrong_dtype")
    add.typed("fp16_as_fp64", x("FP16", [0.5, -0.0]), [column("FP64")], [0.5, -0.0])
    add.typed("fp64_for_int64", x("FP64", [1.5]), [column("INT64")], "wrong_dtype")
    add.typed("bool_for_int8", x("BOOL", [True]), [column("INT8")], "wrong_dtype")
    add.typed("text_as_bytes", x("UTF8", ["käse", ""]), [column("BYTES")], ["käse", ""])
    add.typed(
        "bytes", x("BYTES", [b"\xff", None]), [column("BYTES", nullable=True)], [b"\xff", None]
    )
    add.typed("text_for_a_number", x("UTF8", ["1"]), [column("FP64")], "wrong_dtype")
    add.typed("number_for_a_text", x("INT8", [1]), [column("BYTES")], "wrong_dtype")
    moment = [column("INT64", moment=True)]
    times = x("TIMESTAMP", [-1, 1_999_999, 0], unit="us", zone="Asia/Tokyo")
    add.typed("moments_as_seconds", times, moment, [-1, 1, 0])
    add.typed("days_as_seconds", x("DATE", [-1, 18778]), moment, [-86400, 1622419200])
    add.typed("integers_as_moments", x("INT32", [-1]), moment, [-1])
    add.typed("moments_for_integers", times, [column("INT64")], "wrong_dtype")
    add.typed("days_for_integers", x("DATE", [1]), [column("INT64")], "wrong_dtype")


def add_mixed(add: Inputs) -> None:
    """Adds columns of MIXED for models that take one type."""
    maybe = [column("FP32", nullable=True)]
    add.typed("mixed_as_fp32", x("MIXED", [1, 0.1, None]), maybe, [1.0, 0.10000000149011612, None])
    add.typed("mixed_as_int64", x("MIXED", [2**53 + 1]), [column("INT64")], [2**53 + 1])
    add.typed("mixed_as_bytes", x("MIXED", ["a", "ä"]), [column("BYTES")], ["a", "ä"])
    add.typed("mixed_as_bool", x("MIXED", [True, False]), [column("BOOL")], [True, False])
    for name, value in (("text", "a"), ("boolean", True)):
        add.typed(f"mixed_{name}_for_fp32", x("MIXED", [1, value]), [column("FP32")], "wrong_dtype")
    add.typed("mixed_float_for_int64", x("MIXED", [1, 1.5]), [column("INT64")], "wrong_dtype")
    add.typed("mixed_missing_for_fp32", x("MIXED", [1, None]), [column("FP32")], "null_not_allowed")


def add_tables(add: Inputs) -> None:
    """Adds tables whose columns are in another order, too few, too many, or of another shape."""
    takes = [column("FP32", name="a"), column("BYTES", name="b")]
    words, numbers = Column("b", "UTF8", ["u"]), Column("a", "INT8", [1])
    swapped = as_json.text(as_json.table(Table.of(words, numbers)))
    found = Table.of(Column("a", "FP32", [1.0]), Column("b", "BYTES", ["u"]))
    add.add("columns_in_another_order", swapped, takes, found)
    add.add("column_missing", as_json.text(as_json.table(Table.of(words))), takes, "missing_column")
    more = as_json.text(as_json.table(Table.of(words, numbers, Column("c", "INT8", [1]))))
    add.add("column_too_many", more, takes, "unexpected_column")
    no_rows = Table.of(Column("a", "FP64", []), Column("b", "UTF8", []))
    none = Table.of(Column("a", "FP32", []), Column("b", "BYTES", []))
    add.add("no_rows", as_json.text(as_json.table(no_rows)), takes, none)
    pair = [column("FP32", [2])]
    add.typed("scalars_for_tensors", x("FP32", [1.5]), pair, "wrong_shape")
    add.typed("tensors_of_another_length", x("FP32", [[1.5]], [1]), pair, "wrong_shape")
    lonely = as_json.text(as_json.table(Table.of(x("INT8", [[1], [2]], [1]))))
    add.add("tensors_of_one_for_scalars", lonely, [column("FP32")], x("FP32", [1.0, 2.0]))
    maybe = [column("FP32", [2], nullable=True)]
    add.typed("missing_tensor", x("FP64", [None, [1.0, 2.0]], [2]), maybe, [None, [1.0, 2.0]])
    part = b'{"columns":[{"name":"x","dtype":"FP32","shape":[2],"data":[[1,null]]}]}'
    add.add("null_inside_a_tensor", part, maybe, "null_not_allowed")


def add_arrow(add: Inputs) -> None:
    """Adds what only Arrow can say."""
    nothing = as_arrow.stream(pa.record_batch([pa.nulls(2)], names=["x"]))
    maybe = column("FP32", [2], nullable=True)
    add.add("column_of_nulls", nothing, [maybe], x("FP32", [None, None], [2]))
    add.add("column_of_nulls_not_allowed", nothing, [column("INT8")], "null_not_allowed")
    inside = pa.array([[1, None]], pa.list_(pa.float32(), 2))
    body = as_arrow.stream(pa.record_batch([inside], names=["x"]))
    add.add("null_inside_a_list", body, [maybe], "null_not_allowed")
    words = pa.array(["b", None, "b"]).dictionary_encode()
    coded = as_arrow.stream(pa.record_batch([words], names=["x"]))
    add.add("dictionary", coded, [column("BYTES", nullable=True)], x("BYTES", ["b", None, "b"]))


def add_all(vectors: Vectors) -> None:
    """Adds all tables of this file."""
    add = Inputs(vectors)
    for part in (add_untyped, add_integers, add_others, add_mixed, add_tables, add_arrow):
        part(add)
