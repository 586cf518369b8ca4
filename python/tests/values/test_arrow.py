"""Arrow tables become wire columns and back; what does not fit is refused with column and row."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from shoal.errors import (
    DtypeError,
    DuplicateColumnError,
    MissingColumnError,
    NullError,
    ShapeError,
    ShoalError,
    UnexpectedColumnError,
)
from shoal.values import (
    Column,
    Dtype,
    ShapeGroup,
    from_arrow,
    infer_columns,
    join_groups,
    schema_of,
    split_by_shape,
    to_arrow,
)

PIXELS = Column("x", Dtype.FP32, (2,))
IMAGE = Column("x", Dtype.FP32, (3, 2, 2))
TOKENS = Column("x", Dtype.INT64, (-1,), nullable=True)


def table(values: Any, kind: pa.DataType | None = None) -> pa.RecordBatch:
    return pa.record_batch({"x": pa.array(values, type=kind)})


def tensors(values: Any) -> pa.RecordBatch:
    array = np.asarray(values, dtype=np.float32)
    return pa.record_batch({"x": pa.FixedShapeTensorArray.from_numpy_ndarray(array)})


def numbers(batch: pa.RecordBatch | pa.Table, column: Column) -> list[Any]:
    """Reads a column and gives its wire data as nested lists."""
    _, _, shape, data, _ = from_arrow(batch, [column])[0]
    assert not isinstance(data, list)
    kinds = {Dtype.FP32: "<f4", Dtype.FP64: "<f8", Dtype.INT64: "<i8", Dtype.FP16: "<f2"}
    listed: list[Any] = np.frombuffer(data, dtype=kinds[column.dtype]).reshape(shape).tolist()
    return listed


@pytest.mark.parametrize(
    "kind",
    [pa.list_(pa.float32()), pa.list_(pa.float32(), 2), pa.large_list(pa.float32())],
    ids=str,
)
def test_fixed_shape_reads_from_every_list(kind: pa.DataType) -> None:
    assert numbers(table([[1, 2], [3, 4]], kind), PIXELS) == [[1, 2], [3, 4]]


def test_fixed_shape_reads_from_list_views() -> None:
    assert numbers(table([[1, 2], [3, 4]], pa.list_view(pa.float32())), PIXELS) == [[1, 2], [3, 4]]


def test_fixed_shape_reads_from_tensors() -> None:
    assert numbers(tensors([[1, 2], [3, 4]]), PIXELS) == [[1, 2], [3, 4]]


def test_image_reads_from_tensors_and_from_nested_lists() -> None:
    images = np.arange(24, dtype=np.float32).reshape(2, 3, 2, 2)
    nested = pa.list_(pa.list_(pa.list_(pa.float32()), 2))
    assert numbers(tensors(images), IMAGE) == images.tolist()
    assert numbers(table(images.tolist(), nested), IMAGE) == images.tolist()


def test_slices_and_chunks_read_as_their_own_rows_only() -> None:
    batch = table([[0, 0], [1, 2], [3, 4], [9, 9]], pa.list_(pa.float32(), 2))
    chunked = pa.Table.from_batches([batch.slice(1, 1), batch.slice(2, 1)])
    assert numbers(batch.slice(1, 2), PIXELS) == [[1, 2], [3, 4]]
    assert numbers(chunked, PIXELS) == [[1, 2], [3, 4]]
    assert numbers(tensors([[0, 0], [1, 2]]).slice(1), PIXELS) == [[1, 2]]


def test_table_without_chunks_has_no_records() -> None:
    empty = pa.Table.from_batches([], schema=schema_of([PIXELS]))
    assert from_arrow(empty, [PIXELS])[0][2] == [0, 2]


@pytest.mark.parametrize("column", [PIXELS, IMAGE, TOKENS, Column("x", Dtype.BYTES)])
def test_no_records_are_no_records(column: Column) -> None:
    batch = pa.RecordBatch.from_pylist([], schema=schema_of([column]))
    wire = from_arrow(batch, [column])
    assert wire[0][2] == [0, *(max(dim, 0) for dim in column.shape)]
    assert to_arrow(wire, [column]).equals(batch)


def test_numbers_are_not_copied() -> None:
    batch = table([1.0, 2.0, 3.0], pa.float32())
    data = from_arrow(batch.slice(1), [Column("x", Dtype.FP32)])[0][3]
    assert not isinstance(data, list)
    address = np.frombuffer(data, dtype=np.uint8).__array_interface__["data"][0]
    assert address == batch.column(0).buffers()[1].address + 4
    back = to_arrow([("x", "FP32", [2], data, None)], [Column("x", Dtype.FP32)])
    assert back.column(0).buffers()[1].address == address


def test_data_at_an_odd_address_is_read_right() -> None:
    data = memoryview(b"\0" + np.array([1.5, 2.5], dtype="<f4").tobytes())[1:]
    batch = to_arrow([("x", "FP32", [2], data, None)], [Column("x", Dtype.FP32)])
    assert batch.column(0).to_pylist() == [1.5, 2.5]


def test_missing_records_are_zero_on_the_wire() -> None:
    # What lies under a null in Arrow is anything; it must not reach a model or a network.
    hidden = pa.Array.from_buffers(
        pa.float32(), 2, [pa.py_buffer(b"\x01"), pa.py_buffer(np.array([1, 77], "<f4").tobytes())]
    )
    column = Column("x", Dtype.FP32, nullable=True)
    _, _, _, data, missing = from_arrow(pa.record_batch({"x": hidden}), [column])[0]
    assert not isinstance(data, list)
    assert bytes(data) == np.array([1, 0], "<f4").tobytes()
    assert missing == b"\0\1"


@pytest.mark.parametrize(
    ("column", "values"),
    [
        (Column("x", Dtype.FP32, nullable=True), [1.5, None]),
        (Column("x", Dtype.BOOL, nullable=True), [None, True]),
        (Column("x", Dtype.BYTES, nullable=True), ["a", None]),
        (Column("x", Dtype.BYTES, (2,), nullable=True), [None, ["a", "b"]]),
        (Column("x", Dtype.BYTES, nullable=True, binary=True), [b"\xff", None]),
        (Column("x", Dtype.INT8, (2,), nullable=True), [[1, 2], None]),
        (Column("x", Dtype.FP32, nullable=True), [None, None]),
    ],
)
def test_missing_records_survive(column: Column, values: list[Any]) -> None:
    batch = pa.RecordBatch.from_pylist([{"x": v} for v in values], schema=schema_of([column]))
    assert to_arrow(from_arrow(batch, [column]), [column]).to_pydict() == {"x": values}


def test_column_of_nulls_only_is_missing_records() -> None:
    column = Column("x", Dtype.FP32, (2,), nullable=True)
    assert to_arrow(from_arrow(table([None, None]), [column]), [column]).to_pydict() == {
        "x": [None, None]
    }


@pytest.mark.parametrize(
    ("values", "kind", "column", "read"),
    [
        ([1, 2], pa.int32(), Column("x", Dtype.INT64), [1, 2]),
        ([1, 2], pa.uint8(), Column("x", Dtype.FP32), [1, 2]),
        ([2**24], pa.int64(), Column("x", Dtype.FP32), [2**24]),
        ([0.1], pa.float64(), Column("x", Dtype.FP32), [0.10000000149011612]),
        ([1e-60, float("inf")], pa.float64(), Column("x", Dtype.FP32), [0.0, float("inf")]),
        ([0.1], pa.float32(), Column("x", Dtype.FP64), [0.10000000149011612]),
        ([65504.0], pa.float64(), Column("x", Dtype.FP16), [65504.0]),
    ],
)
def test_exact_and_rounded_values_are_taken(
    values: list[Any], kind: pa.DataType, column: Column, read: list[Any]
) -> None:
    assert numbers(table(values, kind), column) == read


def test_dictionaries_and_frames_are_taken() -> None:
    frame = pd.DataFrame({"x": pd.Categorical(["u", "v", "u"])})
    batch = pa.RecordBatch.from_pandas(frame)
    assert from_arrow(batch, [Column("x", Dtype.BYTES)])[0][3] == [b"u", b"v", b"u"]


@pytest.mark.parametrize(
    "kind", [pa.string(), pa.large_string(), pa.string_view(), pa.binary(), pa.binary(1)], ids=str
)
def test_bytes_read_from_every_text(kind: pa.DataType) -> None:
    batch = table([b"a", b"b"], kind)
    assert from_arrow(batch, [Column("x", Dtype.BYTES)])[0][3] == [b"a", b"b"]


@pytest.mark.parametrize(
    ("values", "kind", "column", "error", "message"),
    [
        ([1, None], None, Column("x", Dtype.INT64), NullError, "column 'x' row 1 is null"),
        (
            [[1, 2], [3, None]],
            None,
            Column("x", Dtype.INT64, (2,)),
            NullError,
            r"column 'x' row 1 has a null inside its record of shape \[2\]",
        ),
        (
            [None, [3, None]],
            None,
            Column("x", Dtype.INT64, (2,), nullable=True),
            NullError,
            "column 'x' row 1 has a null inside",
        ),
        ([1, 300], None, Column("x", Dtype.INT8), DtypeError, "row 1 is 300.*INT8 holds"),
        ([-1], None, Column("x", Dtype.UINT64), DtypeError, "row 0 is -1.*UINT64 holds"),
        ([2**24 + 1], None, Column("x", Dtype.FP32), DtypeError, "row 0 is 16777217"),
        ([1.0, 1e39], None, Column("x", Dtype.FP32), DtypeError, r"row 1 is 1e\+39"),
        ([1.0], None, Column("x", Dtype.INT64), DtypeError, "is double in Arrow.*expected INT64"),
        ([True], None, Column("x", Dtype.INT64), DtypeError, "is bool in Arrow"),
        (["1"], None, Column("x", Dtype.FP32), DtypeError, "is string in Arrow"),
        ([1], None, Column("x", Dtype.BYTES), DtypeError, "is int64 in Arrow"),
        ([[1, 2], [3]], None, Column("x", Dtype.INT64, (2,)), ShapeError, "row 1 has length 1"),
        ([[1], [2, 3]], None, TOKENS, ShapeError, "row 1 has length 2, an earlier one 1"),
        ([None, [1]], None, TOKENS, ShapeError, "records of different shapes"),
        ([[1]], None, Column("x", Dtype.INT64), ShapeError, "of 1 dimensions in Arrow, expected 0"),
        ([1], None, Column("x", Dtype.INT64, (1,)), ShapeError, "of 0 dimensions.*expected 1"),
        ([], pa.list_(pa.int64(), 3), TOKENS, None, ""),
    ],
)
def test_what_does_not_fit_is_refused_by_column_and_row(
    values: list[Any],
    kind: pa.DataType | None,
    column: Column,
    error: type[ShoalError] | None,
    message: str,
) -> None:
    if error is None:
        assert from_arrow(table(values, kind), [column])[0][2] == [0, 3]
        return
    with pytest.raises(error, match=message):
        from_arrow(table(values, kind), [column])


def test_rows_are_those_of_the_table_also_behind_missing_ones() -> None:
    column = Column("x", Dtype.INT8, (2,), nullable=True)
    with pytest.raises(DtypeError, match="column 'x' row 3 is 500"):
        from_arrow(table([None, [1, 2], None, [3, 500]]), [column])


def test_tensors_of_another_shape_are_refused() -> None:
    with pytest.raises(ShapeError, match=r"holds tensors of shape \[2\], expected \[3, 2, 2\]"):
        from_arrow(tensors([[1, 2]]), [IMAGE])


def test_permuted_tensors_are_refused() -> None:
    kind = pa.fixed_shape_tensor(pa.float32(), [2, 3], permutation=[1, 0])
    storage = pa.array([[0.0] * 6], type=pa.list_(pa.float32(), 6))
    batch = pa.record_batch({"x": pa.ExtensionArray.from_storage(kind, storage)})
    with pytest.raises(ShapeError, match="expected no permutation"):
        from_arrow(batch, [Column("x", Dtype.FP32, (3, 2))])


def test_columns_are_found_by_name() -> None:
    batch = pa.record_batch({"b": [1], "a": [2]})
    wire = from_arrow(batch, [Column("a", Dtype.INT64), Column("b", Dtype.INT64)])
    assert [one[0] for one in wire] == ["a", "b"]


@pytest.mark.parametrize(
    ("names", "error", "message"),
    [
        (["a"], MissingColumnError, "column 'b' is missing"),
        (["a", "b", "c"], UnexpectedColumnError, "column 'c' is not one of"),
        (["a", "b", "b"], DuplicateColumnError, "column 'b' comes twice"),
    ],
)
def test_other_names_are_refused(names: list[str], error: type[ShoalError], message: str) -> None:
    batch = pa.record_batch([pa.array([1])] * len(names), names=names)
    with pytest.raises(error, match=message):
        from_arrow(batch, [Column("a", Dtype.INT64), Column("b", Dtype.INT64)])


def test_schema_depends_on_the_declaration_only() -> None:
    columns = [
        Column("a", Dtype.BYTES),
        Column("b", Dtype.BYTES, binary=True, nullable=True),
        Column("c", Dtype.FP16, (2,)),
        Column("d", Dtype.FP32, (3, 32, 32)),
        Column("e", Dtype.INT64, (-1, 4)),
    ]
    assert schema_of(columns) == pa.schema(
        [
            pa.field("a", pa.string(), nullable=False),
            pa.field("b", pa.binary(), nullable=True),
            pa.field("c", pa.list_(pa.float16(), 2), nullable=False),
            pa.field("d", pa.fixed_shape_tensor(pa.float32(), [3, 32, 32]), nullable=False),
            pa.field("e", pa.list_(pa.list_(pa.int64(), 4)), nullable=False),
        ]
    )


def test_text_that_is_not_utf8_is_refused_unless_declared_binary() -> None:
    wire = [("x", "BYTES", [2], [b"a", b"\xff"], None)]
    with pytest.raises(DtypeError, match=r"column 'x' row 1 is b'\\xff', expected UTF-8 text"):
        to_arrow(wire, [Column("x", Dtype.BYTES)])
    binary = to_arrow(wire, [Column("x", Dtype.BYTES, binary=True)])
    assert binary.column(0).to_pylist() == [b"a", b"\xff"]


def test_example_gives_the_columns_that_describe_it() -> None:
    columns = (
        Column("a", Dtype.BYTES, nullable=True),
        Column("b", Dtype.BYTES, binary=True),
        Column("c", Dtype.FP16, (2,)),
        Column("d", Dtype.FP32, (1, 2)),
        Column("e", Dtype.INT64, (-1,)),
        Column("f", Dtype.BOOL),
    )
    row = {"a": None, "b": b"", "c": [1, 2], "d": [3, 4], "e": [1], "f": True}
    batch = pa.RecordBatch.from_pylist([row], schema=schema_of(columns))
    assert infer_columns(batch) == columns


@pytest.mark.parametrize("kind", [pa.date32(), pa.decimal128(5, 2), pa.null()], ids=str)
def test_example_of_other_types_is_refused(kind: pa.DataType) -> None:
    with pytest.raises(DtypeError, match="expected booleans, numbers, text or bytes"):
        infer_columns(table([None], kind))


RAGGED = pa.record_batch({"x": [[1], [2, 3], None, [4], []], "i": range(5)})
RAGGED_COLUMNS = [TOKENS, Column("i", Dtype.INT64)]


def test_ragged_table_is_cut_into_groups_of_one_shape() -> None:
    groups = split_by_shape(RAGGED, RAGGED_COLUMNS)
    assert [group.rows.tolist() for group in groups] == [[0, 3], [1], [2, 4]]
    assert [from_arrow(g.batch, RAGGED_COLUMNS)[0][2] for g in groups] == [[2, 1], [1, 2], [2, 0]]


def test_groups_join_to_the_table_they_were_cut_from() -> None:
    answers = [
        ShapeGroup(rows, to_arrow(from_arrow(batch, RAGGED_COLUMNS), RAGGED_COLUMNS))
        for rows, batch in split_by_shape(RAGGED, RAGGED_COLUMNS)
    ]
    assert join_groups(answers).to_pydict() == RAGGED.to_pydict()


def test_table_of_one_shape_is_one_group_and_not_copied() -> None:
    groups = split_by_shape(RAGGED.slice(0, 1), RAGGED_COLUMNS)
    assert len(groups) == 1
    assert join_groups(groups) is groups[0].batch


def test_record_that_is_ragged_inside_is_refused() -> None:
    column = Column("x", Dtype.INT64, (-1, -1))
    batch = table([[[1], [2]], [[1], [2, 3]]])
    with pytest.raises(ShapeError, match="row 1 has lengths 1 and 2 in one dimension"):
        split_by_shape(batch, [column])


def test_answer_of_another_length_is_refused() -> None:
    group = split_by_shape(RAGGED, RAGGED_COLUMNS)[0]
    with pytest.raises(ShapeError, match="a group of 2 rows has 1 records"):
        join_groups([ShapeGroup(group.rows, group.batch.slice(1))])
