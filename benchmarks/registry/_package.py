"""A package that is large, and quick to seal: its weights are used by nobody."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from shoal import package

if TYPE_CHECKING:
    from pathlib import Path

COLUMNS = 4


def sealed(place: Path, megabytes: int) -> str:
    """Seals it; gives its digest."""
    weights = np.random.default_rng(0).random(megabytes * 1_000_000 // 4, np.float32)
    graph = helper.make_graph(
        [helper.make_node("Mul", ["X", "two"], ["Y"])],
        "large",
        [helper.make_tensor_value_info("X", TensorProto.FLOAT, ["N", COLUMNS])],
        [helper.make_tensor_value_info("Y", TensorProto.FLOAT, ["N", COLUMNS])],
        [
            numpy_helper.from_array(np.array([2.0], np.float32), "two"),
            numpy_helper.from_array(weights, "weights"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    example = np.random.default_rng(1).random((200, COLUMNS), np.float32)
    text = model.SerializeToString(deterministic=True)
    built = package.build(text, name="large", version="1", output=place, example=example)
    return built.digest
