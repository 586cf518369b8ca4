"""Several inputs become one by their keys: each record of the first finds at most one of theirs."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import duckdb
import numpy as np
import pyarrow as pa
import pytest

from shoal import train
from shoal.errors import (
    DtypeError,
    DuplicateColumnError,
    InputError,
    InvalidRequestError,
    MissingColumnError,
)

if TYPE_CHECKING:
    from pathlib import Path

FIRST = pa.table({"id": [3, 1, None, 2, 1], "x": [0, 1, 2, 3, 4]})
OTHER = pa.table({"id": [1, 2, None], "city": ["Rome", "Oslo", "nowhere"]})


def rows_of(dataset: train.Dataset) -> list[dict[str, Any]]:
    dataset.verify()
    rows: list[dict[str, Any]] = dataset.to_table().to_pylist()
    return rows


def test_a_left_join_keeps_every_record_of_the_first_input(tmp_path: Path) -> None:
    dataset = train.collect([FIRST, OTHER], tmp_path / "out", join=train.Join("id"))
    assert [(row["x"], row["city"]) for row in rows_of(dataset)] == [
        (0, None),
        (1, "Rome"),
        (2, None),
        (3, "Oslo"),
        (4, "Rome"),
    ]
    assert dataset.schema.column("city").nullable
    assert dataset.lineage["inputs"][1]["matched"] == 3
    assert dataset.lineage["join"] == {"on": ["id"], "how": "left"}


def test_an_inner_join_keeps_the_records_that_have_a_match_everywhere(tmp_path: Path) -> None:
    third = pa.table({"id": [2, 3], "score": [0.5, 0.25]})
    inputs = [FIRST, OTHER, third]
    dataset = train.collect(inputs, tmp_path / "out", join=train.Join("id", "inner"))
    assert rows_of(dataset) == [{"id": 2, "x": 3, "city": "Oslo", "score": 0.5}]


def test_nothing_left_by_an_inner_join_is_refused(tmp_path: Path) -> None:
    other = pa.table({"id": [7], "city": ["Rome"]})
    with pytest.raises(InputError, match="no record of the first input has a match"):
        train.collect([FIRST, other], tmp_path / "out", join=train.Join("id", "inner"))
    assert list(tmp_path.iterdir()) == []


def test_a_key_of_several_columns_of_any_kind(tmp_path: Path) -> None:
    days = pa.array([0, 1], pa.date32())
    moments = pa.array([5, 6], pa.timestamp("us"))
    keys = {"day": days, "at": moments, "word": ["a", "b"], "flag": [True, False]}
    first = pa.table({**keys, "x": [1, 2]})
    other = pa.table({**keys, "y": [10, 20]}).slice(1)
    dataset = train.collect([first, other], tmp_path / "out", join=train.Join([*keys]))
    assert [row["y"] for row in rows_of(dataset)] == [None, 20]


@pytest.mark.parametrize("how", ["left", "inner"])
def test_a_join_of_many_batches_agrees_with_a_database(tmp_path: Path, how: str) -> None:
    chance = random.Random(how)
    rows, others = 50_000, 40_000
    keys = [
        chance.choice([None, *[chance.randrange(60_000) for _ in range(9)]]) for _ in range(rows)
    ]
    first = pa.table({"key": keys, "n": range(rows)})
    ids = chance.sample(range(60_000), others)
    other = pa.table({"key": ids, "word": [f"w{each}" if each % 3 else None for each in ids]})
    dataset = train.collect([first, other], tmp_path / "out", join=train.Join("key", how))
    query = f"select n, word from first {how} join other using (key) order by n"
    expected = duckdb.execute(query).fetchall()
    found = dataset.to_table(columns=["n", "word"]).to_pydict()
    assert list(zip(found["n"], found["word"], strict=True)) == expected


def test_a_key_that_comes_twice_is_refused_by_its_value(tmp_path: Path) -> None:
    (tmp_path / "b.csv").write_text("id,city\n7,Rome\n8,Oslo\n7,Bern\n")
    with pytest.raises(InputError, match=r"b\.csv, row 2: key id = 7 comes a second time"):
        train.collect([FIRST, tmp_path / "b.csv"], tmp_path / "out", join=train.Join("id"))
    assert [path.name for path in tmp_path.iterdir()] == ["b.csv"]


def test_a_key_that_an_input_lacks_is_refused_by_name(tmp_path: Path) -> None:
    described = train.Input(OTHER.rename_columns(["customer", "city"]), name="cities")
    with pytest.raises(MissingColumnError, match="cities has no column 'id'"):
        train.collect([FIRST, described], tmp_path / "out", join=train.Join("id"))
    with pytest.raises(MissingColumnError, match="the table has no column 'customer'"):
        train.collect([FIRST, described], tmp_path / "out", join=train.Join("customer"))
    renamed = train.Input(described.source, rename={"customer": "id"})
    assert train.collect([FIRST, renamed], tmp_path / "out", join=train.Join("id")).rows == 5


def test_keys_of_different_kinds_are_refused_and_can_be_stated(tmp_path: Path) -> None:
    other = pa.table({"id": ["1", "2"], "city": ["Rome", "Oslo"]})
    with pytest.raises(DtypeError, match="key 'id' is integer in the table and text in"):
        train.collect([FIRST, other], tmp_path / "out", join=train.Join("id"))
    as_text = train.Input(FIRST, types={"id": "text"})
    dataset = train.collect([as_text, other], tmp_path / "out", join=train.Join("id"))
    assert [row["city"] for row in rows_of(dataset)] == [None, "Rome", None, "Oslo", "Rome"]


def test_a_key_with_fractions_is_refused(tmp_path: Path) -> None:
    first = {"id": np.array([1.0, 2.0])}
    with pytest.raises(DtypeError, match="key 'id' of the table is float"):
        train.collect([first, OTHER], tmp_path / "out", join=train.Join("id"))


def test_a_column_that_two_inputs_have_is_refused_by_name(tmp_path: Path) -> None:
    other = pa.table({"id": [1], "x": [9]})
    with pytest.raises(DuplicateColumnError, match="both have a column 'x'"):
        train.collect([FIRST, other], tmp_path / "out", join=train.Join("id"))


def test_several_inputs_need_a_join_and_one_needs_none(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequestError, match="2 inputs were given without a join"):
        train.collect([FIRST, OTHER], tmp_path / "out")
    with pytest.raises(InvalidRequestError, match="1 inputs were given with a join"):
        train.collect(FIRST, tmp_path / "out", join=train.Join("id"))
    with pytest.raises(InvalidRequestError, match="how is 'outer'"):
        train.collect([FIRST, OTHER], tmp_path / "out", join=train.Join("id", "outer"))
    with pytest.raises(InvalidRequestError, match="no input was given"):
        train.collect([], tmp_path / "out")


def test_a_joined_input_that_gets_wider_is_read_again(tmp_path: Path) -> None:
    lines = "".join(f"{n},{n % 7}\n" for n in range(600_000))
    (tmp_path / "b.csv").write_text(f"id,y\n{lines}600000,0.5\n")
    first = pa.table({"id": [600_000, 5]})
    dataset = train.collect([first, tmp_path / "b.csv"], tmp_path / "out", join=train.Join("id"))
    assert [row["y"] for row in rows_of(dataset)] == [0.5, 5.0]
