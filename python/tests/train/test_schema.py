"""What is said of columns can be edited, and is checked: column, row and rule of each breach."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import msgspec
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from shoal import train
from shoal.errors import (
    DtypeError,
    InputError,
    InvalidRequestError,
    MalformedJsonError,
    MissingColumnError,
    PathError,
    UnexpectedColumnError,
)
from shoal.values import Column, Dtype

if TYPE_CHECKING:
    from pathlib import Path

TABLE = pa.table(
    {
        "age": [20, 30, 40, 30],
        "income": [1.5, float("inf"), None, 2.5],
        "city": ["Rome", "Oslo", "Rome", "Oslo"],
        "note": ["a", "b", "c", "d"],
        "born": pa.array([0, 1, 2, 3], pa.date32()),
        "seen": pa.array([0, 1, 2, 3], pa.timestamp("us")),
        "member": [True, False, True, False],
    }
)


@pytest.fixture
def schema(tmp_path: Path) -> train.Schema:
    return train.collect(TABLE, tmp_path / "first").schema


def changed(schema: train.Schema, name: str, **attributes: Any) -> train.Schema:
    columns = tuple(
        msgspec.structs.replace(column, **attributes) if column.name == name else column
        for column in schema.columns
    )
    return train.Schema(columns)


def test_a_schema_is_written_edited_and_read(schema: train.Schema, tmp_path: Path) -> None:
    path = tmp_path / "schema.json"
    schema.write(path)
    assert train.Schema.read(path) == schema
    path.write_text(path.read_text("utf-8").replace('"maximum": 40', '"maximum": 120'), "utf-8")
    assert train.Schema.read(path).column("age").maximum == 120


def test_records_that_keep_to_a_schema_give_a_dataset_of_that_schema(
    schema: train.Schema, tmp_path: Path
) -> None:
    wider = changed(schema, "age", minimum=0, maximum=120)
    dataset = train.collect(TABLE, tmp_path / "out", schema=wider)
    assert dataset.schema == wider
    dataset.verify()
    shuffled = TABLE.select(sorted(TABLE.schema.names))
    assert train.collect(shuffled, tmp_path / "other", schema=wider).digest == dataset.digest


@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet"])
@pytest.mark.parametrize("moment", ["2026-01-02 03:04:05", "2026-01-02T03:04:05Z"])
def test_a_schema_that_was_inferred_gives_the_same_dataset_again(
    tmp_path: Path, ending: str, moment: str
) -> None:
    path = tmp_path / f"a.{ending}"
    columns: dict[str, list[Any]] = {
        "n": [1, None, -3],
        "x": [0.5, 1e300, None],
        "flag": [True, None, False],
        "word": ["a", "a", None],
        "note": ["one ", "two", "three"],
        "day": ["2026-01-02", None, "1950-12-31"],
        "at": [moment, None, moment.replace("05", "05.25")],
        "nothing": [None, None, None],
    }
    rows = [
        dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)
    ]
    if ending == "csv":
        pd.DataFrame(columns).to_csv(path, index=False)
    elif ending == "jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    else:
        pq.write_table(pa.table(columns), path)
    first = train.collect(path, tmp_path / "first")
    again = train.collect(path, tmp_path / "again", schema=first.schema)
    assert again.digest == first.digest


@pytest.mark.parametrize(
    ("name", "attributes", "said"),
    [
        ("age", {"minimum": 25}, "row 0: column 'age' is 20, expected at least 25"),
        ("age", {"maximum": 35}, "row 2: column 'age' is 40, expected at most 35"),
        ("income", {"nullable": False}, "row 2: column 'income' is missing, expected a value"),
        ("income", {"infinite": False}, "row 1: column 'income' is inf, expected a finite number"),
        (
            "city",
            {"categories": ["Rome"]},
            "row 1: column 'city' is 'Oslo', expected one of 'Rome'",
        ),
        (
            "born",
            {"minimum": "1970-01-02"},
            "row 0: column 'born' is 1970-01-01, expected at least",
        ),
        ("seen", {"maximum": "1970-01-01T00:00:00.000002"}, "row 3: column 'seen' is 1970-01-01"),
    ],
)
def test_a_breach_names_column_row_and_rule(
    schema: train.Schema, tmp_path: Path, name: str, attributes: dict[str, Any], said: str
) -> None:
    with pytest.raises(InputError, match="not keep to the schema:") as caught:
        train.collect(TABLE, tmp_path / "out", schema=changed(schema, name, **attributes))
    assert said in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_bounds_do_not_count_for_infinite_numbers_and_missing_values(
    schema: train.Schema, tmp_path: Path
) -> None:
    assert (schema.column("income").minimum, schema.column("income").maximum) == (1.5, 2.5)
    train.collect(TABLE, tmp_path / "out", schema=schema)


def test_the_row_of_a_breach_is_that_of_the_file(schema: train.Schema, tmp_path: Path) -> None:
    text = "age\n" + "30\n" * 40_000 + "5\n" + "30\n" * 10 + "6\n"
    (tmp_path / "a.csv").write_text(text)
    only_age = train.Schema((schema.column("age"),))
    with pytest.raises(InputError) as caught:
        train.collect(tmp_path / "a.csv", tmp_path / "out", schema=only_age)
    lines = str(caught.value).splitlines()
    assert [line.partition(": column")[0] for line in lines[1:]] == [
        f"- {tmp_path}/a.csv, row 40000",
        f"- {tmp_path}/a.csv, row 40011",
    ]


def test_breaches_are_listed_up_to_a_limit(schema: train.Schema, tmp_path: Path) -> None:
    table = pa.table({"age": range(1000)})
    only_age = train.Schema((schema.column("age"),))
    with pytest.raises(InputError, match=r"20 values .*; there may be more") as caught:
        train.collect(table, tmp_path / "out", schema=only_age)
    assert len(str(caught.value).splitlines()) == 21


def test_columns_and_kinds_of_a_schema_are_compared(schema: train.Schema, tmp_path: Path) -> None:
    with pytest.raises(MissingColumnError, match="no column 'age', which the schema has"):
        train.collect(TABLE.drop_columns(["age"]), tmp_path / "out", schema=schema)
    more = TABLE.append_column("more", pa.array([1, 2, 3, 4]))
    with pytest.raises(UnexpectedColumnError, match="a column 'more'"):
        train.collect(more, tmp_path / "out", schema=schema)
    words = TABLE.set_column(0, "age", pa.array(["20", "30", "x", "30"]))
    with pytest.raises(DtypeError, match="row 2: column 'age' is 'x', expected integer"):
        train.collect(words, tmp_path / "out", schema=schema)
    empty = changed(schema, "age", kind="empty", minimum=None, maximum=None)
    with pytest.raises(DtypeError, match="'age' has values, expected none"):
        train.collect(TABLE, tmp_path / "out", schema=empty)


def test_the_schema_becomes_the_signature_of_a_package(schema: train.Schema) -> None:
    output = Column("probability", Dtype.FP32)
    signature = schema.signature([output], without=["note"])
    assert signature.outputs == (output,)
    assert signature.inputs == (
        Column("age", Dtype.FP32),
        Column("income", Dtype.FP32, nullable=True),
        Column("city", Dtype.BYTES),
        Column("born", Dtype.INT64),
        Column("seen", Dtype.INT64),
        Column("member", Dtype.FP32),
    )
    with pytest.raises(InvalidRequestError, match="no column 'z'"):
        schema.inputs(without=["z"])
    with pytest.raises(InvalidRequestError, match="no column is left"):
        schema.inputs(without=schema.names)


@pytest.mark.parametrize(
    "text",
    [
        '{"columns": []}',
        '{"columns": [{"name": "x", "kind": "number"}]}',
        '{"columns": [{"name": "x", "kind": "text", "minimum": 1}]}',
        '{"columns": [{"name": "x", "kind": "integer", "minimum": "low"}]}',
        '{"columns": [{"name": "x", "kind": "date", "minimum": "yesterday"}]}',
        '{"columns": [{"name": "x", "kind": "date", "minimum": 5}]}',
        '{"columns": [{"name": "x", "kind": "text", "categories": ["a"]}]}',
        '{"columns": [{"name": "x", "kind": "integer", "infinite": true}]}',
        '{"columns": [{"name": "x", "kind": "integer", "bits": 32}]}',
        '{"columns": [{"name": "x", "kind": "text"}, {"name": "x", "kind": "text"}]}',
        '{"columns": [{"name": "", "kind": "text"}]}',
        '{"columns": [{"name": "x", "kind": "text", "least": 1}]}',
        '{"columns": [{"name": "x", "kind": "text"}], "format": 2}',
    ],
)
def test_a_schema_that_means_nothing_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequestError):
        train.Schema.from_json(text)


def test_a_file_that_is_no_schema_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "schema.json"
    with pytest.raises(PathError):
        train.Schema.read(path)
    path.write_bytes(b"{\xff")
    with pytest.raises(MalformedJsonError):
        train.Schema.read(path)


def test_columns_of_text_are_categories_only_if_they_repeat(tmp_path: Path) -> None:
    many = [f"name {n}" for n in range(3000)]
    table = pa.table({"many": many, "few": ["a", "b", "c"] * 1000, "long": ["x" * 300] * 3000})
    schema = train.collect(table, tmp_path / "out").schema
    assert [column.kind for column in schema.columns] == ["text", "categorical", "text"]
    stated = train.Input(table, types={"few": "text"})
    assert train.collect(stated, tmp_path / "text").schema.column("few").kind == "text"
    too_many = train.Input(table, types={"many": "categorical"})
    with pytest.raises(DtypeError, match="'many' has more than 1000 categories"):
        train.collect(too_many, tmp_path / "many")
