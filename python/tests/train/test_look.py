"""A look finds the mistakes that were planted, and nothing in clean noise."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from shoal import train
from shoal.errors import (
    DtypeError,
    DuplicateColumnError,
    InvalidRequestError,
    MalformedJsonError,
    MissingColumnError,
    PathError,
)
from tests.train.tables import ROWS, has_left, hostile, mixed, noise, with_gaps

if TYPE_CHECKING:
    from pathlib import Path


def kinds_of(look: train.Look) -> set[tuple[str, tuple[str, ...]]]:
    return {(finding.kind, finding.columns) for finding in look.findings}


def suspected(look: train.Look) -> dict[str, str]:
    return {suspect.column: suspect.kind for suspect in look.suspects}


@pytest.fixture(scope="module")
def planted() -> train.Look:
    return train.look(mixed(), target="left")


@pytest.mark.parametrize("rows", [60, 300, ROWS])
@pytest.mark.parametrize("seed", range(4))
def test_nothing_is_found_in_clean_noise(seed: int, rows: int) -> None:
    table = pa.table(noise(seed, rows))
    for target in ("left", "price", None):
        look = train.look(table, target=target)
        found = [each for each in look.findings if each.kind != "imbalance" or rows > 60]
        assert (look.suspects, found, look.notes) == ((), [], ())
        assert look.together == ()
    if rows == ROWS:
        assert max(each.power or 0.0 for each in train.look(table, target="left").columns) < 0.15


def test_every_planted_leak_is_named(planted: train.Look) -> None:
    assert suspected(planted) == {
        "gone": "renames_target",
        "reason": "missing_tells_target",
        "months_left": "predicts_target",
        "customer": "identifier",
    }
    assert planted.suspects[0].column == "gone"
    assert all(0.9 < suspect.strength <= 1 for suspect in planted.suspects)
    assert train.suspects(mixed(), "left") == planted.suspects


def test_every_planted_mistake_is_found(planted: train.Look) -> None:
    found = kinds_of(planted)
    assert found == {
        ("outliers", ("price",)),
        ("drift", ("calls",)),
        ("ordered", ("customer",)),
        ("mostly_missing", ("reason",)),
        ("missing_together", ("income", "tax")),
        ("mixed", ("spent",)),
        ("infinite", ("rate",)),
        ("constant", ("land",)),
        ("empty", ("nothing",)),
        ("repeated", ()),
    }
    assert planted.repeats.repeated == 5
    assert planted.repeats.examples == tuple((10 + n, ROWS + n) for n in range(5))
    assert planted.repeats.ignored == ("customer",)
    price = planted.column("price")
    assert price.outliers is not None
    assert price.outliers.records == 1
    assert price.histogram is not None
    assert price.histogram.above == 1
    assert planted.column("spent").among_numbers == ("?",)
    (calls,) = [drift for drift in planted.drifts if drift.column == "calls"]
    assert calls == planted.drifts[0]
    assert "median" in calls.change


def test_an_innocent_column_that_predicts_well_is_no_copy_of_the_target() -> None:
    columns = noise(5)
    left = has_left(columns)
    rng = np.random.default_rng(5)
    columns["strong"] = left + rng.normal(scale=0.4, size=ROWS)
    columns["nearly"] = np.where(rng.random(ROWS) < 0.01, ~left, left)
    columns["code"] = np.where(left, "z", columns["city"].to_pylist())
    look = train.look(pa.table(columns), target="left")
    found = suspected(look)
    assert "strong" not in found
    assert found.get("nearly") in {None, "predicts_target"}
    assert found["code"] == "predicts_target"
    powers = {column.name: column.power or 0.0 for column in look.columns}
    assert 0.8 < powers["strong"] < 0.98 < powers["code"]
    assert powers["price"] < 0.2


def test_a_copy_of_a_number_is_told_from_a_strong_column() -> None:
    columns = noise(6)
    price = columns["price"]
    rng = np.random.default_rng(6)
    columns["again"] = with_gaps(price, rng.random(ROWS) < 0.3)
    columns["in_cents"] = np.round(price * -100, 9)
    columns["close"] = price + rng.normal(scale=0.5, size=ROWS)
    columns["related"] = price + rng.normal(scale=20, size=ROWS)
    columns["paid"] = with_gaps(rng.normal(size=ROWS), price < 90)
    found = suspected(train.look(pa.table(columns), target="price"))
    assert found == {
        "again": "equals_target",
        "in_cents": "renames_target",
        "close": "predicts_target",
        "paid": "missing_tells_target",
    }


def test_a_value_that_is_there_in_one_class_only_tells_it() -> None:
    columns = noise(7)
    left = has_left(columns)
    rng = np.random.default_rng(7)
    columns["reason"] = with_gaps(rng.normal(size=ROWS), ~left | (rng.random(ROWS) < 0.7))
    columns["gaps_of_some"] = with_gaps(
        rng.normal(size=ROWS), rng.random(ROWS) < np.where(left, 0.5, 0.3)
    )
    look = train.look(pa.table(columns), target="left")
    assert suspected(look) == {"reason": "missing_tells_target"}
    assert "where it has a value" in look.suspects[0].why
    assert 0.1 < (look.column("gaps_of_some").missing_power or 0.0) < 0.3


@pytest.mark.parametrize(
    ("values", "is_identifier"),
    [
        (np.arange(500), True),
        (np.random.default_rng(0).permutation(500) + 70_000.0, True),
        ([f"c-{n * 7919 % 500:04}" for n in range(500)], True),
        (np.random.default_rng(0).integers(0, 10**12, 500), False),
        (np.random.default_rng(0).integers(0, 600, 500), False),
        (np.random.default_rng(0).normal(size=500), False),
        ([f"a letter about {n}" for n in range(500)], False),
    ],
)
def test_what_numbers_the_records_is_an_identifier(values: Any, is_identifier: bool) -> None:  # noqa: FBT001 - a parameter of the test
    table = pa.table({"key": values, "y": [n % 3 == 0 for n in range(500)]})
    found = [each.kind for each in train.suspects(table, "y") if each.column == "key"]
    assert ("identifier" in found) == is_identifier


def test_copies_of_records_hide_no_identifier() -> None:
    columns = noise(16, 300)
    columns["key"] = [f"k{n:05}" for n in range(300)]
    table = pa.table(columns)
    look = train.look(pa.concat_tables([table, table.slice(0, 40)]), target="left")
    assert suspected(look) == {"key": "identifier"}
    assert look.repeats.repeated == 40


def test_contradictory_records_are_found() -> None:
    columns = noise(8)
    table = pa.table(columns)
    other = np.where(has_left(columns), "no", "yes")[:7]
    turned = table.slice(0, 7).set_column(0, "left", pa.array(other))
    look = train.look(pa.concat_tables([table, turned]), target="left")
    assert kinds_of(look) == {("contradictory", ("left",))}
    assert look.repeats.contradictory == 14
    assert look.repeats.contradictions == tuple((n, ROWS + n) for n in range(7))


def test_few_categories_that_repeat_by_chance_are_no_mistake() -> None:
    rng = np.random.default_rng(9)
    table = pa.table({name: rng.choice(["a", "b", "c"], ROWS) for name in ("x", "y", "z")})
    look = train.look(table, target="z")
    assert look.repeats.repeated > ROWS / 2
    assert look.findings == ()


def test_drift_between_sources_is_found() -> None:
    old, new, moved = (pa.table(noise(seed)) for seed in (1, 2, 3))
    city = pa.array(np.random.default_rng(0).choice(["Oslo", "Rome"], ROWS, p=[0.9, 0.1]))
    moved = moved.set_column(moved.schema.get_field_index("city"), "city", city)
    look = train.look({"old": old, "new": new, "moved": moved}, target="left")
    assert [(part.name, part.records) for part in look.parts] == [
        ("old", ROWS),
        ("new", ROWS),
        ("moved", ROWS),
    ]
    assert kinds_of(look) == {("drift", ("city",))}
    assert (look.drifts[0].column, look.drifts[0].part) == ("city", "moved")
    assert "Oslo" in look.drifts[0].change
    assert look.records == 3 * ROWS


def test_a_rare_class_is_found() -> None:
    columns = noise(10)
    columns["left"] = ["rare" if n % 400 == 0 else "usual" for n in range(ROWS)]
    look = train.look(pa.table(columns), target="left")
    assert kinds_of(look) == {("imbalance", ("left",))}
    assert [(each.value, each.records) for each in look.classes] == [
        ("usual", ROWS - 5),
        ("rare", 5),
    ]


def test_the_order_of_records_changes_nothing_but_what_is_said_of_it(planted: train.Look) -> None:
    table = mixed()
    order = np.random.default_rng(11).permutation(table.num_rows)
    other = train.look(table.take(pa.array(order)), target="left")
    said_of_order = {"ordered", "drift"}
    for one, two in zip(
        (each for each in planted.findings if each.kind not in said_of_order),
        (each for each in other.findings if each.kind not in said_of_order),
        strict=True,
    ):
        assert one == two
    without: dict[str, Any] = {"findings": (), "drifts": (), "repeats": None}
    assert msgspec.structs.replace(other, **without) == msgspec.structs.replace(planted, **without)
    assert other.repeats.repeated == planted.repeats.repeated


def test_the_same_seed_gives_the_same_look_and_a_sample_says_so() -> None:
    table = pa.table(noise(12))
    settings = train.LookSettings(sample_rows=500, seed=3)
    look = train.look(table, target="left", settings=settings)
    assert look == train.look(table, target="left", settings=settings)
    assert (look.sample.records, look.sample.is_all, look.sample.seed) == (500, False, 3)
    other = train.look(table, target="left", settings=train.LookSettings(sample_rows=500, seed=4))
    assert other.column("price").quantiles != look.column("price").quantiles
    assert other.column("price").mean == look.column("price").mean


def test_rare_outliers_and_copies_are_found_though_the_sample_misses_them() -> None:
    table = mixed()
    settings = train.LookSettings(sample_rows=300, seed=1)
    look = train.look(table, target="left", settings=settings)
    price = look.column("price")
    assert price.outliers is not None
    assert price.outliers.records == 1
    assert look.repeats.repeated == 5
    assert sum(each.records for each in look.classes) == table.num_rows


def test_a_look_is_the_same_after_json(planted: train.Look) -> None:
    for look in (planted, train.look(hostile(), target="left"), train.look(mixed(60))):
        text = look.to_json()
        assert train.Look.from_json(text) == look
        assert b"NaN" not in text
        assert all(math.isfinite(number) for number in numbers_in(msgspec.json.decode(text)))


def numbers_in(value: Any) -> list[float]:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        return [number for each in value for number in numbers_in(each)]
    return [value] if isinstance(value, int | float) else []


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("{", MalformedJsonError),
        ("{}", InvalidRequestError),
        (b"\xff", MalformedJsonError),
    ],
)
def test_what_is_no_look_is_refused(text: str | bytes, error: type[Exception]) -> None:
    with pytest.raises(error):
        train.Look.from_json(text)
    newer = train.look(mixed(60)).to_json().replace(b'"format":1', b'"format":2')
    with pytest.raises(InvalidRequestError, match="format 2"):
        train.Look.from_json(newer)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (pa.nulls(100), "has no value in any record"),
        (pa.nulls(100, pa.float64()), "has no value in any record"),
        (pa.array([float("nan")] * 100), "has no value in any record"),
        (pa.array(["one"] * 100), "has one value only, 'one'"),
        (pa.array([1.5] + [math.inf] * 99), "has one finite value only"),
        (pa.array([f"word{n}" for n in range(100)] + ["last"]), "too many for classes"),
        (pa.array([[n] for n in range(100)]), "is neither a number nor a class"),
        (pa.array(range(100), pa.int32()).cast(pa.date32()), "is neither a number nor a class"),
    ],
)
def test_a_target_that_cannot_be_predicted_is_said(values: pa.Array, said: str) -> None:
    table = pa.table({"y": values, "id": range(len(values))})
    look = train.look(table, target="y")
    assert look.task is None
    assert said in look.notes[0]
    assert suspected(look) == {"id": "identifier"}
    assert train.suspects(table, "y") == look.suspects
    assert said in train.to_html(look).replace("&#39;", "'")


def test_records_without_a_target_are_left_out_and_counted() -> None:
    columns = noise(13)
    left = [None if n % 4 == 0 else value for n, value in enumerate(columns["left"].to_pylist())]
    columns["left"] = pa.array(left)
    look = train.look(pa.table(columns), target="left")
    assert look.notes == (f"{ROWS // 4} records have no target: nothing is learned from them.",)
    found = look.column("price").association
    assert found is not None
    assert found.records == ROWS - ROWS // 4


def test_whole_numbers_of_many_values_are_numbers_and_that_is_said() -> None:
    columns = noise(14)
    columns["age"] = np.random.default_rng(14).integers(18, 90, ROWS)
    look = train.look(pa.table(columns), target="age")
    assert look.task == "regression"
    assert "make it a float" in look.notes[0]
    assert train.look(pa.table(columns), target="calls").task == "classification"


def test_a_column_that_nothing_is_done_with_is_counted() -> None:
    lists = pa.array([None if n % 2 else [n] for n in range(100)])
    look = train.look(pa.table({"lists": lists, "y": [n % 3 for n in range(100)]}), target="y")
    assert (look.column("lists").kind, look.column("lists").missing) == ("other", 50)
    assert ("other_type", ("lists",)) in kinds_of(look)


def test_what_cannot_be_looked_at_is_named() -> None:
    table = pa.table({"a": [1, 2], "b": ["x", "y"]})
    for call in (
        lambda: train.look(table, target="none"),
        lambda: train.suspects(table, "none"),
        lambda: train.look({"one": table, "other": table.drop_columns("b")}),
    ):
        with pytest.raises(MissingColumnError, match="no column"):
            call()
    with pytest.raises(DtypeError, match="'b' is integer in other, text in one"):
        train.look({"one": table, "other": pa.table({"a": [1], "b": [2]})})
    with pytest.raises(DuplicateColumnError, match="two columns 'a'"):
        train.look(pa.table([[1], [2]], names=["a", "a"]))
    empty: tuple[Any, ...] = (table.slice(0, 0), pa.table({}), {})
    for nothing in empty:
        with pytest.raises(InvalidRequestError, match="expected at least one"):
            train.look(nothing)
    with pytest.raises(InvalidRequestError, match="of type list"):
        train.look([1, 2])
    with pytest.raises(DtypeError, match="'n' of the records cannot be read"):
        train.look(pa.table({"n": pa.array([2**64 - 1], pa.uint64())}))
    with pytest.raises(InvalidRequestError, match="sample_rows is 0"):
        train.LookSettings(sample_rows=0)


def test_a_dataset_a_folder_and_a_file_are_looked_at_as_their_table(tmp_path: Path) -> None:
    table = pa.table(noise(15))
    pq.write_table(table, tmp_path / "noise.parquet")
    dataset = train.collect(tmp_path / "noise.parquet", tmp_path / "noise")
    expected = msgspec.structs.replace(train.look(table, target="left"), name="noise")
    assert train.look(dataset, target="left") == expected
    assert train.look(tmp_path / "noise", target="left") == expected
    kept = dataset.keep(tmp_path / "kept", name="noise", version="1")
    assert train.look(kept.path, target="left").columns == expected.columns
    file = train.look(str(tmp_path / "noise.parquet"), target="left")
    assert file == msgspec.structs.replace(expected, name="noise.parquet")
    batch = table.combine_chunks().to_batches()[0]
    assert train.look(batch, target="left").columns == expected.columns


def test_a_csv_file_that_mixes_kinds_is_looked_at_all_the_same(tmp_path: Path) -> None:
    table = mixed().drop_columns(["nothing"])
    pa.csv.write_csv(table, tmp_path / "mixed.csv")
    with pytest.raises(DtypeError):
        train.collect(tmp_path / "mixed.csv", tmp_path / "refused")
    look = train.look(tmp_path / "mixed.csv", target="left")
    assert ("mixed", ("spent",)) in kinds_of(look)
    kinds = {column.name: column.kind for column in look.columns}
    assert kinds["price"] == "float"
    assert kinds["calls"] == "integer"
    assert kinds["since"] == "date"
    assert kinds["gone"] == "boolean"
    assert kinds["city"] == "categorical"
    with pytest.raises(PathError, match="there is nothing at"):
        train.look(tmp_path / "none.csv")


def answer_of(program: str) -> str:
    command = [sys.executable, "-c", program]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def test_reading_a_look_loads_none_of_the_libraries_that_made_it() -> None:
    program = "import json, sys; from shoal.train import Look; print(json.dumps(list(sys.modules)))"
    assert not {"pandas", "scipy", "sklearn", "matplotlib"} & set(json.loads(answer_of(program)))


@pytest.mark.parametrize("library", ["pandas", "scipy", "sklearn"])
def test_a_missing_library_is_named(library: str) -> None:
    program = f"""
import sys
sys.modules[{library!r}] = None
from shoal import train
from shoal.errors import RequirementError
try:
    train.look
except RequirementError as error:
    print(error, "|", error.hint)
"""
    said = f"data is looked at by the package {library}, which is not installed"
    assert answer_of(program) == f"{said} | pip install 'shoal[train]'"


def test_a_password_in_an_address_is_in_no_name() -> None:
    from shoal.train._look._read._records import _name_of

    assert _name_of("s3://key:secret@bucket/in/records.csv") == "records.csv"
    assert "secret" not in _name_of("s3://key:secret@bucket")
