"""Files become a dataset: kinds are told, columns get wider, and what does not go is named."""

from __future__ import annotations

import gzip
import json
import math
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from shoal import train
from shoal.errors import (
    DtypeError,
    DuplicateColumnError,
    InvalidRequestError,
    MissingColumnError,
    PathError,
    SourceError,
)

if TYPE_CHECKING:
    from pathlib import Path

# The types of a text file are those of its first block; these rows are more than one.
BLOCK_BYTES = 4 << 20


def written(directory: Path, name: str, text: str | bytes) -> Path:
    path = directory / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def kinds(dataset: train.Dataset) -> dict[str, str]:
    return {column.name: column.kind for column in dataset.schema.columns}


def rows_of(dataset: train.Dataset) -> list[dict[str, Any]]:
    dataset.verify()
    rows: list[dict[str, Any]] = dataset.to_table().to_pylist()
    return rows


def test_the_kinds_of_a_csv_file_are_told(tmp_path: Path) -> None:
    text = (
        "age,income,member,city,note,born,seen\n"
        "20,1.5,true,Rome,likes the sea,2001-02-03,2026-01-01 10:00:00\n"
        ",,,,,,\n"
        "35,2,false,Rome,knows the hills,1990-12-31,2026-01-02 11:30:00\n"
    )
    dataset = train.collect(written(tmp_path, "people.csv", text), tmp_path / "out")
    assert kinds(dataset) == {
        "age": "integer",
        "income": "float",
        "member": "boolean",
        "city": "categorical",
        "note": "text",
        "born": "date",
        "seen": "datetime",
    }
    assert all(column.nullable for column in dataset.schema.columns)
    assert dataset.schema.column("age").minimum == 20
    assert dataset.schema.column("city").categories == ("Rome",)
    assert dataset.schema.column("born").maximum == "2001-02-03"
    assert dataset.counts["age"].missing == 1
    first, empty, _ = rows_of(dataset)
    assert first["born"] == date(2001, 2, 3)
    assert first["seen"] == datetime(2026, 1, 1, 10)  # noqa: DTZ001 - the file states no zone
    assert set(empty.values()) == {None}


def test_all_formats_give_the_same_digest(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [{"n": n, "x": n / 4, "word": "ab"[n % 2]} for n in range(10)]
    places: list[Path] = []
    for name, between in (("a.csv", ","), ("a.tsv", "\t")):
        lines = [between.join(map(str, row.values())) for row in rows]
        places.append(written(tmp_path, name, "\n".join([between.join(rows[0]), *lines])))
    lines_of_json = "".join(json.dumps(row) + "\n" for row in rows)
    places.append(written(tmp_path, "a.jsonl", lines_of_json))
    places.append(written(tmp_path, "b.jsonl.gz", gzip.compress(lines_of_json.encode())))
    places.append(tmp_path / "a.parquet")
    pq.write_table(pa.Table.from_pylist(rows), places[-1], row_group_size=3)
    digests = {
        train.collect(place, tmp_path / f"out{number}").digest
        for number, place in enumerate(places)
    }
    assert len(digests) == 1


def test_several_files_are_read_in_the_order_of_their_names(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for number in (2, 1, 3):
        written(folder, f"{number}.csv", f"n\n{number}\n")
    dataset = train.collect(folder, tmp_path / "out")
    assert [row["n"] for row in rows_of(dataset)] == [1, 2, 3]
    assert dataset.lineage["inputs"][0]["file_count"] == 3
    only = train.collect(str(folder / "[13].csv"), tmp_path / "only")
    assert [row["n"] for row in rows_of(only)] == [1, 3]


def test_a_column_of_whole_numbers_may_go_on_with_fractions(tmp_path: Path) -> None:
    count = BLOCK_BYTES // 8
    lines = "".join(f"{n % 10},{n}\n" for n in range(count))
    path = written(tmp_path, "a.csv", f"x,n\n{lines}0.5,{count}\n")
    dataset = train.collect(path, tmp_path / "out")
    assert kinds(dataset) == {"x": "float", "n": "integer"}
    assert dataset.rows == count + 1
    assert dataset.schema.column("n").maximum == count
    dataset.verify()


def test_a_column_that_starts_empty_gets_the_kind_of_what_comes(tmp_path: Path) -> None:
    count = BLOCK_BYTES // 8
    lines = "".join(f",{n % 10:04}\n" for n in range(count))
    path = written(tmp_path, "a.csv", f"late,n\n{lines}2026-01-01,5\n")
    dataset = train.collect(path, tmp_path / "out")
    assert kinds(dataset)["late"] == "date"
    assert dataset.counts["late"].missing == count


def test_the_types_of_parquet_files_are_those_that_hold_all(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    pq.write_table(pa.table({"x": pa.array([1, 2], pa.int32())}), folder / "1.parquet")
    pq.write_table(pa.table({"x": [0.5]}), folder / "2.parquet")
    dataset = train.collect(folder, tmp_path / "out")
    assert [row["x"] for row in rows_of(dataset)] == [1.0, 2.0, 0.5]


def test_single_precision_stays_where_all_have_it(tmp_path: Path) -> None:
    table = pa.table({"x": pa.array([0.1, 0.2], pa.float32())})
    pq.write_table(table, tmp_path / "a.parquet")
    dataset = train.collect(tmp_path / "a.parquet", tmp_path / "out")
    assert dataset.schema.column("x").bits == 32
    assert dataset.to_table().column("x").equals(table.column("x"))


def test_nan_is_missing_and_infinite_numbers_are_kept_and_reported(tmp_path: Path) -> None:
    path = written(tmp_path, "a.csv", "x\n1.5\nNaN\ninf\n-inf\n")
    dataset = train.collect(path, tmp_path / "out")
    assert [row["x"] for row in rows_of(dataset)] == [1.5, None, math.inf, -math.inf]
    column = dataset.schema.column("x")
    assert (column.infinite, column.nullable) == (True, True)
    assert (column.minimum, column.maximum) == (1.5, 1.5)
    assert (dataset.counts["x"].infinite, dataset.counts["x"].missing) == (2, 1)


def test_a_column_without_any_value_is_kept_as_empty_and_refused_by_a_signature(
    tmp_path: Path,
) -> None:
    path = written(tmp_path, "a.csv", "x,nothing\n1,\n2,\n")
    dataset = train.collect(path, tmp_path / "out")
    assert kinds(dataset)["nothing"] == "empty"
    assert [row["nothing"] for row in rows_of(dataset)] == [None, None]
    with pytest.raises(DtypeError, match="'nothing' has no value in any record"):
        dataset.schema.inputs()
    assert [each.name for each in dataset.schema.inputs(without=["nothing"])] == ["x"]
    stated = train.Input(path, types={"nothing": "float"})
    assert kinds(train.collect(stated, tmp_path / "stated"))["nothing"] == "float"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("x\n1\n2\n?\n", r"row 2: column 'x' is '\?', while 2 of the 3 values"),
        ("x,y\n1,a\n2,b\n \n", "Expected 2 columns, got 1"),
        ("x\n" + "1234567\n" * (BLOCK_BYTES // 8) + "oops\n", "column 'x' is text, where"),
    ],
)
def test_a_value_or_line_that_does_not_go_is_named(tmp_path: Path, text: str, said: str) -> None:
    path = written(tmp_path, "a.csv", text)
    with pytest.raises(DtypeError, match=said) as caught:
        train.collect(path, tmp_path / "out")
    assert str(path) in str(caught.value)
    assert list(tmp_path.iterdir()) == [path]


def test_the_row_of_a_line_with_too_many_fields_is_told(tmp_path: Path) -> None:
    lines = [f"{n},{n}" for n in range(1000)]
    lines[700] += ",extra"
    path = written(tmp_path, "a.csv", "\n".join(["x,y", *lines]))
    with pytest.raises(DtypeError, match=r"a\.csv, row 700: .*Expected 2 columns, got 3"):
        train.collect(path, tmp_path / "out")


def test_texts_that_stand_for_a_missing_value_can_be_told(tmp_path: Path) -> None:
    path = written(tmp_path, "a.csv", "x,city\n 1.5 ,Rome\n?,-\n ,Rome\n2,Oslo\n")
    described = train.Input(path, types={"x": "float"}, missing=["?", "-"])
    rows = rows_of(train.collect(described, tmp_path / "out"))
    assert [row["x"] for row in rows] == [1.5, None, None, 2.0]
    assert [row["city"] for row in rows] == ["Rome", None, "Rome", "Oslo"]


def test_a_stated_kind_keeps_what_a_guess_would_lose(tmp_path: Path) -> None:
    path = written(tmp_path, "a.csv", "code,x\n007,1\n007,2\nA1,3\n")
    described = train.Input(path, types={"code": "categorical"})
    dataset = train.collect(described, tmp_path / "out")
    assert [row["code"] for row in rows_of(dataset)] == ["007", "007", "A1"]
    assert dataset.schema.column("code").categories == ("007", "A1")


def test_a_value_that_does_not_fit_its_stated_kind_is_named(tmp_path: Path) -> None:
    path = written(tmp_path, "a.csv", "x\n" + "1\n" * 50 + "many\n")
    described = train.Input(path, types={"x": "float"})
    with pytest.raises(DtypeError, match="row 50: column 'x' is 'many', expected float") as caught:
        train.collect(described, tmp_path / "out")
    assert "missing=" in str(caught.value.hint)


def test_mixed_types_in_json_lines_are_named(tmp_path: Path) -> None:
    path = written(tmp_path, "a.jsonl", '{"x": 1}\n{"x": 2}\n{"x": "three"}\n')
    with pytest.raises(DtypeError, match=r"a\.jsonl, row 2: column 'x' is text, where the"):
        train.collect(path, tmp_path / "out")


def test_text_that_is_not_utf_8_is_refused_with_its_row(tmp_path: Path) -> None:
    path = written(tmp_path, "a.csv", b"name,n\nann,1\nb\xe9a,2\n")
    with pytest.raises(DtypeError, match=r"a\.csv, row 1: .*(UTF8|UTF-8)"):
        train.collect(path, tmp_path / "out")


def test_a_header_that_is_not_utf_8_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path, "a.csv", "x,y\n1,2\n".encode("utf-16"))
    with pytest.raises(SourceError, match=r"a\.csv has a header that cannot be read"):
        train.collect(path, tmp_path / "out")


@pytest.mark.parametrize("text", ["", "x,y\n"])
def test_a_file_without_records_is_refused(tmp_path: Path, text: str) -> None:
    path = written(tmp_path, "a.csv", text)
    with pytest.raises(SourceError, match=r"a\.csv"):
        train.collect(path, tmp_path / "out")
    assert list(tmp_path.iterdir()) == [path]


def test_a_column_named_twice_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path, "a.csv", "x,y,x\n1,2,3\n")
    with pytest.raises(DuplicateColumnError, match="two columns 'x'"):
        train.collect(path, tmp_path / "out")
    path = written(tmp_path, "b.csv", "x,y\n1,2\n")
    with pytest.raises(DuplicateColumnError, match="two columns 'x'"):
        train.collect(train.Input(path, rename={"y": "x"}), tmp_path / "out")


def test_columns_are_taken_and_renamed(tmp_path: Path) -> None:
    path = written(tmp_path, "a.csv", "x,y,z\n1,2,3\n")
    described = train.Input(path, columns=["z", "x"], rename={"z": "height"})
    assert rows_of(train.collect(described, tmp_path / "out")) == [{"height": 3, "x": 1}]
    for wrong in (
        train.Input(path, columns=["w"]),
        train.Input(path, rename={"w": "x"}),
        train.Input(path, types={"w": "text"}),
    ):
        with pytest.raises(MissingColumnError, match="no column 'w'; there are x, y, z"):
            train.collect(wrong, tmp_path / "wrong")


def test_lists_and_structures_are_refused_by_name_unless_left_out(tmp_path: Path) -> None:
    path = written(tmp_path, "a.jsonl", '{"x": 1, "tags": ["a"]}\n')
    with pytest.raises(DtypeError, match="column 'tags' holds list"):
        train.collect(path, tmp_path / "out")
    assert rows_of(train.collect(train.Input(path, columns=["x"]), tmp_path / "out")) == [{"x": 1}]


def test_moments_with_a_zone_are_kept_in_utc(tmp_path: Path) -> None:
    moment = datetime(2026, 3, 1, 12, tzinfo=UTC)
    column = pa.array([moment], pa.timestamp("ns", "America/New_York"))
    pq.write_table(pa.table({"at": column}), tmp_path / "a.parquet")
    dataset = train.collect(tmp_path / "a.parquet", tmp_path / "out")
    assert rows_of(dataset) == [{"at": moment.replace(tzinfo=None)}]


def test_a_place_without_files_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PathError):
        train.collect(tmp_path / "none.csv", tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_a_column_without_a_name_is_refused_unless_left_out_or_named(tmp_path: Path) -> None:
    path = written(tmp_path, "a.csv", ",x\n0,1.5\n")
    with pytest.raises(InvalidRequestError, match="a column without a name"):
        train.collect(path, tmp_path / "out")
    only = train.Input(path, columns=["x"])
    assert rows_of(train.collect(only, tmp_path / "only")) == [{"x": 1.5}]
    named = train.Input(path, rename={"": "index"})
    assert rows_of(train.collect(named, tmp_path / "named")) == [{"index": 0, "x": 1.5}]


def test_a_dataset_is_not_collected_into_a_store(tmp_path: Path) -> None:
    path = written(tmp_path, "a.csv", "x\n1\n")
    with pytest.raises(InvalidRequestError, match="s3://bucket/out"):
        train.collect(path, "s3://bucket/out")
