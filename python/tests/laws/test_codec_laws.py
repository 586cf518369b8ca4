"""Law 5: decode(encode(x)) = x, for every codec that enrols and everything it can carry.

A codec enrols with one line in `CODECS`: how it writes and reads wire columns, and which columns it
cannot carry, with the reason in words. Columns are drawn over all dtypes, shapes up to three
dimensions with and without varying ones, with and without missing records, none to five records.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import msgspec
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from shoal.values import (
    Column,
    Dtype,
    ShapeGroup,
    Signature,
    WireColumn,
    decode_request,
    decode_response,
    encode_request,
    encode_response,
    from_arrow,
    from_binary,
    from_json,
    infer_columns,
    join_groups,
    schema_of,
    split_by_shape,
    to_arrow,
    to_binary,
    to_json,
)
from shoal.values._arrow_reader import as_array

if TYPE_CHECKING:
    from collections.abc import Callable

WIDTHS = {"8": 1, "16": 2, "32": 4, "64": 8}


class Case(NamedTuple):
    """Declared columns and wire columns that fit them."""

    columns: list[Column]
    wire: list[WireColumn]


class Codec(NamedTuple):
    """Writes and reads wire columns; `cannot` says why a column is not carried, or ""."""

    round_trip: Callable[[Case], list[WireColumn]]
    cannot: Callable[[Column, WireColumn], str]


@st.composite
def cases(draw: st.DrawFn) -> Case:
    names = draw(st.lists(st.text(min_size=1, max_size=3), min_size=1, max_size=3, unique=True))
    declared = [draw(any_column(name)) for name in names]
    records = draw(st.integers(0, 5))
    return Case(declared, [draw(wire_column(column, records)) for column in declared])


@st.composite
def any_column(draw: st.DrawFn, name: str) -> Column:
    dtype = draw(st.sampled_from(list(Dtype)))
    shape = tuple(draw(st.lists(st.sampled_from([-1, 1, 2, 3]), max_size=3)))
    binary = dtype is Dtype.BYTES and draw(st.booleans())
    return Column(name, dtype, shape, nullable=draw(st.booleans()), binary=binary)


@st.composite
def wire_column(draw: st.DrawFn, column: Column, records: int) -> WireColumn:
    dims = [dim if dim != -1 else draw(st.integers(0, 3)) for dim in column.shape]
    per_record = math.prod(dims)
    missing = None
    gone = [column.nullable and draw(st.booleans()) for _ in range(records)]
    if any(gone):
        missing = bytes(gone)
    shape = [records, *dims]
    name, dtype = column.name, column.dtype.value
    if column.dtype is Dtype.BYTES:
        one = st.binary(max_size=5) if column.binary else st.text(max_size=5).map(str.encode)
        texts = [b"" if gone[at // per_record] else draw(one) for at in range(records * per_record)]
        return name, dtype, shape, texts, missing
    width = 1 if column.dtype is Dtype.BOOL else WIDTHS[dtype.strip("UINTFP")]
    size = per_record * width
    record = st.binary(min_size=size, max_size=size)
    if column.dtype is Dtype.BOOL:
        record = record.map(lambda drawn: bytes(byte & 1 for byte in drawn))
    data = b"".join(bytes(size) if lost else draw(record) for lost in gone)
    return name, dtype, shape, data, missing


def plain(wire: WireColumn) -> tuple[str, str, list[int], bytes | list[bytes], bytes | None]:
    """Gives a wire column with bytes for its buffers, so that it can be compared."""
    name, dtype, shape, data, missing = wire
    held = data if isinstance(data, list) else bytes(data)
    return name, dtype, list(shape), held, None if missing is None else bytes(missing)


def carried_by_all(column: Column, wire: WireColumn) -> str:
    return ""


def not_in_arrow(column: Column, wire: WireColumn) -> str:
    """In Arrow a missing record of varying shape has no length, and no record no shape at all."""
    if not column.is_variable:
        return ""
    if wire[4] is not None or 0 in wire[2]:
        return "a record that is missing or empty does not keep the other lengths of its shape"
    return ""


def not_in_json(column: Column, wire: WireColumn) -> str:
    data = wire[3]
    if column.dtype is Dtype.FP16:
        return "JSON has no FP16"
    if isinstance(data, list):
        return "" if all(is_text(text) for text in data) else "JSON has no bytes that are not UTF-8"
    if column.dtype in (Dtype.FP32, Dtype.FP64):
        kind = "<f4" if column.dtype is Dtype.FP32 else "<f8"
        finite = np.isfinite(np.frombuffer(data, dtype=kind)).all()
        return "" if finite else "JSON has no NaN and no infinity"
    return ""


def not_in_binary(column: Column, wire: WireColumn) -> str:
    if wire[4] is None:
        return ""
    return not_in_json(column, wire) and "binary has no null, and JSON not these values"


def not_raw(column: Column, wire: WireColumn) -> str:
    return "" if wire[4] is None else "raw bytes have no null"


def same(one: pa.RecordBatch, other: pa.RecordBatch) -> bool:
    """Whether two batches hold the same bits; NaN equals itself here."""
    return one.schema == other.schema and all(
        repr(left.to_pylist()) == repr(right.to_pylist())
        for left, right in zip(one.columns, other.columns, strict=True)
    )


def is_text(text: bytes) -> bool:
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True


def signature_of(case: Case) -> Signature:
    return Signature(tuple(case.columns), tuple(case.columns))


def through_arrow(case: Case) -> list[WireColumn]:
    return from_arrow(to_arrow(case.wire, case.columns), case.columns)


def through_json(case: Case) -> list[WireColumn]:
    return from_json(msgspec.json.decode(msgspec.json.encode(to_json(case.wire))), case.columns)


def through_raw(case: Case) -> list[WireColumn]:
    return [from_binary(to_binary(one), one[:3]) for one in case.wire]


def through_request(case: Case, *, binary: bool) -> list[WireColumn]:
    message = encode_request(case.wire, binary=binary)
    return decode_request(message.body, message.headers, signature_of(case)).columns


def through_answer(case: Case, *, binary: bool) -> list[WireColumn]:
    message = encode_response(case.wire, model_name="m", binary=binary)
    return decode_response(message.body, message.headers, signature_of(case)).columns


CODECS = {
    "arrow": Codec(through_arrow, not_in_arrow),
    "json": Codec(through_json, not_in_json),
    "raw": Codec(through_raw, not_raw),
    "request in json": Codec(lambda case: through_request(case, binary=False), not_in_json),
    "request in binary": Codec(lambda case: through_request(case, binary=True), not_in_binary),
    "answer in json": Codec(lambda case: through_answer(case, binary=False), not_in_json),
    "answer in binary": Codec(lambda case: through_answer(case, binary=True), not_in_binary),
}


@pytest.mark.parametrize("codec", CODECS.values(), ids=list(CODECS))
@given(case=cases())
def test_decode_of_encode_is_the_same(codec: Codec, case: Case) -> None:
    pairs = zip(case.columns, case.wire, strict=True)
    carried = [pair for pair in pairs if not codec.cannot(*pair)]
    assume(carried)
    kept = Case([column for column, _ in carried], [wire for _, wire in carried])
    assert list(map(plain, codec.round_trip(kept))) == list(map(plain, kept.wire))


@st.composite
def tables(draw: st.DrawFn) -> tuple[list[Column], pa.Table]:
    """Draws tables whose records differ in shape wherever their column allows it."""
    names = draw(st.lists(st.text(min_size=1, max_size=3), min_size=1, max_size=3, unique=True))
    columns = [draw(any_column(name)) for name in names]
    schema = schema_of(columns)
    rows = [
        to_arrow([draw(wire_column(column, 1)) for column in columns], columns)
        for _ in range(draw(st.integers(0, 5)))
    ]
    return columns, pa.Table.from_batches(rows, schema=schema).combine_chunks()


def whole(table: pa.Table) -> pa.RecordBatch:
    """Gives a table as one batch."""
    return pa.record_batch([as_array(values) for values in table.columns], schema=table.schema)


@given(drawn=tables())
def test_table_of_any_shapes_comes_back_in_order(drawn: tuple[list[Column], pa.Table]) -> None:
    columns, table = drawn
    batch = whole(table)
    groups = split_by_shape(batch, columns)
    answers = [
        ShapeGroup(rows, to_arrow(from_arrow(part, columns), columns)) for rows, part in groups
    ]
    assert sorted(row for group in groups for row in group.rows) == list(range(batch.num_rows))
    assert same(join_groups(answers), batch)


@given(drawn=tables())
def test_shape_of_a_record_does_not_depend_on_its_neighbours(
    drawn: tuple[list[Column], pa.Table],
) -> None:
    columns, table = drawn
    batch = whole(table)
    for rows, part in split_by_shape(batch, columns):
        together = [wire[2][1:] for wire in from_arrow(part, columns)]
        for row in rows.tolist():
            alone = from_arrow(batch.slice(row, 1), columns)
            assert [wire[2][1:] for wire in alone] == together


@given(drawn=tables(), offset=st.integers(0, 5))
def test_slice_reads_as_a_copy_of_it(drawn: tuple[list[Column], pa.Table], offset: int) -> None:
    columns, table = drawn
    batch = whole(table)
    part = batch.slice(offset)
    copy = part.take(pa.array(range(part.num_rows), type=pa.int64()))
    for (_, one), (_, other) in zip(
        split_by_shape(part, columns), split_by_shape(copy, columns), strict=True
    ):
        wires = zip(from_arrow(one, columns), from_arrow(other, columns), strict=True)
        assert all(plain(wire) == plain(twin) for wire, twin in wires)


@given(drawn=tables())
def test_example_describes_its_own_columns(drawn: tuple[list[Column], pa.Table]) -> None:
    columns, table = drawn
    for column, found in zip(columns, infer_columns(table), strict=True):
        assert (found.name, found.dtype, found.shape) == (column.name, column.dtype, column.shape)
        assert found.binary == column.binary
        assert column.nullable or not found.nullable


@given(case=cases())
def test_signature_reads_back_from_its_json(case: Case) -> None:
    signature = signature_of(case)
    assert Signature.from_json(signature.to_json()) == signature
