"""A network whose calls take a millisecond or so: 64 numbers, 2048 and 2048 hidden ones, 10 scores.

Its weights are drawn, not trained: what it answers does not matter here, what it costs does. It is
too slow for the event loop, so that its micro-batches run on a thread.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

SEED = 0
SIZES = (64, 2048, 2048, 10)
OPSET, FORMAT = 17, 9


def write(path: Path) -> None:
    """The network, as a file of ONNX."""
    import onnx
    from onnx import TensorProto, helper

    graph = helper.make_graph(
        _nodes(),
        "wide",
        [helper.make_tensor_value_info("X", TensorProto.FLOAT, ["rows", SIZES[0]])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["rows", SIZES[-1]])],
        _weights(),
    )
    opset = helper.make_opsetid("", OPSET)
    model = helper.make_model(graph, opset_imports=[opset], ir_version=FORMAT)
    onnx.checker.check_model(model)
    onnx.save(model, str(path))


def _nodes() -> list[Any]:
    from onnx import helper

    return [
        helper.make_node("MatMul", ["X", "weights0"], ["first"]),
        helper.make_node("Relu", ["first"], ["first_rectified"]),
        helper.make_node("MatMul", ["first_rectified", "weights1"], ["second"]),
        helper.make_node("Relu", ["second"], ["second_rectified"]),
        helper.make_node("MatMul", ["second_rectified", "weights2"], ["scores"]),
    ]


def _weights() -> list[Any]:
    import numpy as np
    from onnx import numpy_helper

    random = np.random.default_rng(SEED)
    pairs = itertools.pairwise(SIZES)
    drawn = [random.standard_normal(pair).astype(np.float32) / pair[0] ** 0.5 for pair in pairs]
    return [numpy_helper.from_array(each, f"weights{place}") for place, each in enumerate(drawn)]
