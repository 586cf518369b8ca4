"""ONNX models in the native core, and what opening one may touch."""

from __future__ import annotations

import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pytest
from onnx import TensorProto, helper

from shoal import package, runtime
from shoal.errors import (
    CorruptPackageError,
    DtypeError,
    MissingColumnError,
    NullError,
    ShapeError,
    UnexpectedColumnError,
    UnsupportedModelError,
)

if TYPE_CHECKING:
    from pathlib import Path

    from shoal.package import Package

OPENING = """
import sys
from shoal import package
model = package.open(sys.argv[1]).model()
with package.open(sys.argv[1]).payload() as payload:
    assert isinstance(payload, bytes)
heavy = {"numpy", "pandas", "pyarrow", "onnx", "onnxruntime", "sklearn", "skl2onnx"}
print(sorted(heavy & set(sys.modules)))
"""


def doubling() -> bytes:
    graph = helper.make_graph(
        [helper.make_node("Add", ["X", "X"], ["Y"])],
        "test",
        [helper.make_tensor_value_info("X", TensorProto.FLOAT, ["N", 3])],
        [helper.make_tensor_value_info("Y", TensorProto.FLOAT, ["N", 3])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    data: bytes = model.SerializeToString(deterministic=True)
    return data


@pytest.fixture
def doubled(tmp_path: Path) -> Package:
    return package.build(doubling(), name="twice", version="1", output=tmp_path / "twice")


def vectors(rows: list[list[float]]) -> pa.RecordBatch:
    return pa.record_batch({"X": pa.array(rows, pa.list_(pa.float32(), 3))})


def test_opening_for_serving_imports_nothing_heavy(doubled: Package) -> None:
    command = [sys.executable, "-c", OPENING, str(doubled.path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_the_library_lies_in_the_wheel_that_is_not_imported() -> None:
    code = (
        "import sys; from shoal import runtime; place = runtime.library(); "
        "assert 'onnxruntime' not in sys.modules; print(place.is_file(), place.parent.name)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "True capi\n"


def test_row_i_answers_record_i(doubled: Package) -> None:
    answers = doubled.model().predict(vectors([[1, 2, 3], [4, 5, 6]]))
    assert answers.column("Y").to_pylist() == [[2, 4, 6], [8, 10, 12]]


def test_the_memory_of_a_batch_is_given_back(doubled: Package) -> None:
    model, before = doubled.model(), pa.total_allocated_bytes()
    batch = vectors([[1, 2, 3]] * 100_000)
    assert pa.total_allocated_bytes() > before
    answers = model.predict(batch)
    del batch
    assert pa.total_allocated_bytes() == before
    assert answers.column("Y")[-1].as_py() == [2, 4, 6]


def test_no_records_have_no_answers(doubled: Package) -> None:
    answers = doubled.model().predict(vectors([]))
    assert answers.num_rows == 0
    assert answers.schema.names == ["Y"]


def test_many_threads_may_ask_one_model(doubled: Package) -> None:
    model, wrong = doubled.model(), []

    def ask(number: int) -> None:
        for _ in range(50):
            found = model.predict(vectors([[number] * 3])).column("Y").to_pylist()
            if found != [[2.0 * number] * 3]:
                wrong.append(found)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


@pytest.mark.parametrize(
    ("batch", "error"),
    [
        (pa.record_batch({"Z": [1.0]}), MissingColumnError),
        (vectors([[1, 2, 3]]).append_column("Z", pa.array([1])), UnexpectedColumnError),
        (pa.record_batch({"X": ["text"]}), (DtypeError, ShapeError)),
        (pa.record_batch({"X": pa.array([[1.0, 2.0]], pa.list_(pa.float32(), 2))}), ShapeError),
        (pa.record_batch({"X": pa.array([None], pa.list_(pa.float32(), 3))}), NullError),
    ],
    ids=["missing", "unexpected", "dtype", "shape", "null"],
)
def test_a_batch_that_does_not_fit_is_refused_by_name(
    doubled: Package, batch: pa.RecordBatch, error: type[Exception]
) -> None:
    with pytest.raises(error, match=r"'X'|'Z'"):
        doubled.model().predict(batch)


def test_columns_may_be_wider_than_the_tensor(doubled: Package) -> None:
    wide = pa.record_batch({"X": pa.array([[1, 2, 3]], pa.list_(pa.int64()))})
    assert doubled.model().predict(wide).column("Y").to_pylist() == [[2, 4, 6]]


def test_a_payload_for_the_server_is_the_model_s_bytes(doubled: Package) -> None:
    with doubled.payload() as payload:
        assert payload == doubling()


@pytest.mark.parametrize("size", [0, 1, 40, 75])
def test_a_broken_file_is_refused_when_it_is_opened(doubled: Package, size: int) -> None:
    files = runtime.FilesInMemory({"model.onnx": doubling()[:size]})
    with pytest.raises((CorruptPackageError, UnsupportedModelError)):
        runtime.load(doubled.description, files)


def test_a_file_that_is_missing_is_refused(doubled: Package) -> None:
    with pytest.raises(CorruptPackageError, match=r"model\.onnx"):
        runtime.load(doubled.description, runtime.FilesInMemory({}))


def test_a_package_cannot_reach_for_data_outside_itself(doubled: Package) -> None:
    from onnx import external_data_helper, load_model_from_string, numpy_helper

    model = load_model_from_string(doubling())
    model.graph.initializer.append(numpy_helper.from_array(np.zeros(4, np.float32), "w"))
    external_data_helper.set_external_data(model.graph.initializer[0], "w.bin")
    files = runtime.FilesInMemory({"model.onnx": model.SerializeToString()})
    with pytest.raises(CorruptPackageError, match=r"w\.bin"):
        runtime.load(doubled.description, files)
    model.graph.initializer[0].external_data[0].value = "../w.bin"
    files = runtime.FilesInMemory({"model.onnx": model.SerializeToString()})
    with pytest.raises(UnsupportedModelError, match="outside the package"):
        runtime.load(doubled.description, files)
