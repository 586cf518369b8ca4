"""Small models and packages that the tests of this room share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from shoal import package
from tests.package.keys import Maker, Pair, maker

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from shoal.package import Package


def onnx_model(nodes: list[Any], *, shape: list[Any], inner: list[Any] | None = None) -> bytes:
    """An ONNX file from X to Y, of these nodes and of floats; both have the record first."""
    graph = helper.make_graph(
        nodes,
        "test",
        [helper.make_tensor_value_info("X", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("Y", TensorProto.FLOAT, shape if inner is None else inner)],
        [numpy_helper.from_array(np.array([2.0], np.float32), "two")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    data: bytes = model.SerializeToString(deterministic=True)
    return data


def doubling() -> bytes:
    """An ONNX file that doubles four numbers."""
    return onnx_model([helper.make_node("Mul", ["X", "two"], ["Y"])], shape=["N", 4])


@pytest.fixture(scope="session")
def model_bytes() -> bytes:
    return doubling()


@pytest.fixture
def sealed(tmp_path: Path, model_bytes: bytes) -> Package:
    """A small package with golden rows and one attestation."""
    rows = np.arange(12, dtype=np.float32).reshape(3, 4)
    built = package.build(
        model_bytes, name="double", version="1", output=tmp_path / "double", example=rows
    )
    return built.attest("metrics", {"accuracy": 0.5})


@pytest.fixture(scope="session")
def keys(program: Callable[[str], str], tmp_path_factory: pytest.TempPathFactory) -> Maker:
    return maker(program, tmp_path_factory.mktemp("keys"))


@pytest.fixture(scope="session")
def ann(keys: Maker) -> Pair:
    return keys.on("prime256v1", "ann")


@pytest.fixture(scope="session")
def ben(keys: Maker) -> Pair:
    return keys.on("prime256v1", "ben")


@pytest.fixture
def other(tmp_path: Path, model_bytes: bytes) -> Package:
    """Another package: the same model in another version."""
    rows = np.arange(12, dtype=np.float32).reshape(3, 4)
    output = tmp_path / "other"
    return package.build(model_bytes, name="double", version="2", output=output, example=rows)
