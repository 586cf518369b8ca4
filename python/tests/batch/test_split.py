from __future__ import annotations

import datetime
import itertools
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal import batch
from shoal.batch import key, rows, split, time
from shoal.errors import (
    DtypeError,
    InputError,
    InvalidRequestError,
    MissingColumnError,
    ShapeError,
    UnexpectedColumnError,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

UTC = datetime.UTC


def moments(*seconds: float | None) -> pa.Array:
    values = [None if s is None else int(s * 1000) for s in seconds]
    return pa.array(values, pa.timestamp("ms", "UTC"))


def values_of(batches: Iterator[Any], column: str = "value") -> list[list[Any]]:
    return [batch.column(column).to_pylist() for batch in batches]


def table(values: list[Any], pieces: list[int] | None = None) -> pa.Table:
    whole = pa.table({"value": pa.array(values, pa.int64())})
    parts = [whole.slice(start, end - start) for start, end in spans(len(values), pieces or [])]
    return pa.concat_tables(parts) if parts else whole


def spans(length: int, ends: list[int]) -> list[tuple[int, int]]:
    places = sorted({0, length, *(end % (length + 1) for end in ends)})
    return list(itertools.pairwise(places))


@given(st.integers(0, 60), st.lists(st.integers(0, 60), max_size=5), st.integers(1, 20))
def test_rows_are_cut_alike_however_a_table_is_chunked(
    length: int, ends: list[int], size: int
) -> None:
    cut = values_of(split(table(list(range(length)), ends), by=rows(size)))
    assert cut == [list(range(length))[i : i + size] for i in range(0, length, size)]


@given(
    st.lists(st.text(max_size=30), max_size=40), st.lists(st.integers(0, 40)), st.integers(1, 90)
)
def test_bytes_are_cut_greedily_and_only_a_single_record_is_larger(
    texts: list[str], ends: list[int], limit: int
) -> None:
    whole = pa.table({"value": pa.array(texts, pa.string())})
    parts = [whole.slice(a, b - a).to_batches()[0] for a, b in spans(len(texts), ends)]
    cut = values_of(split(iter(parts), by=batch.bytes(limit)))
    assert [text for part in cut for text in part] == texts
    sizes = [[len(text.encode()) + 4 for text in part] for part in cut]
    assert all(sum(part) <= limit or len(part) == 1 for part in sizes)
    for part, following in itertools.pairwise(sizes):
        assert sum(part) + following[0] > limit


@given(
    st.lists(st.one_of(st.none(), st.integers(0, 50)), max_size=40), st.lists(st.integers(0, 40))
)
def test_time_gives_runs_of_one_window_and_drops_nothing(
    seconds: list[int | None], ends: list[int]
) -> None:
    whole = pa.table({"at": moments(*seconds), "value": range(len(seconds))})
    parts = [whole.slice(a, b - a) for a, b in spans(len(seconds), ends)]
    cut = list(split(iter(parts), by=time("at", "10s")))
    assert [v for part in values_of(iter(cut)) for v in part] == list(range(len(seconds)))
    windows = [
        {None if seconds[v] is None else seconds[v] // 10 for v in part}
        for part in values_of(iter(cut))
    ]
    assert all(len(window) == 1 for window in windows)
    assert all(a != b for a, b in itertools.pairwise(windows))


@given(st.lists(st.sampled_from(["a", "b", None]), max_size=30))
def test_key_gathers_each_key_in_order_of_first_meeting(keys: list[str | None]) -> None:
    whole = pa.table({"who": pa.array(keys, pa.string()), "value": range(len(keys))})
    cut = values_of(split(whole, by=key("who")))
    assert cut == [[i for i, k in enumerate(keys) if k == met] for met in dict.fromkeys(keys)]


def test_a_late_record_opens_a_micro_batch_of_its_own_window() -> None:
    late = pa.table({"at": moments(1, 11, 2, 12), "value": [1, 2, 3, 4]})
    assert values_of(split(late, by=time("at", "10s"))) == [[1], [2], [3], [4]]


def test_windows_are_aligned_to_the_epoch_also_before_it() -> None:
    data = pa.table({"at": moments(-1, 0, 9.999, 10), "value": [1, 2, 3, 4]})
    assert values_of(split(data, by=time("at", "10s"))) == [[1], [2, 3], [4]]


def test_times_of_several_zones_are_one_clock() -> None:
    plus_two = datetime.timezone(datetime.timedelta(hours=2))
    records = [
        {"at": datetime.datetime(2026, 1, 1, 12, 0, 1, tzinfo=UTC)},
        {"at": datetime.datetime(2026, 1, 1, 14, 0, 2, tzinfo=plus_two)},
    ]
    assert len(list(split(records, by=time("at", datetime.timedelta(seconds=10))))) == 1


def test_times_with_and_without_a_zone_are_not_mixed() -> None:
    zoned = {"at": datetime.datetime(2026, 1, 1, tzinfo=UTC)}
    plain = {"at": datetime.datetime(2026, 1, 1)}  # noqa: DTZ001 - without a zone on purpose
    with pytest.raises(DtypeError, match="some times have a zone"):
        list(split([zoned, plain], by=time("at", "1s")))
    with pytest.raises(DtypeError, match="have a zone and some have none"):
        list(split(iter([[zoned], [plain]]), by=time("at", "1s")))


def test_a_window_shorter_than_the_unit_of_time_still_cuts() -> None:
    seconds = pa.array([0, 1, 2], pa.timestamp("s"))
    data = pa.table({"at": seconds, "value": [0, 1, 2]})
    assert values_of(split(data, by=time("at", "1500ms"))) == [[0, 1], [2]]


def test_dates_are_times() -> None:
    days = [datetime.date(2026, 1, 1), datetime.date(2026, 1, 1), datetime.date(2026, 1, 2)]
    data = pa.table({"at": days, "value": [1, 2, 3]})
    assert values_of(split(data, by=time("at", "1d"))) == [[1, 2], [3]]


def test_a_window_beyond_its_bytes_is_cut() -> None:
    data = pa.table({"at": moments(0, 0, 0, 0, 0), "value": [1, 2, 3, 4, 5]})
    cut = values_of(split(data, by=time("at", "1h", limit_bytes=32)))
    assert cut == [[1, 2], [3, 4], [5]]


def test_keys_of_an_iterator_are_released_before_they_fill_memory() -> None:
    parts = [pa.table({"who": ["a", "b"], "value": [i, i + 1]}) for i in range(0, 8, 2)]
    by = key("who", limit_bytes=2 * 2 * (8 + 5))
    assert values_of(split(iter(parts), by=by)) == [[0, 2], [1, 3], [4, 6], [5, 7]]


def test_data_in_memory_is_one_micro_batch_per_key_whatever_its_bytes() -> None:
    data = pa.table({"who": ["a", "b"] * 10, "value": range(20)})
    assert len(list(split(data, by=key("who", limit_bytes=1)))) == 2


def test_lists_keep_what_they_hold() -> None:
    mixed = [1, "two", 3.0, None, {"four": 4}]
    assert list(split(mixed, by=rows(2))) == [[1, "two"], [3.0, None], [{"four": 4}]]


def test_mappings_are_cut_by_key() -> None:
    records = [{"who": "b", "n": 1}, {"who": "a", "n": 2}, {"who": "b", "n": 3}]
    cut = list(split(records, by=key("who")))
    assert cut == [[records[0], records[2]], [records[1]]]


@pytest.mark.parametrize("shape", [(5,), (5, 2), (5, 2, 3), (5, 0)])
def test_arrays_are_cut_along_their_first_dimension(shape: tuple[int, ...]) -> None:
    array = np.arange(np.prod(shape)).reshape(shape)
    cut = list(split(array, by=rows(2)))
    assert [part.shape for part in cut] == [(2, *shape[1:]), (2, *shape[1:]), (1, *shape[1:])]
    assert np.array_equal(np.concatenate(cut), array)
    assert np.shares_memory(cut[0], array) or array.size == 0


def test_structured_arrays_have_columns() -> None:
    array = np.array([(1, "a"), (2, "b"), (3, "a")], dtype=[("n", "i8"), ("who", "U1")])
    cut = list(split(array, by=key("who")))
    assert [part["n"].tolist() for part in cut] == [[1, 3], [2]]


def test_a_frame_gives_record_batches_and_keeps_a_named_index() -> None:
    frame = pd.DataFrame({"value": [1, 2, 3]}, index=[7, 8, 9])
    assert [part.schema.names for part in split(frame, by=rows(2))] == [["value"], ["value"]]
    named = frame.rename_axis("id")
    assert next(split(named, by=rows(3))).to_pydict() == {"value": [1, 2, 3], "id": [7, 8, 9]}


def test_a_series_is_a_column() -> None:
    cut = split(pd.Series([1, 2, 3], name="age"), by=rows(2))
    assert values_of(cut, "age") == [[1, 2], [3]]


@pytest.mark.parametrize(
    "piece",
    [
        pa.table({"value": [1, 2, 3]}),
        pa.record_batch({"value": [1, 2, 3]}),
        pa.array([1, 2, 3]),
        pa.chunked_array([[1], [2, 3]]),
        pd.DataFrame({"value": [1, 2, 3]}),
    ],
    ids=["table", "batch", "array", "chunked", "frame"],
)
def test_iterators_of_pieces_are_cut_across_pieces(piece: object) -> None:
    assert values_of(split(iter([piece, piece]), by=rows(4))) == [[1, 2, 3, 1], [2, 3]]


def test_iterators_of_arrays_and_lists_are_cut_across_pieces() -> None:
    arrays = split((np.full(3, i) for i in range(2)), by=rows(4))
    assert [part.tolist() for part in arrays] == [[0, 0, 0, 1], [1, 1]]
    assert list(split(iter([[1], [], [2, 3]]), by=rows(2))) == [[1, 2], [3]]


def test_a_reader_of_batches_is_streamed() -> None:
    reader = table(list(range(5)), [2]).to_reader()
    assert values_of(split(reader, by=rows(4))) == [[0, 1, 2, 3], [4]]


def test_single_records_of_an_iterator_are_gathered() -> None:
    assert list(split((str(i) for i in range(3)), by=rows(2))) == [["0", "1"], ["2"]]
    assert list(split(range(3), by=rows(2))) == [[0, 1], [2]]


def test_splitting_reads_no_further_than_asked() -> None:
    taken: list[int] = []

    def records() -> Iterator[int]:
        for i in range(100):
            taken.append(i)
            yield i

    cut = split(records(), by=rows(3))
    assert taken == []
    assert next(cut) == [0, 1, 2]
    assert taken == [0, 1, 2]


@pytest.mark.parametrize(
    "empty", [[], pa.table({"value": []}), np.zeros((0, 3)), iter([]), iter([[]]), pd.DataFrame()]
)
@pytest.mark.parametrize("by", [rows(2), batch.bytes(9), time("at", "1s"), key("who")])
def test_no_record_gives_no_micro_batch(empty: object, by: batch.Split) -> None:
    assert list(split(empty, by=by)) == []


def test_columns_of_pieces_are_matched_by_name() -> None:
    parts = [pa.table({"a": [1], "b": ["x"]}), pa.table({"b": ["y"], "a": [2]})]
    (joined,) = split(iter(parts), by=rows(2))
    assert joined.to_pydict() == {"a": [1, 2], "b": ["x", "y"]}


def test_nested_records_have_the_bytes_of_their_values() -> None:
    data = pa.table(
        {
            "flag": [True, None, False],
            "list": pa.array([[1, 2], None, []], pa.list_(pa.int16())),
            "fixed": pa.array([[1, 2], [3, 4], None], pa.list_(pa.int32(), 2)),
            "inner": pa.array([{"x": "ab"}, {"x": None}, {"x": ""}]),
            "code": pa.array(["u", "v", "u"]).dictionary_encode(),
            "map": pa.array([[("k", 1)], [], None], pa.map_(pa.string(), pa.int8())),
        }
    ).slice(1)
    second, third = 1 + 4 + 8 + 4 + 4 + 4, 1 + 4 + 8 + 4 + 4 + 4
    assert [len(part) for part in split(data, by=batch.bytes(second + third))] == [2]
    assert [len(part) for part in split(data, by=batch.bytes(second + third - 1))] == [1, 1]


@pytest.mark.parametrize(
    ("data", "error", "message"),
    [
        ("text", InvalidRequestError, "a str has no records"),
        (7, InvalidRequestError, "an? int has no records"),
        ({"a": [1]}, InvalidRequestError, "a dict has no records"),
        (np.array(1), ShapeError, r"shape \(\) has no records"),
    ],
)
def test_what_has_no_records_is_refused_at_once(
    data: object, error: type[InputError], message: str
) -> None:
    with pytest.raises(error, match=message):
        split(data, by=rows(1))


@pytest.mark.parametrize(
    ("parts", "error", "message"),
    [
        ([pa.table({"a": [1]}), pa.table({"b": [1]})], MissingColumnError, "no column 'a'"),
        ([pa.table({"a": [1]}), pa.table({"a": [1], "b": [1]})], UnexpectedColumnError, "'b' was"),
        ([pa.table({"a": [1]}), pa.table({"a": ["x"]})], DtypeError, "'a' is string, it was int64"),
        ([pa.table({"a": [1]}), [1]], InputError, "a list after a RecordBatch"),
        ([[1], 2], InputError, "gave a single record: 2"),
        ([np.zeros((1, 2)), np.zeros((1, 3))], ShapeError, r"shape \(3,\), it was \(2,\)"),
        ([np.zeros(1), np.zeros(1, "f4")], DtypeError, "float32, it was float64"),
    ],
)
def test_pieces_that_differ_are_refused_by_name(
    parts: list[object], error: type[InputError], message: str
) -> None:
    with pytest.raises(error, match=message):
        list(split(iter(parts), by=rows(9)))


@pytest.mark.parametrize("by", [key("who"), time("who", "1s")])
@pytest.mark.parametrize("data", [pa.table({"a": [1]}), [{"a": 1}], [1], np.zeros(1)])
def test_a_column_that_is_not_there_is_named(data: object, by: batch.Split) -> None:
    with pytest.raises(MissingColumnError, match="'who'"):
        list(split(data, by=by))


def test_numbers_are_not_times() -> None:
    with pytest.raises(DtypeError, match="column 'at' is int64, not a time"):
        list(split(pa.table({"at": [1]}), by=time("at", "1s")))


def test_lists_are_no_keys() -> None:
    with pytest.raises(DtypeError, match="cannot be grouped by a column of list"):
        list(split(pa.table({"who": [[1]]}), by=key("who")))


@pytest.mark.parametrize("window", ["", "10", "s", "-1s", "0s", "1 s", "1w", datetime.timedelta(0)])
def test_what_is_no_length_of_time_is_refused(window: str | datetime.timedelta) -> None:
    with pytest.raises(InvalidRequestError, match="no length of time"):
        time("at", window)


@pytest.mark.parametrize("number", [0, -1, 1.5, True, "8"])
def test_what_is_no_number_of_rows_is_refused(number: Any) -> None:
    with pytest.raises(InvalidRequestError, match="expected a whole number from 1 up"):
        rows(number)
    with pytest.raises(InvalidRequestError, match="expected a whole number from 1 up"):
        batch.bytes(number)


def test_a_number_is_no_way_to_cut() -> None:
    with pytest.raises(InvalidRequestError, match="does not say how to cut"):
        split([1], by=3)  # type: ignore[arg-type]  # wrong on purpose
