"""A dataset has one digest, whatever its files look like; one value that is changed is found."""

from __future__ import annotations

import json
import math
import shutil
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal import train
from shoal.errors import (
    ConflictError,
    CorruptPackageError,
    InvalidRequestError,
    MissingColumnError,
    PathError,
)
from shoal.train._collect import _parts
from shoal.train._collect._content import ContentDigest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

ROWS = 1000
TABLE = pa.table(
    {
        "n": [None if n % 10 == 0 else n for n in range(ROWS)],
        "x": [n / 8 for n in range(ROWS)],
        "flag": [n % 3 == 0 for n in range(ROWS)],
        "word": [None if n % 7 == 0 else "é" * (n % 5) for n in range(ROWS)],
        "day": pa.array(range(ROWS), pa.int32()).cast(pa.date32()),
        "at": pa.array(range(ROWS), pa.int64()).cast(pa.timestamp("us")),
        "nothing": pa.nulls(ROWS),
    }
)


@pytest.fixture
def dataset(tmp_path: Path) -> train.Dataset:
    return train.collect(TABLE, tmp_path / "out")


def rewritten(dataset: train.Dataset, change: Callable[[pa.Table], pa.Table], **how: Any) -> None:
    """Writes the only part anew, as another program would."""
    part = dataset.path / _parts.name_of(0)
    pq.write_table(change(pq.read_table(part)), part, **how)


def test_the_digest_is_the_same_on_every_machine(dataset: train.Dataset) -> None:
    assert dataset.digest == (
        "sha256:2d55d1586b0d03a221cc3dbb3ab07df9d43cae6abc9a7f5b6e8afa0f7e5d9146"
    )


def test_a_dataset_is_read_as_it_was_collected(dataset: train.Dataset) -> None:
    again = train.open_dataset(dataset.path)
    assert (again.digest, again.rows, again.schema) == (dataset.digest, ROWS, dataset.schema)
    again.verify()
    assert again.to_table().to_pydict() == TABLE.to_pydict()
    assert again.lineage["inputs"][0]["rows"] == ROWS
    assert str(ROWS) in repr(again)


def test_the_digest_does_not_depend_on_how_parquet_stores_the_values(
    dataset: train.Dataset,
) -> None:
    rewritten(
        dataset, lambda table: table, row_group_size=7, compression="gzip", use_dictionary=False
    )
    dataset.verify()


def test_the_digest_does_not_depend_on_the_sizes_of_parts(
    dataset: train.Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_parts, "ROW_GROUP_BYTES", 1)
    monkeypatch.setattr(_parts, "PART_BYTES", 1)
    monkeypatch.setattr("shoal.train._collect._table_reader.ROWS", 70)
    other = train.collect(TABLE, tmp_path / "other")
    assert len(list((other.path / "data").iterdir())) > 10
    assert other.digest == dataset.digest
    other.verify()
    assert other.to_table().equals(dataset.to_table())


@pytest.mark.parametrize("name", TABLE.schema.names[:-1])
@pytest.mark.parametrize("row", [0, 500, ROWS - 1])
def test_one_value_that_is_changed_is_found(dataset: train.Dataset, name: str, row: int) -> None:
    others = {"n": 3, "x": math.inf, "flag": None, "word": "e", "day": None, "at": None}

    def change(table: pa.Table) -> pa.Table:
        values = table.column(name).to_pylist()
        assert values[row] != others[name]
        values[row] = others[name]
        kind = table.schema.field(name).type
        return table.set_column(table.schema.get_field_index(name), name, pa.array(values, kind))

    rewritten(dataset, change)
    with pytest.raises(CorruptPackageError, match="holds records of the digest sha256:"):
        dataset.verify()


def test_records_in_another_order_are_found(dataset: train.Dataset) -> None:
    rewritten(dataset, lambda table: table.take(list(reversed(range(ROWS)))))
    with pytest.raises(CorruptPackageError):
        dataset.verify()


def test_a_schema_that_is_edited_in_place_is_found(dataset: train.Dataset) -> None:
    path = dataset.path / "schema.json"
    path.write_text(path.read_text("utf-8").replace('"maximum": 999', '"maximum": 1000'), "utf-8")
    with pytest.raises(CorruptPackageError):
        train.open_dataset(dataset.path).verify()


texts = st.text(max_size=3) | st.none()


@given(values=st.lists(texts, min_size=1, max_size=20), cuts=st.sets(st.integers(0, 20)))
def test_values_are_told_apart_and_cuts_are_not(values: list[str | None], cuts: set[int]) -> None:
    def digest(texts: list[str | None], ends: set[int]) -> str:
        column = pa.array(texts, pa.string())
        batch = pa.record_batch({"x": column})
        content = ContentDigest(batch.schema)
        places = sorted({0, *(end for end in ends if end < len(texts)), len(texts)})
        for start, end in pairwise(places):
            content.update(batch.slice(start, end - start))
        return content.of_values()

    assert digest(values, cuts) == digest(values, set())
    for row, value in enumerate(values):
        other = [*values]
        other[row] = "" if value is None else None
        assert digest(other, cuts) != digest(values, set())
    moved = [f"{values[0] or ''}a", *values[1:], "b"]
    assert digest(moved, set()) != digest([values[0] or "", *values[1:], "ab"], set())


@pytest.mark.parametrize("rows", [1, 7, 333, ROWS, ROWS + 1])
def test_batches_have_as_many_rows_as_asked_for(dataset: train.Dataset, rows: int) -> None:
    rewritten(dataset, lambda table: table, row_group_size=100)
    batches = list(dataset.batches(columns=["x", "n"], rows=rows))
    assert [batch.num_rows for batch in batches[:-1]] == [rows] * (len(batches) - 1)
    assert pa.Table.from_batches(batches).equals(dataset.to_table(columns=["x", "n"]))


def test_what_a_dataset_cannot_give_is_refused(dataset: train.Dataset) -> None:
    with pytest.raises(MissingColumnError, match="no column 'z'; there are n, x"):
        dataset.batches(columns=["z"])
    with pytest.raises(InvalidRequestError, match="0 rows"):
        dataset.batches(rows=0)
    with pytest.raises(InvalidRequestError, match="more than 100 bytes"):
        dataset.to_table(limit_bytes=100)
    assert dataset.to_table(columns=["x"], limit_bytes=1 << 20).num_rows == ROWS


def test_what_is_no_dataset_is_refused(dataset: train.Dataset, tmp_path: Path) -> None:
    with pytest.raises(PathError):
        train.open_dataset(tmp_path / "nowhere")
    with pytest.raises(CorruptPackageError, match="is no dataset"):
        train.open_dataset(tmp_path)
    for name in ("dataset.json", "schema.json", "lineage.json"):
        broken = tmp_path / name
        shutil.copytree(dataset.path, broken)
        (broken / name).write_text('{"format": ')
        with pytest.raises(CorruptPackageError, match="is no dataset"):
            train.open_dataset(broken)
    document = json.loads((dataset.path / "dataset.json").read_bytes())
    newer = {**document, "format": 2}
    (dataset.path / "dataset.json").write_text(json.dumps(newer))
    with pytest.raises(CorruptPackageError, match="format 2"):
        train.open_dataset(dataset.path)


def test_a_part_that_is_missing_or_broken_is_refused(dataset: train.Dataset) -> None:
    part = dataset.path / _parts.name_of(0)
    whole = part.read_bytes()
    rewritten(dataset, lambda table: table.slice(1))
    with pytest.raises(CorruptPackageError, match="not as the schema says"):
        dataset.verify()
    part.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(CorruptPackageError, match="cannot be read"):
        dataset.verify()
    part.unlink()
    with pytest.raises(CorruptPackageError, match="cannot be read"):
        dataset.verify()


def test_a_place_that_holds_something_is_refused_before_anything_is_read(
    dataset: train.Dataset, tmp_path: Path
) -> None:
    with pytest.raises(ConflictError, match="exists"):
        train.collect(tmp_path / "not-even-there.csv", dataset.path)
    dataset.verify()
    empty = tmp_path / "empty"
    empty.mkdir()
    assert train.collect(TABLE, empty).digest == dataset.digest
