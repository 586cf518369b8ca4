"""Two models that differ in what a micro-batch saves, as files of ONNX.

- `network`: 400 dense layers of 2048, with the weights of eight. A call of one row reads all of it
  for little work, so that several rows take hardly longer than one: batching pays.
- `images`: 16 convolutions over 128 x 128 pixels with 32 channels. A row is work enough for the
  processor: n rows take n times as long.

Their weights are drawn, not trained: what they answer does not matter here, what they cost does.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

MODELS = ("network", "images")
SEED = 0
INPUTS = 64
LAYERS, WEIGHTS, WIDE, SCORES = 400, 8, 2048, 8
CONVOLUTIONS, CHANNELS, SIDE, SMALL, WINDOW = 16, 32, 128, 8, 3
FILTER_DIMENSIONS = 4
OPSET, FORMAT = 17, 9


def write(name: str, path: Path) -> None:
    """A model: 64 numbers in, some scores out."""
    import onnx
    from onnx import TensorProto, helper

    nodes, weights, outputs = _network() if name == "network" else _images()
    graph = helper.make_graph(
        nodes,
        name,
        [helper.make_tensor_value_info("X", TensorProto.FLOAT, ["rows", INPUTS])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["rows", outputs])],
        weights,
    )
    opset = helper.make_opsetid("", OPSET)
    model = helper.make_model(graph, opset_imports=[opset], ir_version=FORMAT)
    onnx.checker.check_model(model)
    onnx.save(model, str(path))


def _network() -> tuple[list[Any], list[Any], int]:
    from onnx import helper

    nodes = [helper.make_node("MatMul", ["X", "first"], ["rows0"])]
    for layer in range(LAYERS):
        nodes.append(
            helper.make_node(
                "MatMul", [f"rows{layer}", f"weights{layer % WEIGHTS}"], [f"sum{layer}"]
            )
        )
        nodes.append(helper.make_node("Tanh", [f"sum{layer}"], [f"rows{layer + 1}"]))
    nodes.append(helper.make_node("MatMul", [f"rows{LAYERS}", "last"], ["scores"]))
    dense = [_drawn(f"weights{layer}", WIDE, WIDE) for layer in range(WEIGHTS)]
    return nodes, [_drawn("first", INPUTS, WIDE), *dense, _drawn("last", WIDE, SCORES)], SCORES


def _images() -> tuple[list[Any], list[Any], int]:
    import numpy as np
    from onnx import helper, numpy_helper

    nodes = [
        helper.make_node("Reshape", ["X", "square"], ["small"]),
        helper.make_node("Tile", ["small", "times"], ["image0"]),
    ]
    for layer in range(CONVOLUTIONS):
        inputs = [f"image{layer}", "first" if layer == 0 else "shared"]
        nodes.append(helper.make_node("Conv", inputs, [f"sum{layer}"], pads=[1, 1, 1, 1]))
        nodes.append(helper.make_node("Tanh", [f"sum{layer}"], [f"image{layer + 1}"]))
    nodes.append(helper.make_node("GlobalAveragePool", [f"image{CONVOLUTIONS}"], ["pooled"]))
    nodes.append(helper.make_node("Flatten", ["pooled"], ["scores"]))
    weights = [
        numpy_helper.from_array(np.array([-1, 1, SMALL, SMALL]), "square"),
        numpy_helper.from_array(np.array([1, 1, SIDE // SMALL, SIDE // SMALL]), "times"),
        _drawn("first", CHANNELS, 1, WINDOW, WINDOW),
        _drawn("shared", CHANNELS, CHANNELS, WINDOW, WINDOW),
    ]
    return nodes, weights, CHANNELS


def _drawn(name: str, *shape: int) -> Any:
    import numpy as np
    from onnx import numpy_helper

    inputs = math.prod(shape[1:]) if len(shape) == FILTER_DIMENSIONS else shape[0]
    drawn = np.random.default_rng(SEED).standard_normal(shape, np.float32)
    return numpy_helper.from_array((drawn / inputs**0.5).astype(np.float32), name)
