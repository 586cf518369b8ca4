"""Whatever can be said comes back as it was, in each encoding."""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.client import Column, Kind, Table
from shoal.client._tables._column import of_records
from shoal.client._tables._dtypes import INTEGER_RANGES, NUMPY_CODES
from shoal.client._wire._arrow_streams import read_stream, write_stream
from shoal.client._wire._json_read import read_table_json
from shoal.client._wire._json_write import write_table
from shoal.client._wire._protobuf_envelopes import ProtobufEncoding
from shoal.client._wire._protobuf_tables import parsed, read_table
from tests.client.described import described

if TYPE_CHECKING:
    from collections.abc import Callable

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
FIRST_SECOND, LAST_SECOND = -62135596800, 253402300799
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "BOOL": st.booleans(),
    **{
        dtype: st.integers(*INTEGER_RANGES[dtype])
        for dtype in INTEGER_RANGES.keys() - {"TIMESTAMP", "DATE"}
    },
    "FP16": st.floats(width=16, allow_nan=False),
    "FP32": st.floats(width=32, allow_nan=False),
    "FP64": st.floats(allow_nan=False) | st.just(math.nan),
    "UTF8": TEXTS,
    "BYTES": st.binary(max_size=8),
    "TIMESTAMP": st.integers(FIRST_SECOND * 1000, LAST_SECOND * 1000 + 999),
    "DATE": st.integers(-719162, 2932896),
    "MIXED": st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | TEXTS,
}


@st.composite
def columns(draw: st.DrawFn, name: str, rows: int) -> Column:
    dtype = draw(st.sampled_from(sorted(VALUES)))
    dims = st.lists(st.integers(1, 3), max_size=3).map(tuple)
    shape = () if dtype == "MIXED" else draw(dims)
    unit, zone = ("ms", "Europe/Berlin") if dtype == "TIMESTAMP" else ("", "")
    size = math.prod(shape)
    record = st.lists(VALUES[dtype], min_size=size, max_size=size) if shape else VALUES[dtype]
    records = draw(st.lists(st.none() | record, min_size=rows, max_size=rows))
    return of_records(name, Kind(dtype, shape, unit, zone), records)


@st.composite
def tables(draw: st.DrawFn) -> Table:
    rows = draw(st.integers(0, 4))
    names = draw(st.lists(TEXTS, min_size=1, max_size=4, unique=True))
    return Table([draw(columns(name, rows)) for name in names])


def through_json(table: Table) -> Table:
    return read_table_json(write_table(table))


def through_arrow(table: Table) -> Table:
    return read_stream(write_stream(table))


def through_protobuf(table: Table, *, arrow_from: int | None = None) -> Table:
    return read_table(parsed("Table", ProtobufEncoding(arrow_from).table(table).head))


WAYS = [through_json, through_arrow, through_protobuf, partial(through_protobuf, arrow_from=0)]


@pytest.mark.parametrize("way", WAYS, ids=["json", "arrow", "protobuf", "arrow in protobuf"])
@given(table=tables())
def test_a_table_comes_back_as_it_was(way: Callable[[Table], Table], table: Table) -> None:
    assert described(way(table)) == described(table)


@given(table=tables())
def test_a_table_is_the_same_in_every_form(table: Table) -> None:
    arrow = Table.of(table.to_arrow())
    assert described(arrow) == described(table)
    for column in table.columns:
        if column.dtype in NUMPY_CODES:
            mask = np.ma.getmaskarray(column.to_numpy())
            per_record = mask.reshape(len(column), math.prod(column.shape)).all(axis=1)
            assert per_record.tobytes() == (column.missing or bytes(len(column)))


def test_whole_numbers_of_fp32_are_written_as_all_others() -> None:
    whole = [float(number) for number in range(-3, 70_000)]
    records = [*whole, -0.0, 0.5, 65534.5, 1e10]
    written = write_table(Table.of({"x": np.array(records, np.float32)}))
    data = written.partition(b'"data":[')[2].removesuffix(b"]}]}")
    assert data.decode().split(",") == [repr(record) for record in records]
