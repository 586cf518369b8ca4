from __future__ import annotations

import math
from typing import Any

import pyarrow as pa
import pytest

from shoal import batch
from shoal.batch import Merge, Merges, merge
from shoal.errors import DtypeError, InvalidRequestError

SALES = [
    [{"who": "ann", "price": 5, "item": "pen"}, {"who": "bob", "price": 9, "item": "hat"}],
    [{"who": "cid", "price": 5, "item": "cup"}, {"who": "dan", "price": None, "item": "map"}],
    [{"who": "eve", "price": 1, "item": None}, {"who": "fay", "price": 5, "item": None}],
]


def one(batches: list[Any], made: Merge) -> Any:
    (row,) = merge(batches, made).to_pylist()
    return row[made.name]


def names(rows: list[dict[str, Any]]) -> list[str]:
    return [row["who"] for row in rows]


def test_the_greatest_come_first_and_ties_in_the_order_of_the_columns() -> None:
    assert one(SALES, batch.top(3, "price", ["item", "who"])) == [
        {"price": 9, "item": "hat", "who": "bob"},
        {"price": 5, "item": "cup", "who": "cid"},
        {"price": 5, "item": "pen", "who": "ann"},
    ]
    assert one(SALES, batch.top(1, "price")) == [{"price": 9}]


def test_the_least_come_first() -> None:
    assert names(one(SALES, batch.bottom(2, "price", ["who"]))) == ["eve", "ann"]


def test_ties_of_the_last_row_are_kept_if_asked_for() -> None:
    found = one(SALES, batch.top(2, "price", ["who"], ties=True))
    assert names(found) == ["bob", "ann", "cid", "fay"]
    assert names(one(SALES, batch.bottom(1, "price", ["who"], ties=True))) == ["eve"]
    assert len(one(SALES, batch.top(9, "price", ties=True))) == 5


def test_a_row_without_a_value_to_order_by_is_in_no_top() -> None:
    assert one([[{"price": None}]], batch.top(2, "price")) == []
    assert one([], batch.top(2, "price")) == []


def test_nan_comes_behind_every_number_in_both_directions() -> None:
    values = [[math.nan, 1.0], [math.nan, -math.inf]]
    assert [row["value"] for row in one(values, batch.top(2, "value"))] == [1.0, -math.inf]
    assert [row["value"] for row in one(values, batch.bottom(2, "value"))] == [-math.inf, 1.0]
    assert len(one(values, batch.top(3, "value", ties=True))) == 4


def test_each_group_has_a_top_of_its_own() -> None:
    table = pa.table({"team": ["a", "b", "a", "c", "a"], "score": [1, 2, 3, None, 2]})
    answer = merge(table.to_batches(max_chunksize=2), batch.top(2, "score"), by="team")
    assert answer.to_pylist() == [
        {"team": "a", "top": [{"score": 3}, {"score": 2}]},
        {"team": "b", "top": [{"score": 2}]},
        {"team": "c", "top": []},
    ]


def test_rows_keep_the_types_of_their_columns_also_when_these_widen() -> None:
    table = pa.table(
        {
            "by": pa.array([1.5, 0.5], pa.float16()),
            "day": pa.array([3, 4], pa.int32()).cast(pa.date32()),
            "text": pa.array(["x", "y"]).dictionary_encode(),
        }
    )
    found = merge(table.to_batches(), batch.top(1, "by", ["day", "text"])).column("top")
    assert found.type.value_type == pa.struct(
        [("by", pa.float16()), ("day", pa.date32()), ("text", pa.string())]
    )
    mixed = [[{"by": 1, "text": None}], [{"by": 2.5, "text": "a"}]]
    assert one(mixed, batch.top(2, "by", ["text"])) == [
        {"by": 2.5, "text": "a"},
        {"by": 1.0, "text": None},
    ]


def test_a_top_holds_no_more_rows_than_asked_for() -> None:
    plan = Merges(batch.top(3, "value"))
    total = plan.gather(plan.lift(list(range(start, start + 100))) for start in range(0, 5000, 100))
    assert len(total.states["top.rows"][0]) == 3
    assert [row["value"] for row in plan.finish(total).to_pylist()[0]["top"]] == [4999, 4998, 4997]


@pytest.mark.parametrize("k", [0, -1, 1.5, True, None])
def test_a_top_of_no_whole_number_of_rows_is_refused(k: Any) -> None:
    with pytest.raises(InvalidRequestError, match="expected a whole number from 1 up"):
        batch.top(k, "value")


def test_a_field_named_twice_is_refused() -> None:
    with pytest.raises(InvalidRequestError, match="name a field of the answer twice"):
        batch.top(1, "value", ["value"])


def test_lists_cannot_be_put_in_order() -> None:
    table = pa.table({"by": [1], "list": [[1]]})
    with pytest.raises(DtypeError, match=r"column 'list' is list.* cannot be put in order"):
        one(table.to_batches(), batch.top(1, "by", ["list"]))


def test_the_latest_and_the_earliest_value_are_those_of_their_time() -> None:
    readings = [
        [{"at": 3, "state": "on"}, {"at": 1, "state": "new"}],
        [{"at": 9, "state": None}, {"at": None, "state": "lost"}, {"at": 3, "state": "off"}],
        [{"at": 1, "state": "old"}],
    ]
    assert one(readings, batch.latest("state", "at")) == "on"
    assert one(readings, batch.earliest("state", "at")) == "new"
    assert one([], batch.latest("state", "at")) is None
    assert one([[{"at": 1, "state": None}]], batch.earliest("state", "at")) is None


def test_a_latest_value_keeps_its_type_in_each_group() -> None:
    table = pa.table(
        {
            "device": ["a", "b", "a"],
            "at": pa.array([1, 1, 2], pa.timestamp("ms")),
            "level": pa.array([0.5, None, 1.5], pa.float32()),
        }
    )
    answer = merge(table.to_batches(max_chunksize=1), batch.latest("level", "at"), by="device")
    assert answer.schema.field("latest_level").type == pa.float32()
    assert answer.to_pydict() == {"device": ["a", "b"], "latest_level": [1.5, None]}


def test_a_time_that_is_nan_is_never_the_latest() -> None:
    readings = [[{"at": math.nan, "value": 1}], [{"at": -math.inf, "value": 2}]]
    assert one(readings, batch.latest("value", "at")) == 2
    assert one(readings, batch.earliest("value", "at")) == 2
