"""Sealing ONNX files: their columns, what they may not reach for, and law 1."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import pyarrow as pa
import pytest
from onnx import TensorProto, external_data_helper, helper, numpy_helper
from skl2onnx import to_onnx
from sklearn.linear_model import LogisticRegression

from shoal import package
from shoal.errors import (
    BatchDependenceError,
    CorruptPackageError,
    InvalidRequestError,
    PathError,
    UnsupportedModelError,
)

from .conftest import onnx_model

if TYPE_CHECKING:
    from pathlib import Path

    from shoal.package import Package


def seal(model: Any, place: Path, **named: Any) -> Package:
    return package.build(model, name="model", version="1", output=place / "sealed", **named)


def test_a_file_is_sealed_by_path_and_by_bytes(tmp_path: Path, model_bytes: bytes) -> None:
    (tmp_path / "model.onnx").write_bytes(model_bytes)
    by_path = seal(tmp_path / "model.onnx", tmp_path)
    by_text = package.build(
        str(tmp_path / "model.onnx"), name="model", version="1", output=tmp_path / "text"
    )
    by_bytes = package.build(model_bytes, name="model", version="1", output=tmp_path / "bytes")
    assert by_path.digest == by_text.digest == by_bytes.digest
    assert by_path.read("model.onnx") == model_bytes


def test_golden_rows_are_the_first_that_json_can_hold(tmp_path: Path, model_bytes: bytes) -> None:
    rows = np.arange(24, dtype=np.float32).reshape(6, 4)
    rows[0, 1] = np.nan
    built = seal(model_bytes, tmp_path, example=rows, settings=package.Settings(golden_rows="real"))
    golden = built.description.golden
    assert golden != "none"
    assert golden.inputs[0]["shape"] == [4, 4]
    assert golden.inputs[0]["data"][:4] == [4.0, 5.0, 6.0, 7.0]
    assert golden.outputs[0]["data"][:4] == [8.0, 10.0, 12.0, 14.0]
    assert package.verify(tmp_path / "sealed").golden_rows == 4


def test_a_tensor_of_one_number_for_each_record_is_a_scalar_column(tmp_path: Path) -> None:
    for shape, rank in ((["N"], 1), (["N", 1], 2)):
        place = tmp_path / str(rank)
        built = seal(onnx_model([helper.make_node("Neg", ["X"], ["Y"])], shape=shape), place)
        assert built.signature.inputs[0].shape == built.signature.outputs[0].shape == ()
        assert built.description.binding.inputs[0].rank == rank
        answers = built.model().predict(pa.record_batch({"X": pa.array([1.0, 2.0], pa.float32())}))
        assert answers.column("Y").to_pylist() == [-1.0, -2.0]


def test_variable_dimensions_answer_records_of_different_shapes_in_order(tmp_path: Path) -> None:
    nodes = [helper.make_node("ReduceMax", ["X", "axes"], ["Y"], keepdims=0)]
    graph = helper.make_graph(
        nodes,
        "test",
        [helper.make_tensor_value_info("X", TensorProto.FLOAT, ["N", "L"])],
        [helper.make_tensor_value_info("Y", TensorProto.FLOAT, ["N"])],
        [numpy_helper.from_array(np.array([1]), "axes")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    built = seal(model, tmp_path)
    assert built.signature.inputs[0].shape == (-1,)
    rows = pa.array([[1.0, 5.0], [2.0], [7.0, 3.0]], pa.list_(pa.float32()))
    answers = built.model().predict(pa.record_batch({"X": rows}))
    assert answers.column("Y").to_pylist() == [5.0, 2.0, 7.0]


def test_a_zipmap_becomes_a_tensor_with_named_classes(tmp_path: Path) -> None:
    rows = np.random.default_rng(0).normal(size=(60, 3)).astype(np.float32)
    labels = np.array(["no", "yes"])[(rows[:, 0] > 0).astype(int)]
    fitted = LogisticRegression().fit(rows, labels)
    model = to_onnx(fitted, rows[:1], target_opset={"": 18, "ai.onnx.ml": 3})
    assert b"ZipMap" in model.SerializeToString()
    built = seal(model, tmp_path, example=rows)
    label, probabilities = built.signature.outputs
    assert (label.name, label.dtype.value) == ("output_label", "BYTES")
    assert (probabilities.name, probabilities.shape) == ("output_probability", (2,))
    assert probabilities.classes == ("no", "yes")
    assert b"ZipMap" not in built.read("model.onnx")


def test_an_example_packs_the_features_that_the_settings_name(
    tmp_path: Path, model_bytes: bytes
) -> None:
    names = ["a", "b", "c", "d"]
    example = {name: [float(at), 1.0] for at, name in enumerate(reversed(names))}
    built = seal(
        model_bytes,
        tmp_path,
        example=example,
        settings=package.Settings(features={"X": names}, golden_rows="real"),
    )
    golden = built.description.golden
    assert golden != "none"
    assert golden.inputs[0]["data"][:4] == [3.0, 2.0, 1.0, 0.0]
    with pytest.raises(InvalidRequestError, match="'Z'"):
        seal(model_bytes, tmp_path, settings=package.Settings(features={"Z": names}))


def test_a_stated_value_replaces_a_null(tmp_path: Path) -> None:
    model = onnx_model([helper.make_node("Neg", ["X"], ["Y"])], shape=["N"])
    built = seal(model, tmp_path, settings=package.Settings(missing={"X": 3.5}))
    answers = built.model().predict(pa.record_batch({"X": pa.array([1.0, None], pa.float32())}))
    assert answers.column("Y").to_pylist() == [-1.0, -3.5]


def scaled_by_the_batch() -> bytes:
    """As dynamic quantization does: the scale comes from everything in the batch."""
    nodes = [
        helper.make_node("ReduceMax", ["X"], ["largest"], keepdims=0),
        helper.make_node("Div", ["X", "largest"], ["Y"]),
    ]
    return onnx_model(nodes, shape=["N", 4])


def test_a_model_that_scales_by_its_batch_is_refused(tmp_path: Path) -> None:
    rows = np.random.default_rng(0).uniform(1, 2, (20, 4)).astype(np.float32)
    for example in (rows, None):
        with pytest.raises(BatchDependenceError, match="depend on the batch"):
            seal(scaled_by_the_batch(), tmp_path, example=example)
    assert not (tmp_path / "sealed").exists()


def test_one_row_is_enough_to_see_a_scale_of_the_batch(tmp_path: Path) -> None:
    rows = np.full((1, 4), 2.0, np.float32)
    with pytest.raises(BatchDependenceError, match="beside an outlier"):
        seal(scaled_by_the_batch(), tmp_path, example=rows)


def test_a_fixed_batch_is_refused(tmp_path: Path) -> None:
    model = onnx_model([helper.make_node("Neg", ["X"], ["Y"])], shape=[1, 4])
    with pytest.raises(UnsupportedModelError, match=r"\[1, 4\]"):
        seal(model, tmp_path)


@pytest.mark.parametrize("cut", [0.3, 0.9, 0.999])
def test_a_truncated_file_is_refused(cut: float, tmp_path: Path, model_bytes: bytes) -> None:
    with pytest.raises(CorruptPackageError):
        seal(model_bytes[: int(len(model_bytes) * cut)], tmp_path)


def test_what_is_no_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises((CorruptPackageError, UnsupportedModelError)):
        seal(b"\0" * 64, tmp_path)
    with pytest.raises(PathError):
        seal(tmp_path / "nothing.onnx", tmp_path)
    with pytest.raises(InvalidRequestError, match="a int cannot be sealed"):
        seal(7, tmp_path)


def test_operators_of_a_custom_library_are_refused(tmp_path: Path) -> None:
    node = helper.make_node("Own", ["X"], ["Y"], domain="com.example")
    with pytest.raises(UnsupportedModelError, match=r"'com.example'"):
        seal(onnx_model([node], shape=["N", 4]), tmp_path)


def test_custom_operators_inside_a_branch_are_found(tmp_path: Path) -> None:
    inner = helper.make_graph(
        [helper.make_node("Own", ["X"], ["inner"], domain="com.example")],
        "inner",
        [],
        [helper.make_tensor_value_info("inner", TensorProto.FLOAT, ["N", 4])],
    )
    branch = helper.make_node("If", ["X"], ["Y"], then_branch=inner, else_branch=inner)
    with pytest.raises(UnsupportedModelError, match=r"'com.example'"):
        seal(onnx_model([branch], shape=["N", 4]), tmp_path)


def with_data_in(location: str) -> bytes:
    model = onnx.load_model_from_string(
        onnx_model([helper.make_node("Mul", ["X", "weights"], ["Y"])], shape=["N", 4])
    )
    weights = numpy_helper.from_array(np.arange(4, dtype=np.float32), "weights")
    model.graph.initializer.append(weights)
    tensor = model.graph.initializer[1]
    external_data_helper.set_external_data(tensor, location, offset=0, length=16)
    tensor.ClearField("raw_data")
    data: bytes = model.SerializeToString()
    return data


def test_data_beside_the_model_is_sealed_with_it(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(with_data_in("weights.bin"))
    (tmp_path / "weights.bin").write_bytes(np.arange(4, dtype=np.float32).tobytes())
    built = seal(tmp_path / "model.onnx", tmp_path, example=np.ones((3, 4), np.float32))
    assert built.files() == ("model.onnx", "shoal.json", "weights.bin")
    (tmp_path / "weights.bin").unlink()
    answers = (
        package.open(built.path)
        .model()
        .predict(pa.record_batch({"X": pa.array([[1.0] * 4], pa.list_(pa.float32(), 4))}))
    )
    assert answers.column("Y").to_pylist() == [[0.0, 1.0, 2.0, 3.0]]


@pytest.mark.parametrize(
    "location", ["../weights.bin", "/etc/passwd", "a/../../weights.bin", "C:\\weights", "./w.bin"]
)
def test_data_outside_the_package_is_refused(location: str, tmp_path: Path) -> None:
    (tmp_path / "weights.bin").write_bytes(bytes(16))
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "model.onnx").write_bytes(with_data_in(location))
    with pytest.raises(UnsupportedModelError, match="outside the package"):
        seal(tmp_path / "inner" / "model.onnx", tmp_path)


def test_data_behind_a_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(bytes(16))
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "weights.bin").symlink_to(tmp_path / "secret")
    (tmp_path / "inner" / "model.onnx").write_bytes(with_data_in("weights.bin"))
    with pytest.raises(UnsupportedModelError, match="no file in its own directory"):
        seal(tmp_path / "inner" / "model.onnx", tmp_path)


def test_bytes_that_keep_data_elsewhere_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedModelError, match=r"weights.bin"):
        seal(with_data_in("weights.bin"), tmp_path)
