"""What becomes of what a caller has, and what comes back of it."""

from __future__ import annotations

import enum
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from shoal import errors
from shoal.client import Column, Kind, Table, column

BERLIN = ZoneInfo("Europe/Berlin")
NOON = datetime(2021, 5, 31, 12, 0, 0, 250_000, tzinfo=UTC)


def kind_of(values: Any) -> Kind:
    return Table.of({"x": values})["x"].kind


class Colour(enum.StrEnum):
    RED = "red"


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([True, None], Kind("BOOL")),
        ([1, None, -(2**63)], Kind("INT64")),
        ([0, 2**64 - 1], Kind("UINT64")),
        ([1.5, None], Kind("FP64")),
        (["a", None], Kind("UTF8")),
        ([Colour.RED], Kind("UTF8")),
        ([b"a", None], Kind("BYTES")),
        ([1, 2.5], Kind("MIXED")),
        ([1, "a", None, True], Kind("MIXED")),
        ([None, None], Kind("MIXED")),
        ([], Kind("MIXED")),
        ([date(2021, 5, 31), None], Kind("DATE")),
        ([NOON, None], Kind("TIMESTAMP", (), "us", "UTC")),
        ([NOON.astimezone(BERLIN)], Kind("TIMESTAMP", (), "us", "Europe/Berlin")),
        (
            [NOON.astimezone(timezone(timedelta(hours=-9, minutes=-30)))],
            Kind("TIMESTAMP", (), "us", "-09:30"),
        ),
        ([NOON, NOON.astimezone(BERLIN)], Kind("TIMESTAMP", (), "us", "UTC")),
        ([[1, 2], None, [3, 4]], Kind("INT64", (2,))),
        ([[[1.5], [2.5]]], Kind("FP64", (2, 1))),
        ([["a", "b"], ("c", "d")], Kind("UTF8", (2,))),
        ([np.float32(1), None], Kind("FP32")),
        ([np.int8(1), 2], Kind("INT64")),
        ([np.zeros(3, np.int16), None], Kind("INT16", (3,))),
    ],
)
def test_lists_become_columns(values: list[Any], kind: Kind) -> None:
    found = Table.of({"x": values})["x"]
    assert found.kind == kind
    assert found.rows == len(values)
    assert [each is None for each in found.to_list()] == [each is None for each in values]


def test_values_come_back_as_they_were() -> None:
    values = {
        "whole": [1, None, 2**53 + 1],
        "mixed": [1, 2.0, "a"],
        "flags": [True, False, None],
        "moments": [NOON, None, NOON.astimezone(BERLIN)],
        "days": [date(1, 1, 1), date(9999, 12, 31), None],
        "texts": ["", "käse 🐟", None],
        "octets": [b"\xff", b"", None],
        "tensors": [[[1, 2]], None, [[3, 4]]],
    }
    table = Table.of(values)
    assert table.to_dict() == values
    assert [type(each) for each in table["mixed"]] == [int, float, str]
    assert Table.of(table.to_records()) == table
    assert Table.of(table.to_arrow()) == table


def test_records_may_lack_names() -> None:
    table = Table.of([{"a": 1}, {"b": "x"}, {"a": 2, "b": "y"}])
    assert table.to_dict() == {"a": [1, None, 2], "b": [None, "x", "y"]}
    assert table.to_records()[0] == {"a": 1, "b": None}


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (np.arange(3, dtype=np.uint16), Kind("UINT16")),
        (np.arange(3, dtype=">i4"), Kind("INT32")),
        (np.zeros((3, 2, 2), np.float16), Kind("FP16", (2, 2))),
        (np.array([True, False]), Kind("BOOL")),
        (np.array(["a", "b\0c"]), Kind("UTF8")),
        (np.array([b"a"]), Kind("BYTES")),
        (np.array(["2021-05-31"], "M8[D]"), Kind("DATE")),
        (np.array([1, "a", None], object), Kind("MIXED")),
        (np.zeros((0, 4)), Kind("FP64", (4,))),
        (np.ma.zeros((0, 4)), Kind("FP64", (4,))),
    ],
)
def test_numpy_keeps_its_types(values: np.ndarray[Any, Any], kind: Kind) -> None:
    found = Table.of({"x": values})["x"]
    assert found.kind == kind
    assert found.to_numpy().tolist() == values.tolist()


def test_a_masked_record_is_missing_and_nan_is_a_number() -> None:
    masked = np.ma.array([1.0, np.nan, 3.0], mask=[True, False, False])
    found = Table.of({"x": masked})["x"]
    assert found.missing == b"\1\0\0"
    back = found.to_numpy()
    assert np.ma.getmaskarray(back).tolist() == [True, False, False]
    assert np.isnan(back[1])


def test_numpy_is_not_copied() -> None:
    values = np.arange(10.0)
    assert np.shares_memory(Table.of({"x": values})["x"].to_numpy(), values)
    arrow = pa.array(values)
    assert Table.of(pa.table({"x": arrow}))["x"].to_arrow().buffers()[1].address == (
        arrow.buffers()[1].address
    )


@pytest.mark.parametrize(
    ("values", "error"),
    [
        ([datetime(2021, 5, 31)], errors.ZoneError),  # noqa: DTZ001 - that it has none
        (np.array(["2021-05-31T10:20"], "M8[m]"), errors.ZoneError),
        (pa.array([0], pa.timestamp("us")), errors.ZoneError),
        (pd.Series(pd.to_datetime(["2021-05-31"])), errors.ZoneError),
        ([1 + 2j], errors.DtypeError),
        (np.zeros(2, complex), errors.DtypeError),
        ([{"a": 1}], errors.DtypeError),
        ([b"a", "a"], errors.DtypeError),
        ([2**64], errors.DtypeError),
        ([-1, 2**63], errors.DtypeError),
        (pa.array([1], pa.duration("s")), errors.DtypeError),
        (5, errors.DtypeError),
        ("text", errors.DtypeError),
        ([[1], [1, 2]], errors.ShapeError),
        ([[1, None]], errors.NullError),
        (pa.array([[1, None]], pa.list_(pa.int8(), 2)), errors.NullError),
        (np.ma.array([[1, 2]], mask=[[True, False]]), errors.NullError),
        (np.float64(1.0), errors.ShapeError),
    ],
)
def test_what_is_no_column_is_refused(values: Any, error: type[errors.ShoalError]) -> None:
    with pytest.raises(error, match="'x'"):
        Table.of({"x": values})


def test_ragged_columns_are_refused() -> None:
    with pytest.raises(errors.ShapeError, match="'b' has 1 records, expected 2"):
        Table.of({"a": [1, 2], "b": [1]})


def test_frames_of_pandas() -> None:
    frame = pd.DataFrame(
        {
            "plain": np.array([1.0, np.nan], np.float32),
            "nullable": pd.array([1, None], "Int8"),
            "flags": pd.array([True, None], "boolean"),
            "texts": ["a", None],
            "kinds": pd.Categorical(["x", None]),
            "when": pd.to_datetime(["2021-05-31T10:20:30", None]).tz_localize("Europe/Berlin"),
            "objects": np.array([1, "a"], object),
        }
    )
    table = Table.of(frame)
    kinds = {each.name: each.kind.dtype for each in table.columns}
    assert kinds == {
        "plain": "FP32",
        "nullable": "INT8",
        "flags": "BOOL",
        "texts": "UTF8",
        "kinds": "UTF8",
        "when": "TIMESTAMP",
        "objects": "MIXED",
    }
    assert table["plain"].missing is None
    assert table["when"].kind.zone == "Europe/Berlin"
    assert [each.missing for each in table.columns[1:6]] == [b"\0\1"] * 5
    back = table.to_pandas()
    assert back["nullable"].dtype == "Int8"
    assert Table.of(back) == table


def test_names_of_a_frame_are_text() -> None:
    with pytest.raises(errors.DtypeError, match="a column is called 0"):
        Table.of(pd.DataFrame(np.zeros((1, 1))))


def test_arrow_of_other_layouts() -> None:
    encoded = pa.chunked_array([pa.array(["a", "b"]).dictionary_encode(), pa.array(["c"])][:1])
    table = Table.of(
        pa.table(
            {
                "coded": encoded,
                "view": pa.array(["a", None], pa.string_view()),
                "lists": pa.array([[1.0, 2.0], None]),
                "nothing": pa.nulls(2),
                "runs": pa.RunEndEncodedArray.from_arrays(pa.array([2], pa.int32()), [7]),
            }
        )
    )
    assert table.to_dict() == {
        "coded": ["a", "b"],
        "view": ["a", None],
        "lists": [[1.0, 2.0], None],
        "nothing": [None, None],
        "runs": [7, 7],
    }
    assert table["lists"].shape == (2,)


def test_a_stated_dtype_is_kept_to() -> None:
    assert column([1, None], "INT8").kind == Kind("INT8")
    assert column([1, 2.5], "FP32").to_list() == [1.0, 2.5]
    assert column([], "FP32", shape=[3]).kind == Kind("FP32", (3,))
    assert column([None], "UTF8").missing == b"\1"
    assert column([1, None], "MIXED").to_list() == [1, None]
    for values, dtype in (([300], "INT8"), ([1.5], "INT64"), (["a"], "FP64"), ([1e39], "FP32")):
        with pytest.raises(errors.DtypeError):
            column(values, dtype)


def test_what_datetime_cannot_hold_is_told() -> None:
    fine = Table.of(pa.table({"x": pa.array([1], pa.timestamp("ns", "UTC"))}))["x"]
    with pytest.raises(errors.DtypeError, match="finer than a microsecond"):
        fine.to_list()
    assert fine.to_numpy()[0] == np.datetime64(1, "ns")


def test_a_table_says_what_it_is() -> None:
    table = Table.of({"a": [1, None], "b": [[1.0], [2.0]]})
    assert repr(table) == "<Table of 2 rows: 'a' INT64, 'b' FP64>"
    assert repr(table["a"]) == "<'a' INT64 rows=2: [1, None]>"
    assert isinstance(table["b"], Column)
    with pytest.raises(errors.UnexpectedColumnError, match="no column 'c'"):
        _ = table["c"]
