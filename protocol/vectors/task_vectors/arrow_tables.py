"""Tables as Arrow streams that are laid out otherwise than Shoal would, and what is refused.

Broken streams are good ones in which a few bytes were changed; what they are is found by what they
say, never by a place.
"""
# ruff: noqa: INP001 - a program, not a package

from __future__ import annotations

import struct
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from protocol.vectors.task_vectors import as_arrow
from protocol.vectors.task_vectors.neutral import Column, Table

if TYPE_CHECKING:
    from protocol.vectors.task_vectors.collection import Vectors

END = b"\xff\xff\xff\xff\x00\x00\x00\x00"


class Arrow:
    """Adds streams of one column `x`."""

    def __init__(self, vectors: Vectors) -> None:
        self.vectors = vectors

    def read(self, name: str, body: bytes, *columns: Column, of: str = "both") -> None:
        """Adds a stream that is read as these columns."""
        self.vectors.add_table(f"arrow_{name}", "arrow", body, Table.of(*columns), of=of)

    def good(self, name: str, array: Any, column: Column, of: str = "both") -> None:
        """Adds a stream of one array."""
        self.read(name, stream_of(array), column, of=of)

    def broken(self, name: str, body: bytes, of: str = "request") -> None:
        """Adds a stream that is none."""
        self.vectors.add_table(f"bad_arrow_{name}", "arrow", body, "invalid_arrow", of=of)

    def bad(self, name: str, array: Any, code: str = "wrong_dtype", of: str = "request") -> None:
        """Adds a stream whose column is refused."""
        self.vectors.add_table(f"bad_arrow_{name}", "arrow", stream_of(array), code, of=of)


def stream_of(*arrays: Any) -> bytes:
    """Gives a stream of one column, a batch for each array."""
    return as_arrow.stream(*(pa.record_batch([array], names=["x"]) for array in arrays))


def replaced(body: bytes, old: bytes, new: bytes) -> bytes:
    """Gives a stream with some of its bytes changed, which are there once."""
    if body.count(old) != 1 or len(old) != len(new):
        message = f"{old.hex()} is there {body.count(old)} times, expected 1"
        raise ValueError(message)
    return body.replace(old, new)


def add_texts(add: Arrow) -> None:
    """Adds the types of texts and bytes that are read."""
    texts = ["a", None, "käse", "", "a"]
    column, small = Column("x", "UTF8", texts), Column("x", "UTF8", ["b", "a", None, "b"])
    add.good("large_utf8", pa.array(texts, pa.large_utf8()), column)
    add.good(
        "large_binary",
        pa.array([b"\xff", None], pa.large_binary()),
        Column("x", "BYTES", [b"\xff", None]),
    )
    for index in (pa.int8(), pa.int32(), pa.uint16()):
        indices = pa.array([1, 0, None, 1], index)
        array = pa.DictionaryArray.from_arrays(indices, pa.array(["a", "b"]))
        add.good(f"dictionary_of_{index}", array, small)
    large = pa.DictionaryArray.from_arrays(
        pa.array([1, 0, None, 1]), pa.array(["a", "b"], pa.large_utf8())
    )
    add.good("dictionary_of_large_utf8", large, small, of="request")
    with_null = pa.DictionaryArray.from_arrays(pa.array([1, 0, 2]), pa.array(["a", "b", None]))
    add.good("null_in_a_dictionary", with_null, Column("x", "UTF8", ["b", "a", None]), of="request")
    changing = [
        pa.DictionaryArray.from_arrays(pa.array([1, 0], pa.int8()), pa.array(["a", "b"])),
        pa.DictionaryArray.from_arrays(pa.array([0, 1], pa.int8()), pa.array(["c", "a"])),
    ]
    of_both = Column("x", "UTF8", ["b", "a", "c", "a"])
    add.read("dictionary_that_changes", stream_of(*changing), of_both, of="request")


def add_layouts(add: Arrow) -> None:
    """Adds slices, several batches, and what stands where nothing is."""
    numbers = pa.array(list(range(20)), pa.int16())
    add.good("slice_of_numbers", numbers.slice(3, 5), Column("x", "INT16", [3, 4, 5, 6, 7]))
    flags = pa.array([True, False, None] * 5)
    of_flags = [False, None, True, False, None, True, False, None, True]
    add.good("slice_of_booleans", flags.slice(4, 9), Column("x", "BOOL", of_flags))
    texts = pa.array(["a", "bc", None, "def", "g"])
    add.good("slice_of_texts", texts.slice(1, 3), Column("x", "UTF8", ["bc", None, "def"]))
    tensors = as_arrow.array(Column("x", "FP32", [[1.0, 2.0], None, [3.0, 4.0], [5.0, 6.0]], [2]))
    add.good("slice_of_tensors", tensors.slice(1, 2), Column("x", "FP32", [None, [3.0, 4.0]], [2]))
    mixed = as_arrow.union(["a", 1, None, 0.5, True, "b"])
    add.good("slice_of_mixed", mixed.slice(1, 4), Column("x", "MIXED", [1, None, 0.5, True]))
    batches = [pa.array(part, pa.int64()) for part in ([1, 2], [], [None], [4])]
    add.read("several_batches", stream_of(*batches), Column("x", "INT64", [1, 2, None, 4]))
    texts_apart = [pa.array(["a", None]), pa.array(["b"])]
    add.read(
        "several_batches_of_texts", stream_of(*texts_apart), Column("x", "UTF8", ["a", None, "b"])
    )
    schema = pa.schema({"x": pa.int32()})
    add.read("no_batches", as_arrow.stream(schema=schema), Column("x", "INT32", []))
    valid = pa.py_buffer(b"\x05")
    hidden = pa.Array.from_buffers(
        pa.int32(), 3, [valid, pa.py_buffer(struct.pack("<3i", 7, 99, 8))]
    )
    add.good("bytes_behind_a_null", hidden, Column("x", "INT32", [7, None, 8]))
    said = schema.with_metadata({"pandas": '{"index_columns": []}'})
    whole = as_arrow.stream(pa.record_batch([pa.array([1], pa.int32())], schema=said))
    add.read("metadata_of_others", whole, Column("x", "INT32", [1]))


def add_tensors(add: Arrow) -> None:
    """Adds tensors as lists of a fixed size, and other types that are stored so."""
    pairs = Column("x", "INT64", [[1, 2], None, [3, 4]], [2])
    add.good("fixed_size_list", as_arrow.lists(pairs), pairs)
    matrix = [[[1, 2, 3], [4, 5, 6]], None, [[7, 8, 9], [10, 11, 12]]]
    nested = pa.array(matrix, pa.list_(pa.list_(pa.int8(), 3), 2))
    flat = [[1, 2, 3, 4, 5, 6], None, [7, 8, 9, 10, 11, 12]]
    add.good("nested_fixed_size_lists", nested, Column("x", "INT8", flat, [2, 3]))
    words = pa.array([["a", "b"], ["", "ä"]], pa.list_(pa.utf8(), 2))
    add.good("list_of_texts", words, Column("x", "UTF8", [["a", "b"], ["", "ä"]], [2]))
    named = pa.fixed_shape_tensor(pa.int64(), [2], dim_names=["side"], permutation=[0])
    array = pa.ExtensionArray.from_storage(named, as_arrow.lists(pairs))
    add.good("tensor_with_names", array, pairs)
    field = pa.field("x", pa.int64(), metadata={"ARROW:extension:name": "other.money"})
    body = as_arrow.stream(pa.record_batch([pa.array([5])], schema=pa.schema([field])))
    add.read("unknown_extension", body, Column("x", "INT64", [5]))
    turned = pa.fixed_shape_tensor(pa.int64(), [1, 2], permutation=[1, 0])
    add.bad("tensor_turned_about", pa.ExtensionArray.from_storage(turned, as_arrow.lists(pairs)))
    deep: Any = pa.int8()
    value: Any = 1
    for _ in range(9):
        deep, value = pa.list_(deep, 1), [value]
    add.bad("nine_dimensions", pa.array([value], deep), "wrong_shape")


def add_mixed(add: Arrow) -> None:
    """Adds unions whose children are others, or in another order, than Shoal writes."""
    codes, places = pa.array([1, 0, 1, 0], pa.int8()), pa.array([0, 0, 1, 1], pa.int32())
    children = [pa.array(["a", None]), pa.array([7, None])]
    union = pa.UnionArray.from_dense(codes, places, children, ["words", "numbers"])
    add.good("union_of_two", union, Column("x", "MIXED", [7, "a", None, None]), of="request")
    late = pa.array([1, 1, 2, 2], pa.int32())
    three = [pa.array(["a", "b", "c"]), pa.array([7, 8, 9])]
    other = stream_of(pa.UnionArray.from_dense(codes, late, three))
    tagged = pa.UnionArray.from_dense(
        pa.array([9, 5], pa.int8()), pa.array([0, 0], pa.int32()), children, ["w", "n"], [5, 9]
    )
    add.good("union_with_other_codes", tagged, Column("x", "MIXED", [7, "a"]), of="request")
    small = pa.UnionArray.from_dense(codes, places, [children[0], children[1].cast(pa.int32())])
    add.bad("union_of_int32", small)
    sparse = pa.UnionArray.from_sparse(codes.slice(0, 2), children)
    add.bad("sparse_union", sparse)
    which, where = b"\1\0\1\0\0\0\0\0", struct.pack("<4i", 1, 1, 2, 2)
    add.broken("union_code_of_no_child", replaced(other, which, b"\1\0\7\0\0\0\0\0"))
    beyond = replaced(other, where, struct.pack("<4i", 1, 1, 2, 9))
    add.broken("union_offset_beyond_its_child", beyond)


def add_wrong_types(add: Arrow) -> None:
    """Adds columns of types that a table does not have, and values that a text does not have."""
    others = {
        "list": pa.array([[1]], pa.list_(pa.int8())),
        "struct": pa.array([{"a": 1}]),
        "decimal": pa.array([Decimal("1.5")]),
        "date64": pa.array([0], pa.date64()),
        "time": pa.array([0], pa.time32("s")),
        "duration": pa.array([0], pa.duration("s")),
        "fixed_size_binary": pa.array([b"ab"], pa.binary(2)),
        "utf8_view": pa.array(["a"], pa.string_view()),
        "map": pa.array([[("a", 1)]], pa.map_(pa.utf8(), pa.int8())),
        "dictionary_of_numbers": pa.array([1]).dictionary_encode(),
        "dictionary_of_bytes": pa.array([b"a"]).dictionary_encode(),
        "run_ends": pa.RunEndEncodedArray.from_arrays(pa.array([1], pa.int32()), pa.array([5])),
    }
    for name, array in others.items():
        add.bad(f"type_{name}", array)
    add.bad("moment_without_zone", pa.array([0], pa.timestamp("us")), "time_without_zone")
    long = pa.array([0], pa.timestamp("us", "z" * 65))
    add.bad("moment_of_a_long_zone", long, "invalid_request")
    for name, seconds in (("year_0", -62135596801), ("year_10000", 253402300800)):
        add.bad(f"moment_{name}", pa.array([seconds], pa.timestamp("s", "UTC")), of="both")
    for name, days in (("year_0", -719163), ("year_10000", 2932897)):
        add.bad(f"day_{name}", pa.array([days], pa.int32()).cast(pa.date32()), of="both")
    for name, octets in (
        ("not_utf8", b"\xff"),
        ("surrogate", b"\xed\xa0\x80"),
        ("overlong", b"\xc0\x80"),
    ):
        add.bad(f"text_{name}", text_of(octets))
    add.bad("text_cut_inside_a_character", text_of(b"a\xc3"))


def text_of(octets: bytes) -> Any:
    """Gives a column of one text, of any bytes."""
    ends = pa.py_buffer(struct.pack("<2i", 0, len(octets)))
    return pa.Array.from_buffers(pa.utf8(), 1, [None, ends, pa.py_buffer(octets)])


def add_nothing(add: Arrow) -> None:
    """Adds what ends early, goes on, or is no stream at all."""
    body = stream_of(pa.array([1, 2, 3], pa.int64()), pa.array([4], pa.int64()))
    add.broken("empty", b"", of="both")
    add.broken("without_end", body.removesuffix(END), of="both")
    for name, size in (
        ("in_its_values", len(body) - 12),
        ("in_its_schema", 60),
        ("in_a_length", 6),
    ):
        add.broken(f"cut_{name}", body[:size], of="both")
    first = stream_of(pa.array([1, 2, 3], pa.int64())).removesuffix(END)
    add.broken("cut_between_batches", first, of="both")
    add.broken("bytes_after_its_end", body + b"\0" * 8, of="both")
    add.broken("two_streams", body + body, of="both")
    add.broken("text", b'{"columns":[]}', of="both")
    add.broken("end_alone", END, of="both")
    add.broken("batch_without_schema", body[body.index(b"\xff\xff\xff\xff", 8) :])
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, pa.schema({"x": pa.int64()})) as writer:
        writer.write_batch(pa.record_batch([pa.array([1])], names=["x"]))
    add.broken("file_format", bytes(sink.getvalue()))
    for codec in ("lz4", "zstd"):
        options = pa.ipc.IpcWriteOptions(compression=codec)
        batch = pa.record_batch([pa.array([0] * 1000)], names=["x"])
        add.broken(f"compressed_with_{codec}", as_arrow.stream(batch, options=options), of="both")
    wide = pa.record_batch([pa.array([1], pa.int8())] * 1001, names=[str(n) for n in range(1001)])
    add.vectors.add_table(
        "bad_arrow_1001_columns", "arrow", as_arrow.stream(wide), "invalid_arrow", of="request"
    )


def add_broken(add: Arrow) -> None:
    """Adds streams whose parts do not fit each other."""
    twice = pa.record_batch([pa.array([1]), pa.array([2])], names=["x", "x"])
    add.vectors.add_table(
        "bad_arrow_duplicate_column", "arrow", as_arrow.stream(twice), "duplicate_column"
    )
    texts = stream_of(pa.array(["ab", "cd"]))
    ends = struct.pack("<3i", 0, 2, 4)
    for name, wrong in (
        ("beyond_the_bytes", (0, 2, 400)),
        ("going_back", (0, 4, 2)),
        ("below_zero", (-2, 2, 4)),
    ):
        add.broken(f"text_ends_{name}", replaced(texts, ends, struct.pack("<3i", *wrong)))
    index = pa.DictionaryArray.from_arrays(pa.array([1, 0, 1], pa.int32()), pa.array(["a", "b"]))
    beyond = replaced(stream_of(index), struct.pack("<3i", 1, 0, 1), struct.pack("<3i", 1, 0, 2))
    add.broken("index_beyond_its_dictionary", beyond)
    numbers = stream_of(pa.array(range(7), pa.int64()))
    node = struct.pack("<2q", 7, 0)  # records and nulls of the column
    add.broken("column_longer_than_its_batch", replaced(numbers, node, struct.pack("<2q", 6, 0)))
    add.broken("column_below_zero", replaced(numbers, node, struct.pack("<2q", -7, 0)))
    size = struct.pack("<2q", 0, 56)  # where the values lie, and how many bytes they are
    add.broken("buffer_beyond_its_body", replaced(numbers, size, struct.pack("<2q", 0, 2**40)))
    add.broken("buffer_too_short", replaced(numbers, size, struct.pack("<2q", 0, 8)))
    length = numbers[4:8]
    add.broken("metadata_beyond_the_stream", b"\xff" * 4 + b"\xff\xff\xff\x7f" + numbers[8:])
    add.broken(
        "metadata_cut_short",
        b"\xff" * 4 + struct.pack("<i", struct.unpack("<i", length)[0] - 8) + numbers[8:],
    )


def add_all(vectors: Vectors) -> None:
    """Adds all tables of this file."""
    add = Arrow(vectors)
    for part in (add_texts, add_layouts, add_tensors, add_mixed, add_wrong_types):
        part(add)
    add_nothing(add)
    add_broken(add)
