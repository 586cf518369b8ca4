"""Scalar columns that pack into one: by name, whatever their type."""

from __future__ import annotations

import pyarrow as pa
import pytest

from shoal.runtime import Binding, Description, InputBinding, Policy, Tolerance, packed
from shoal.values import Column, Dtype, Signature

NUMBERS = [dtype for dtype in Dtype if dtype is not Dtype.BYTES]


def description(dtype: Dtype) -> Description:
    column = Column("x", dtype, (3,))
    inputs = (InputBinding(column="x", tensor="x", rank=2, features=("a", "b", "c")),)
    return Description(
        format=1,
        name="packs",
        version="1",
        runtime="onnx",
        pure=True,
        signature=Signature((column,), (column,)),
        binding=Binding(file="model.onnx", inputs=inputs, outputs=()),
        policy=Policy(),
        tolerance=Tolerance(),
        golden="none",
    )


@pytest.mark.parametrize("dtype", NUMBERS)
@pytest.mark.parametrize("rows", [0, 1, 11])
def test_features_of_every_type_pack_in_their_declared_order(dtype: Dtype, rows: int) -> None:
    is_flag = dtype is Dtype.BOOL
    kind = pa.bool_() if is_flag else pa.type_for_alias(dtype.name.lower().replace("fp", "float"))
    values = {
        name: [(row + at) % 2 == 0 if is_flag else row + at for row in range(rows)]
        for at, name in enumerate("abc")
    }
    plain = pa.bool_() if is_flag else pa.int16()
    columns = {name: pa.array(values[name], plain).cast(kind) for name in "cab"}
    batch = pa.RecordBatch.from_pydict({"other": [0] * rows, **columns})
    found = packed(batch, description(dtype))
    assert found.schema.names == ["other", "x"]
    wanted = [list(record) for record in zip(*(values[name] for name in "abc"), strict=True)]
    assert found.column("x").to_pylist() == wanted
