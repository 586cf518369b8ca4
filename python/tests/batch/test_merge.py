from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest

from shoal import batch
from shoal.batch import Merge, Merges, merge
from shoal.errors import DtypeError, DuplicateColumnError, InvalidRequestError, MissingColumnError

if TYPE_CHECKING:
    from collections.abc import Callable


def one(batches: list[Any], *merges: Merge) -> dict[str, Any]:
    (row,) = merge(batches, list(merges)).to_pylist()
    answer: dict[str, Any] = row
    return answer


def test_no_record_has_an_answer() -> None:
    edges, labels = [0, 1], ["a"]
    every = [
        *(batch.count(), batch.nulls(), batch.sum(), batch.mean(), batch.min(), batch.max()),
        *(batch.variance(), batch.histogram(edges=edges)),
        batch.confusion_matrix("truth", "prediction", labels=labels),
    ]
    assert one([], *every) == {
        "count": 0,
        "nulls_value": 0,
        "sum_value": 0,
        "mean_value": None,
        "min_value": None,
        "max_value": None,
        "variance_value": None,
        "histogram_value": [0],
        "histogram_value_below": 0,
        "histogram_value_above": 0,
        "histogram_value_nan": 0,
        "confusion_matrix": [[0]],
        "confusion_matrix_other": 0,
    }
    assert merge([], batch.count(), by="who").to_pydict() == {"who": [], "count": []}


def test_groups_stand_in_the_order_of_first_meeting() -> None:
    batches = [
        [{"who": "b", "n": 1}, {"who": None, "n": 2}],
        [{"who": "a", "n": 3}],
        [{"who": "b", "n": 4}],
    ]
    answer = merge(batches, [batch.count(), batch.sum("n", name="n")], by="who")
    assert answer.to_pydict() == {"who": ["b", None, "a"], "count": [2, 1, 1], "n": [5, 2, 3]}


def test_groups_may_have_several_keys() -> None:
    table = pa.table({"a": [1, 1, 2, 1], "b": ["x", "y", "x", "x"]})
    answer = merge(table.to_batches(), batch.count(), by=["a", "b"]).to_pylist()
    assert answer == [
        {"a": 1, "b": "x", "count": 2},
        {"a": 1, "b": "y", "count": 1},
        {"a": 2, "b": "x", "count": 1},
    ]


def test_nan_is_one_key_and_zero_has_no_sign() -> None:
    table = pa.table({"key": [math.nan, 0.0, -0.0, math.nan]})
    assert merge(table.to_batches(), batch.count(), by="key").column("count").to_pylist() == [2, 2]


def test_keys_in_a_dictionary_are_the_values_they_stand_for() -> None:
    batches = [
        pa.record_batch({"who": pa.array(values).dictionary_encode(), "n": [1, 2]})
        for values in (["a", "b"], ["b", "c"])
    ]
    answer = merge(batches, batch.sum("n"), by="who")
    assert answer.to_pydict() == {"who": ["a", "b", "c"], "sum_n": [1, 3, 2]}


def test_many_groups_over_many_micro_batches() -> None:
    keys = np.arange(30_000) % 5_000
    batches = [pa.record_batch({"k": keys[i : i + 100]}) for i in range(0, 30_000, 100)]
    answer = merge(batches, batch.count(), by="k")
    assert answer.column("k").to_pylist() == list(range(5_000))
    assert set(answer.column("count").to_pylist()) == {6}


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([1e300, 1.0, -1e300], 1.0),
        ([1e308, 1e308, -1e308], 1e308),
        ([1.7e308, 1.7e308], math.inf),
        ([-1.7e308, -1.7e308], -math.inf),
        ([math.inf, 1.0], math.inf),
        ([1.0, 2.0**-53, 2.0**-105], 1.0000000000000002),
        ([1.0, 2.0**-53], 1.0),
        ([1.0, -(2.0**-54)], 1.0),
        ([1.0, -(2.0**-54), -(2.0**-1074)], 0.9999999999999999),
        ([5e-324, 5e-324], 1e-323),
        ([0.1] * 10, 1.0),
    ],
)
def test_a_sum_is_rounded_once(values: list[float], expected: float) -> None:
    assert one([[value] for value in values], batch.sum())["sum_value"] == expected


@pytest.mark.parametrize("values", [[math.inf, -math.inf], [math.nan, 1.0]])
def test_a_sum_without_a_value_is_nan(values: list[float]) -> None:
    answer = one([values], batch.sum(), batch.mean(), batch.variance())
    assert all(math.isnan(value) for value in answer.values())


def test_an_infinite_value_has_an_infinite_mean_and_no_variance() -> None:
    answer = one([[math.inf, 1.0]], batch.mean(), batch.variance())
    assert answer["mean_value"] == math.inf
    assert math.isnan(answer["variance_value"])


@pytest.mark.parametrize("value", [2**63 - 1, -(2**63), 0])
def test_a_sum_of_integers_reaches_the_ends_of_int64(value: int) -> None:
    halves = [[value // 2], [value - value // 2]]
    assert one(halves, batch.sum())["sum_value"] == value


@pytest.mark.parametrize("values", [[2**63 - 1, 1], [-(2**63), -1]])
def test_a_sum_of_integers_beyond_int64_is_refused(values: list[int]) -> None:
    message = f"the sum of column 'value' is {sum(values)}, beyond int64"
    with pytest.raises(DtypeError, match=message):
        one([values], batch.sum())


def test_a_mean_of_unsigned_integers_does_not_overflow() -> None:
    values = pa.array([2**64 - 1, 2**64 - 1, 2**64 - 1], pa.uint64())
    assert one([values], batch.mean())["mean_value"] == float(2**64 - 1)


def test_weights_that_add_up_to_nothing_give_no_mean() -> None:
    records = [{"value": 1.0, "w": 1.0}, {"value": 2.0, "w": -1.0}]
    assert one([records], batch.mean(weight="w")) == {"mean_value": None}


def test_weights_may_lie_far_apart() -> None:
    records = [{"value": 1e300, "w": 1e300}, {"value": 5e-324, "w": 1e-300}]
    assert one([records], batch.mean(weight="w"))["mean_value"] == 1e300


@pytest.mark.parametrize(("ddof", "expected"), [(0, 2 / 3), (1, 1.0), (2, 2.0), (3, None)])
def test_variance_divides_by_what_is_free(ddof: int, expected: float | None) -> None:
    assert one([[1, 2], [3]], batch.variance(ddof=ddof))["variance_value"] == expected


def test_integers_and_floats_are_merged_exactly() -> None:
    answer = one([[1], [2.5], [None], [3]], batch.sum(), batch.min(), batch.max(), batch.count())
    assert answer == {"sum_value": 6.5, "min_value": 1.0, "max_value": 3.0, "count": 4}


def test_types_that_share_no_wider_one_are_refused() -> None:
    with pytest.raises(DtypeError, match="types that cannot be merged"):
        one([[1], ["one"]], batch.max())


def test_an_integer_is_not_rounded_to_widen_a_state() -> None:
    with pytest.raises(DtypeError, match="cannot be widened without loss"):
        one([[2**53 + 1], [0.5]], batch.max())


EXTREMES: list[tuple[pa.Array, Any, Any]] = [
    (pa.array([3, 1, 2], pa.int8()), 1, 3),
    (pa.array([1.5, -0.5], pa.float16()), -0.5, 1.5),
    (pa.array(["b", "a", "é"]), "a", "é"),
    (pa.array([b"b", b"a"], pa.large_binary()), b"a", b"b"),
    (pa.array([True, False]), False, True),
    (pa.array([5, 3], pa.int32()).cast(pa.date32()), None, None),
    (pa.array([5, 3], pa.duration("s")), None, None),
    (pa.array([5, 3], pa.time32("s")), None, None),
    (pa.array([2, 1]).cast(pa.decimal128(21, 2)), None, None),
    (pa.array(["b", "a"]).dictionary_encode(), "a", "b"),
]


@pytest.mark.parametrize(
    ("array", "low", "high"), EXTREMES, ids=lambda value: str(getattr(value, "type", ""))
)
def test_extremes_keep_the_type_of_the_column(array: pa.Array, low: Any, high: Any) -> None:
    ordered = array.dictionary_decode() if pa.types.is_dictionary(array.type) else array
    in_order = ordered.to_pylist()
    answer = merge([array], [batch.min(), batch.max()])
    assert answer.column("min_value").type == ordered.type
    found = answer.to_pylist()[0]
    assert found == {"min_value": min(in_order), "max_value": max(in_order)}
    assert low is None or found == {"min_value": low, "max_value": high}


def test_a_nan_makes_an_extreme_nan() -> None:
    answer = one([[1.0], [math.nan], [2.0]], batch.min(), batch.max())
    assert all(math.isnan(value) for value in answer.values())


def test_bins_are_closed_below_and_the_last_one_above() -> None:
    values = [-1.0, 0.0, 0.5, 1.0, 2.0, 2.5, math.nan, math.inf, None]
    assert one([values], batch.histogram(edges=[0, 1, 2])) == {
        "histogram_value": [2, 2],
        "histogram_value_below": 1,
        "histogram_value_above": 2,
        "histogram_value_nan": 1,
    }


def test_integers_meet_edges_without_rounding() -> None:
    edges = [-math.inf, 0.5, 2.0**53]
    answer = one([[-5, 0, 1, 2**53, 2**53 + 1]], batch.histogram(edges=edges))
    assert answer["histogram_value"] == [2, 2]
    assert answer["histogram_value_above"] == 1
    unsigned = pa.array([0, 2**64 - 1], pa.uint64())
    assert one([unsigned], batch.histogram(edges=edges))["histogram_value_above"] == 1
    open_edges = [0.0, math.inf]
    assert one([unsigned], batch.histogram(edges=open_edges))["histogram_value"] == [2]


def test_an_edge_beyond_integers_is_refused() -> None:
    with pytest.raises(DtypeError, match="has an edge beyond int64"):
        one([[1]], batch.histogram(edges=[0, 1e30]))


@pytest.mark.parametrize("edges", [[], [1], [1, 1], [2, 1], [0, math.nan]])
def test_edges_that_make_no_bins_are_refused(edges: list[float]) -> None:
    with pytest.raises(InvalidRequestError, match="make no bins"):
        batch.histogram(edges=edges)


@pytest.mark.parametrize("labels", [[], ["a", "a"]])
def test_labels_that_name_no_rows_are_refused(labels: list[str]) -> None:
    with pytest.raises(InvalidRequestError, match="do not name the rows"):
        batch.confusion_matrix("truth", "prediction", labels=labels)


def test_labels_of_another_type_are_refused() -> None:
    with pytest.raises(DtypeError, match="column 'truth' is string, the labels are"):
        one(
            [[{"truth": "a", "prediction": "a"}]],
            batch.confusion_matrix("truth", "prediction", labels=[1]),
        )


@pytest.mark.parametrize(
    ("make", "verb"),
    [
        (batch.sum, "summed"),
        (batch.mean, "averaged"),
        (batch.variance, "given a variance"),
        (lambda: batch.histogram(edges=[0, 1]), "put in bins"),
    ],
)
def test_text_is_no_number(make: Callable[[], Merge], verb: str) -> None:
    with pytest.raises(DtypeError, match=f"column 'value' is string: it cannot be {verb}"):
        one([["a"]], make())


def test_lists_have_no_order() -> None:
    with pytest.raises(DtypeError, match="cannot be compared"):
        one([pa.array([[1]])], batch.max())


def test_a_column_that_is_not_there_is_named() -> None:
    with pytest.raises(MissingColumnError, match="no column 'score', only 'a'"):
        one([[{"a": 1}]], batch.mean("score"))


def test_values_of_no_one_type_make_no_column() -> None:
    with pytest.raises(DtypeError, match="values of int, str make no column"):
        one([[1, "a"]], batch.count())


def test_two_answers_of_one_name_are_refused() -> None:
    with pytest.raises(DuplicateColumnError, match="two columns 'count'"):
        merge([], [batch.count(), batch.count()])
    with pytest.raises(DuplicateColumnError, match="two columns 'count'"):
        merge([], batch.count(), by="count")


@pytest.mark.parametrize("merges", [[], "count", [len]])
def test_what_is_no_merge_is_refused(merges: Any) -> None:
    with pytest.raises(InvalidRequestError, match="holds no merge"):
        merge([], merges)


def test_records_of_every_form_are_merged() -> None:
    forms = [
        pa.table({"value": [1, 2]}),
        pa.array([1, 2]),
        np.array([1, 2]),
        [1, 2],
        [{"value": 1}, {"value": 2}],
        np.array([(1,), (2,)], dtype=[("value", "i8")]),
    ]
    for records in forms:
        assert one([records], batch.sum()) == {"sum_value": 3}
    for value in (3, np.int64(3), pa.scalar(3), {"value": 3}):
        assert one([value], batch.sum()) == {"sum_value": 3}


def test_names_that_only_later_records_have_are_kept() -> None:
    assert one([[{"a": 1}, {"b": 2}]], batch.sum("b"), batch.nulls("b")) == {
        "sum_b": 2,
        "nulls_b": 1,
    }


def test_a_partial_is_arrow_and_can_be_stored() -> None:
    plan = Merges([batch.mean("v"), batch.max("v")], by="k")
    partial = plan.lift(pa.table({"k": ["a", "b"], "v": [0.1, 0.2]}))
    assert partial.states.schema.names[0] == "key.k"
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, partial.states.schema) as writer:
        writer.write_batch(partial.states)
    with pa.ipc.open_stream(sink.getvalue()) as reader:
        stored = batch.Partial(partial.schema, reader.read_next_batch())
    assert plan.finish(plan.combine([partial, stored])).to_pylist() == [
        {"k": "a", "mean_v": 0.1, "max_v": 0.1},
        {"k": "b", "mean_v": 0.2, "max_v": 0.2},
    ]
