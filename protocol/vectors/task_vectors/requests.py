"""Whole envelopes: those that are read, and those of which a task or all of it is refused."""
# ruff: noqa: INP001 - a program, not a package

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from protocol.vectors.task_vectors import as_arrow, as_json
from protocol.vectors.task_vectors.as_protobuf import (
    FIXED64,
    LENGTH,
    VARINT,
    double,
    message,
    octets,
    tag,
    unsigned,
    varint,
)
from protocol.vectors.task_vectors.as_protobuf import table as table_message
from protocol.vectors.task_vectors.envelope import (
    Envelope,
    Merge,
    Refused,
    Task,
    as_arrow_body,
    as_json_body,
    as_protobuf_body,
    tables_of,
)
from protocol.vectors.task_vectors.neutral import Column, Table

if TYPE_CHECKING:
    from protocol.vectors.task_vectors.collection import Vectors

WRITERS = {"json": as_json_body, "arrow": as_arrow_body, "protobuf": as_protobuf_body}
ONE = Table.of(Column("x", "INT8", [1, 2]))
ONE_JSON = '{"columns":[{"name":"x","dtype":"INT8","data":[1,2]}]}'
MERGES = ("concat", "sum", "mean", "min", "max", "count", "variance")


class Requests:
    """Adds envelopes."""

    def __init__(self, vectors: Vectors) -> None:
        self.vectors = vectors

    def add(
        self, name: str, encoding: str, body: bytes, expect: Envelope | str, **more: Any
    ) -> None:
        """Adds an envelope that is read as `expect`, or refused with that code."""
        found = {"error": expect} if isinstance(expect, str) else expect.described()
        self.vectors.add(name, encoding, body, kind="tasks_request", **more, expect=found)

    def everywhere(self, name: str, envelope: Envelope, *, written: bool = True) -> None:
        """Adds an envelope in each encoding, as it is written."""
        for encoding, writer in WRITERS.items():
            held = encoding == "protobuf" or (encoding == "json" and written)
            flag = {"written": True} if held else {}
            self.add(f"request_{name}_{encoding}", encoding, writer(envelope), envelope, **flag)

    def json(self, name: str, body: str, expect: Envelope | str) -> None:
        """Adds an envelope in JSON that is not as it would be written."""
        self.add(f"request_{name}", "json", body.encode(), expect)

    def one_bad(self, name: str, task: str, code: str = "invalid_request") -> None:
        """Adds two tasks, of which the first is refused; `task` is JSON."""
        good = '{"id":"good","model":"m","table":' + ONE_JSON + "}"
        expect = Envelope([Refused("bad", code), Task("good", "m", ONE)])
        self.json(f"bad_task_{name}", f'{{"tasks":[{task},{good}]}}', expect)


def add_written(add: Requests) -> None:
    """Adds envelopes as they are written, in each encoding."""
    add.everywhere("one_task", Envelope([Task("0", "m", ONE)]))
    words = Table.of(Column("word", "UTF8", ["käse 🐟", None, ""]))
    mixed = Table.of(Column("value", "MIXED", [1, 0.5, "a", None, True]))
    tensors = Table.of(Column("X", "FP32", [[0.5, 1.5], [2.5, -0.1]], [2]))
    when = Table.of(Column("when", "TIMESTAMP", [0, None], unit="ms", zone="Europe/Berlin"))
    many = [Task("a", "words", words), Task("b", "mixed", mixed), Task("c", "tensors", tensors)]
    add.everywhere("mixed_types", Envelope([*many, Task("d", "when", when, version="2")]))
    said = Task("everything", "m", "shared", "7", ["y", "z"], 255, 2_500_000, "a key", weight=2.5)
    shared: dict[str, Table | Refused] = {"shared": ONE, "unused": words}
    tasks = [said, Task("plain", "n", "shared"), Task("own", "n", tensors, weight=0.5)]
    merge = Merge("mean", ["y", "z"])
    add.everywhere("everything_said", Envelope([*tasks], shared, merge, 2**53 - 1))
    names: dict[str, Table | Refused] = {"table 🐟": ONE, "": words, '"\0\n': mixed}
    strange = [Task("ä" * 128, "modèle/\U0010ffff", "table 🐟", "v 1", idempotency_key="k" * 256)]
    strange += [Task(" ", "m", ""), Task("\0", "m", '"\0\n', outputs=["", "ü"])]
    add.everywhere("names", Envelope([*strange], names))
    add.everywhere("no_rows", Envelope([Task("0", "m", Table.of(Column("x", "FP64", [])))]))
    for by in MERGES:
        envelope = Envelope([Task("0", "m", ONE)], merge=Merge(by))
        add.add(f"request_merge_{by}", "json", as_json_body(envelope), envelope, written=True)
    zero = [Task("0", "m", ONE, weight=0.0), Task("1", "m", ONE, weight=3.0)]
    add.everywhere("weights", Envelope([*zero], merge=Merge("sum")), written=False)
    hundred = [Task(str(place), f"m{place % 3}", "t") for place in range(64)]
    add.everywhere("64_tasks", Envelope([*hundred], {"t": ONE}))


def add_forms(add: Requests) -> None:
    """Adds envelopes in JSON that are not as they would be written."""
    task = f'{{"model":"m","table":{ONE_JSON}}}'
    places = Envelope([Task("0", "m", ONE), Task("b", "m", ONE), Task("2", "m", ONE)])
    named = f'{{"model":"m","table":{ONE_JSON},"id":"b"}}'
    empty = f'{{"id":"","model":"m","table":{ONE_JSON}}}'
    add.json("ids_left_out", f'{{"tasks":[{task},{named},{empty}]}}', places)
    defaults = (
        '"version":"","outputs":[],"priority":0,"timeout_us":0,"idempotency_key":"","weight":1e0'
    )
    said = f'{{"id":"0","model":"m","table":{ONE_JSON},{defaults}}}'
    envelope = Envelope([Task("0", "m", ONE)])
    add.json("defaults_said", f'{{"timeout_us":0,"tables":{{}},"tasks":[{said}]}}', envelope)
    nulls = defaults.replace('""', "null").replace(":0", ":null").replace("[]", "null")
    left_out = f'{{"id":null,"model":"m","table":{ONE_JSON},{nulls}}}'
    add.json("null_is_left_out", f'{{"merge":null,"tables":null,"tasks":[{left_out}]}}', envelope)
    first = ' { "tasks" : [ { "table" : "t" , "model" : "m" } ] ,\n\t"tables"'
    later = f'{first} : {{ "t" : {ONE_JSON} }} }}\n'
    add.json("tables_after_tasks", later, Envelope([Task("0", "m", "t")], {"t": ONE}))
    merge = f'{{"merge":{{"columns":[],"by":"concat"}},"tasks":[{task}]}}'
    add.json("merge_of_all_columns", merge, Envelope([Task("0", "m", ONE)], merge=Merge("concat")))
    escaped = task.replace('"m"', r'"\u006d"')
    add.json("escaped_name", f'{{"tasks":[{escaped}]}}', envelope)
    half = Table([], 500_000)
    two = '{"model":"m","table":"t"},{"model":"m","table":"t"}'
    text = f'{{"tables":{{"t":{{"rows":500000,"columns":[]}}}},"tasks":[{two}]}}'
    add.json(
        "a_million_rows", text, Envelope([Task("0", "m", "t"), Task("1", "m", "t")], {"t": half})
    )
    more = text.replace("500000", "500001")
    add.json("more_than_a_million_rows", more, "too_many_rows")


def add_bad_tasks(add: Requests) -> None:
    """Adds envelopes of which one task is refused, and the other is not."""
    for name, value in (("null", "null"), ("number", "5"), ("list", "[]")):
        add.one_bad(f"whose_table_is_{name}", f'{{"id":"bad","model":"m","table":{value}}}')
    add.one_bad("unknown_table", '{"id":"bad","model":"m","table":"t"}', "unknown_table")
    add.one_bad("with_arrow_in_json", '{"id":"bad","model":"m","table":{"arrow":8}}')
    wrong = ONE_JSON.replace("2]", "300]")
    add.one_bad("wrong_value", f'{{"id":"bad","model":"m","table":{wrong}}}', "wrong_dtype")
    lone = ONE_JSON.replace("INT8", "UTF8").replace("[1,2]", r'["\ud800"]')
    add.one_bad("lone_surrogate", f'{{"id":"bad","model":"m","table":{lone}}}', "wrong_dtype")
    uses = '{"id":"a","model":"m","table":"bad"},{"id":"b","model":"m","table":"good"}'
    text = f'{{"tables":{{"bad":{wrong},"good":{ONE_JSON}}},"tasks":[{uses}]}}'
    shared: dict[str, Table | Refused] = {"bad": Refused("bad", "wrong_dtype"), "good": ONE}
    tasks: list[Task | Refused] = [Refused("a", "wrong_dtype"), Task("b", "m", "good")]
    add.json("wrong_shared_table", text, Envelope(tasks, shared))


def add_bad_fields(add: Requests) -> None:
    """Adds envelopes of which a task says something wrong beside its table."""
    wrong = {
        "unknown_field": '"said":1',
        "unknown_field_nested_deep": '"said":' + "[" * 300 + "]" * 300,
        "priority_256": '"priority":256',
        "priority_below_zero": '"priority":-1',
        "priority_with_point": '"priority":1.0',
        "priority_as_text": '"priority":"1"',
        "task_timeout_below_zero": '"timeout_us":-1',
        "task_timeout_with_point": '"timeout_us":1.5',
        "weight_below_zero": '"weight":-0.5',
        "weight_that_is_no_number": '"weight":"NaN"',
        "weight_beyond_a_double": '"weight":1e400',
        "version_number": '"version":1',
        "outputs_text": '"outputs":"y"',
        "outputs_of_numbers": '"outputs":[1]',
        "long_idempotency_key": '"idempotency_key":"' + "k" * 257 + '"',
        "second_model": '"model":"m"',
    }
    for name, field in wrong.items():
        task = f'{{"id":"a","model":"m","table":{ONE_JSON},{field}}}'
        add.json(f"bad_field_{name}", f'{{"tasks":[{task}]}}', "invalid_request")
    without = {"model": f'{{"id":"a","table":{ONE_JSON}}}', "table": '{"id":"a","model":"m"}'}
    for name, task in {**without, "object": '"text"'}.items():
        add.json(f"bad_task_without_{name}", f'{{"tasks":[{task}]}}', "invalid_request")


def add_bad_envelopes(add: Requests) -> None:
    """Adds envelopes in JSON that are refused whole."""
    task = f'{{"id":"a","model":"m","table":{ONE_JSON}}}'
    one = f'"t":{ONE_JSON}'
    invalid = {
        "no_tasks": "{}",
        "zero_tasks": '{"tasks":[]}',
        "tasks_null": '{"tasks":null}',
        "list": f"[{task}]",
        "tasks_object": f'{{"tasks":{task}}}',
        "unknown_field": f'{{"said":1,"tasks":[{task}]}}',
        "nested_deep": f'{{"said":{"[" * 2000}{"]" * 2000},"tasks":[{task}]}}',
        "tables_list": f'{{"tables":[],"tasks":[{task}]}}',
        "two_tables_of_one_name": f'{{"tables":{{{one},{one}}},"tasks":[{task}]}}',
        "id_number": f'{{"tasks":[{task}]}}'.replace('"a"', "5"),
        "id_too_long": '{"tasks":[{"id":"' + "ä" * 129 + '","model":"m","table":"t"}]}',
        "timeout_below_zero": f'{{"timeout_us":-1,"tasks":[{task}]}}',
        "merge_unknown": f'{{"merge":{{"by":"median"}},"tasks":[{task}]}}',
        "merge_text": f'{{"merge":"mean","tasks":[{task}]}}',
        "merge_without_by": f'{{"merge":{{}},"tasks":[{task}]}}',
        "merge_unknown_field": f'{{"merge":{{"by":"sum","as":1}},"tasks":[{task}]}}',
    }
    for name, text in invalid.items():
        add.json(f"bad_{name}", text, "invalid_request")
    add.json("bad_duplicate_task", f'{{"tasks":[{task},{task}]}}', "duplicate_task")
    place = task.replace('"id":"a",', "")
    implied = '{"tasks":[' + place.replace("{", '{"id":"1",', 1) + f",{place}]}}"
    add.json("bad_duplicate_of_a_place", implied, "duplicate_task")
    malformed = {"cut_short": f'{{"tasks":[{task}'.encode(), "empty": b""}
    malformed |= {"not_utf8": f'{{"tasks":[{task}]}}'.encode().replace(b'"m"', b'"\xff"')}
    malformed |= {
        "lone_surrogate_in_a_name": f'{{"tasks":[{task}]}}'.encode().replace(b'"m"', rb'"\ud800"')
    }
    malformed |= {"cut_inside_a_table": f'{{"tasks":[{task[:-4]}}}]}}'.encode()}
    malformed |= {"nan_in_a_table": f'{{"tasks":[{task}]}}'.encode().replace(b"[1,2]", b"[NaN]")}
    for name, body in malformed.items():
        add.add(f"request_bad_{name}", "json", body, "malformed_json")


TWO = Envelope([Task("a", "m", ONE), Task("b", "n", Table.of(Column("y", "UTF8", ["z"])))])


def arrow_body(first: Any, second: Any, *tail: bytes) -> bytes:
    """Gives an envelope in Arrow of two tasks with these tables, and the streams that follow."""
    tasks = [{"id": "a", "model": "m", "table": first}, {"id": "b", "model": "n", "table": second}]
    return as_arrow.head(as_json.text({"tasks": tasks})) + b"".join(tail)


def add_arrow(add: Requests) -> None:
    """Adds envelopes in Arrow whose head and streams are unusual, or fail some of their tasks."""
    two, body = TWO, arrow_body
    streams = [as_arrow.table(table) for table in tables_of(two)]
    sizes = [len(stream) for stream in streams]
    plain = as_json.table(ONE)
    add.add("request_json_beside_arrow", "arrow", body(plain, {"arrow": sizes[1]}, streams[1]), two)
    fit = ({"arrow": sizes[0]}, {"arrow": sizes[1]})
    cut = streams[0][:-16] + b"\0" * 16
    second = two.tasks[1]
    one = Envelope([Refused("a", "invalid_arrow"), second])
    add.add("request_one_broken_stream", "arrow", body(*fit, cut, streams[1]), one)
    shifted = ({"arrow": sizes[0] - 8}, {"arrow": sizes[1] + 8})
    both = Envelope([Refused("a", "invalid_arrow"), Refused("b", "invalid_arrow")])
    add.add("request_streams_cut_elsewhere", "arrow", body(*shifted, *streams), both)
    none = Envelope([Refused("a", "invalid_arrow"), second])
    add.add("request_stream_of_no_bytes", "arrow", body({"arrow": 0}, fit[1], streams[1]), none)
    unknown = Envelope([Refused("a", "unknown_table"), second])
    add.add("request_arrow_unknown_table", "arrow", body("t", fit[1], streams[1]), unknown)


def add_wrong_arrow(add: Requests) -> None:
    """Adds envelopes in Arrow that are refused."""
    body = arrow_body
    streams = [as_arrow.table(table) for table in tables_of(TWO)]
    sizes = [len(stream) for stream in streams]
    fit = ({"arrow": sizes[0]}, {"arrow": sizes[1]})
    whole = body(*fit, *streams)
    wrong = {
        "bytes_missing": whole[:-8],
        "bytes_left_over": whole + b"\0" * 8,
        "empty": b"",
        "stream_missing": whole[: -sizes[1]],
        "stream_left_over": whole + streams[0],
        "cut_in_its_head": whole[:100],
        "json_alone": as_json_body(TWO),
        "size_below_zero": body({"arrow": -8}, fit[1], *streams),
        "size_with_point": body({"arrow": 8.5}, fit[1], *streams),
        "size_as_text": body({"arrow": str(sizes[0])}, fit[1], *streams),
        "size_that_overflows": body({"arrow": 2**64 - 1}, fit[1], *streams),
        "arrow_and_columns": body({**fit[0], "columns": []}, fit[1], *streams),
        "no_head": streams[0],
        "head_without_envelope": as_arrow.stream(schema=pa.schema([])),
    }
    said = {"shoal.tasks": as_json.text({"tasks": []})}
    column = pa.schema([pa.field("x", pa.int8())], metadata=said)
    wrong["head_with_a_column"] = as_arrow.stream(schema=column)
    for name, octets_of in wrong.items():
        add.add(f"request_bad_arrow_{name}", "arrow", octets_of, "invalid_arrow")
    add.add(
        "request_bad_arrow_malformed_json", "arrow", as_arrow.head(b'{"tasks":['), "malformed_json"
    )
    add.add(
        "request_bad_arrow_zero_tasks", "arrow", as_arrow.head(b'{"tasks":[]}'), "invalid_request"
    )
    same = as_json.text({"tasks": [{"id": "a", "model": "m", "table": "t"}] * 2})
    add.add("request_bad_arrow_duplicate_task", "arrow", as_arrow.head(same), "duplicate_task")


TABLE = message(4, table_message(ONE))
GOOD = message(2, octets(1, "good") + octets(2, "m") + TABLE)
EXPECT = Task("good", "m", ONE)


def add_wrong_tasks_in_protobuf(add: Requests) -> None:
    """Adds envelopes in protobuf of a task that is wrong, and one that is not."""
    column = octets(1, "x") + octets(2, "BOOL") + octets(4, b"\2")
    cut = message(4, octets(3, as_arrow.table(ONE)[:-16]))
    wrong = {
        "unknown_table": (message(5, b"t"), "unknown_table"),
        "wrong_value": (message(4, unsigned(1, 1) + message(2, column)), "wrong_dtype"),
        "broken_arrow": (cut, "invalid_arrow"),
    }
    for name, (given, code) in wrong.items():
        body = message(2, octets(1, "bad") + octets(2, "m") + given) + GOOD
        expect = Envelope([Refused("bad", code), EXPECT])
        add.add(f"request_bad_task_protobuf_{name}", "protobuf", body, expect)


def add_protobuf(add: Requests) -> None:
    """Adds envelopes in protobuf that are not as they would be written."""
    table, good, expect = TABLE, GOOD, EXPECT
    arrow = message(
        2, octets(1, "good") + octets(2, "m") + message(4, octets(3, as_arrow.table(ONE)))
    )
    add.add("request_protobuf_with_arrow", "protobuf", arrow, Envelope([expect]))
    places = message(2, octets(2, "m") + table) + good
    add.add(
        "request_protobuf_ids_left_out", "protobuf", places, Envelope([Task("0", "m", ONE), expect])
    )
    weighed = message(2, octets(1, "good") + octets(2, "m") + table + double(10, 1.0))
    add.add("request_protobuf_weight_of_one", "protobuf", weighed, Envelope([expect]))
    newer = unsigned(90, 5) + message(
        2, octets(1, "good") + octets(2, "m") + table + unsigned(91, 7)
    )
    add.add("request_protobuf_unknown_fields", "protobuf", newer, Envelope([expect]))


def add_wrong_protobuf(add: Requests) -> None:
    """Adds envelopes in protobuf that are refused."""
    table, good = TABLE, GOOD
    shared = message(1, octets(1, "t") + message(2, table_message(ONE)))
    refused = {
        "zero_tasks": (b"", "invalid_request"),
        "duplicate_task": (good + good, "duplicate_task"),
        "10001_tasks": (message(2, b"") * 10_001, "too_many_tasks"),
        "id_too_long": (
            message(2, octets(1, "i" * 257) + octets(2, "m") + table),
            "invalid_request",
        ),
        "task_without_a_table": (good + message(2, octets(2, "m")), "invalid_request"),
        "priority_256": (message(2, octets(2, "m") + table + unsigned(7, 256)), "invalid_request"),
        "long_key": (message(2, octets(2, "m") + table + octets(9, "k" * 257)), "invalid_request"),
        "two_tables_of_one_name": (shared + shared + good, "invalid_request"),
        "merge_unknown": (good + message(3, octets(1, "median")), "invalid_request"),
        "merge_without_by": (good + message(3, b""), "invalid_request"),
        "too_many_rows": (
            message(2, octets(2, "m") + message(4, unsigned(1, 1_000_001))),
            "too_many_rows",
        ),
        "cut_short": (good[:-1], "invalid_protobuf"),
        "model_not_utf8": (message(2, octets(2, b"\xff") + table), "invalid_protobuf"),
        "task_as_number": (tag(2, VARINT) + varint(5), "invalid_protobuf"),
        "timeout_as_text": (good + tag(4, LENGTH) + varint(1) + b"5", "invalid_protobuf"),
        "weight_as_number": (message(2, octets(2, "m") + unsigned(10, 5)), "invalid_protobuf"),
        "timeout_as_fp64": (good + tag(4, FIXED64) + struct.pack("<d", 5), "invalid_protobuf"),
        "json": (b'{"tasks":[]}', "invalid_protobuf"),
    }
    for name, weight in (("below_zero", -0.5), ("nan", float("nan")), ("infinite", float("inf"))):
        weighed = message(2, octets(2, "m") + table + double(10, weight))
        refused[f"weight_{name}"] = (weighed, "invalid_request")
    for name, (body, code) in refused.items():
        add.add(f"request_bad_protobuf_{name}", "protobuf", body, code)


def add_all(vectors: Vectors) -> None:
    """Adds all envelopes of this file."""
    add = Requests(vectors)
    for part in (add_written, add_forms, add_bad_tasks, add_bad_fields, add_bad_envelopes):
        part(add)
    add_arrow(add)
    add_wrong_arrow(add)
    add_wrong_tasks_in_protobuf(add)
    add_protobuf(add)
    add_wrong_protobuf(add)
