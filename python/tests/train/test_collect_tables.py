"""Tables, frames and arrays in memory become a dataset as files do."""

from __future__ import annotations

import datetime
import decimal
import uuid
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from shoal import train
from shoal.errors import (
    DtypeError,
    DuplicateColumnError,
    InvalidRequestError,
    ShapeError,
    SourceError,
)

if TYPE_CHECKING:
    from pathlib import Path

NUMBERS: dict[str, list[Any]] = {"n": [1, 2, None], "x": [0.5, None, 2.0], "word": ["a", None, "b"]}


def test_a_table_a_batch_a_frame_and_arrays_give_one_digest(tmp_path: Path) -> None:
    table = pa.table(NUMBERS)
    frame = table.to_pandas(types_mapper=pd.ArrowDtype)
    objects = {name: np.array(values, dtype=object) for name, values in NUMBERS.items()}
    sources = [table, table.to_batches()[0], frame, frame.astype(object), objects]
    digests = {
        train.collect(source, tmp_path / str(number)).digest
        for number, source in enumerate(sources)
    }
    assert len(digests) == 1


def test_a_frame_of_many_types(tmp_path: Path) -> None:
    frame = pd.DataFrame(
        {
            "number": np.array([1, 2], np.int8),
            "grade": pd.Categorical(["low", "low"]),
            "when": pd.to_datetime(["2026-01-01", None]),
            "money": [decimal.Decimal("1.25"), decimal.Decimal("NaN")],
            "key": [uuid.UUID(int=1), uuid.UUID(int=2)],
            "clock": [datetime.time(12, 30), None],
            "day": [datetime.date(2026, 1, 2), pd.NaT],
        }
    )
    dataset = train.collect(frame, tmp_path / "out")
    kinds = [column.kind for column in dataset.schema.columns]
    assert kinds == ["integer", "categorical", "datetime", "float", "text", "text", "date"]
    first, second = dataset.to_table().to_pylist()
    assert first["clock"] == "12:30:00"
    assert (second["when"], second["money"], second["day"]) == (None, None, None)


def test_a_column_of_objects_that_mixes_types_is_named(tmp_path: Path) -> None:
    frame = pd.DataFrame({"x": [1, 2.5, "three"]})
    with pytest.raises(DtypeError, match=r"row 2: column 'x' is 'three', where .* int"):
        train.collect(frame, tmp_path / "out")
    stated = train.Input(frame, types={"x": "text"})
    dataset = train.collect(stated, tmp_path / "out")
    assert dataset.to_table().column("x").to_pylist() == ["1", "2.5", "three"]


@pytest.mark.parametrize(
    ("source", "kind"),
    [
        (pd.DataFrame([[1, 2]], columns=["x", "x"]), DuplicateColumnError),
        (pa.Table.from_arrays([[1], [2]], names=["x", "x"]), DuplicateColumnError),
        (pd.DataFrame({0: [1]}), DtypeError),
        (pd.DataFrame({"x": [b"bytes"]}), DtypeError),
        (pd.DataFrame({"x": [[1], [2]]}), DtypeError),
        (pa.table({"x": pa.array([2**64 - 1], pa.uint64())}), DtypeError),
        (pd.DataFrame({"x": [2**70]}), DtypeError),
        ({"x": np.zeros(2, np.complex128)}, DtypeError),
        ({"x": np.array([b"bytes"])}, DtypeError),
        (pd.DataFrame({"x": ["\ud800"]}, dtype=object), DtypeError),
        ({"x": np.zeros((2, 2))}, ShapeError),
        ({"x": np.zeros(2), "y": np.zeros(3)}, ShapeError),
        (pa.table({"x": pa.array([], pa.int64())}), SourceError),
        (7, InvalidRequestError),
    ],
    ids=str,
)
def test_what_cannot_be_collected_is_refused(
    tmp_path: Path, source: Any, kind: type[Exception]
) -> None:
    with pytest.raises(kind):
        train.collect(source, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []
