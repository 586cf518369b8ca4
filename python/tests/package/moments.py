"""A model of moments that answers with their seconds, so that a test sees what reached it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
from onnx import TensorProto, helper

from shoal import package

if TYPE_CHECKING:
    from pathlib import Path

    from shoal.package import Package

MISSING = -7
"""What the model is given for a missing moment."""


def telling() -> bytes:
    """An ONNX file that gives each whole number back."""
    graph = helper.make_graph(
        [helper.make_node("Identity", ["at"], ["seconds"])],
        "telling",
        [helper.make_tensor_value_info("at", TensorProto.INT64, ["N"])],
        [helper.make_tensor_value_info("seconds", TensorProto.INT64, ["N"])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    data: bytes = model.SerializeToString(deterministic=True)
    return data


def example() -> pa.RecordBatch:
    """Moments that no test asks for."""
    return pa.record_batch({"at": pa.array([0, 86_399_999, -1], pa.timestamp("ms", "UTC"))})


def sealed(place: Path) -> Package:
    """The model as a package."""
    settings = package.Settings(moments=["at"], missing={"at": MISSING}, golden_rows="real")
    return package.build(
        telling(), name="telling", version="1", output=place, example=example(), settings=settings
    )
