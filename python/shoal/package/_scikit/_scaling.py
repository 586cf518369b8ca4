"""The operator Scaler of ONNX-ML, written as what it computes in plain ONNX.

- ONNX Runtime computes a Scaler value by value and does not know the shape of what it gives, so
  that a layer behind it stays three operators (product, sum, rectifier) instead of becoming one.
  A difference and a product run over many values at once, and what they give is declared.
- Every value stays the same to its last bit: `(x - offset) * scale` in single precision.

Source: ONNX-ML 3, Scaler; ONNX Runtime 1.31, MatMulAddFusion and GemmActivationFusion.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator


def write_out_scalers(model: Any) -> None:
    """Replaces every Scaler of a graph whose records are rows of features.

    Args:
        model: An object of the package `onnx`; it is changed.
    """
    graph = model.graph
    nodes = [each for node in graph.node for each in _written_out(graph, node)]
    del graph.node[:]
    graph.node.extend(nodes)


def _written_out(graph: Any, node: Any) -> Iterator[Any]:
    from onnx import TensorProto, helper

    if node.op_type != "Scaler":
        yield node
        return
    (source,), (target,) = node.input, node.output
    held = {each.name: np.array([each.floats], np.float32) for each in node.attribute}
    floats, offset, centered, scale = (
        f"{target}_{part}" for part in ("floats", "offset", "centered", "scale")
    )
    _add_constants(graph, {offset: held["offset"], scale: held["scale"]})
    _declare(graph, target, held["offset"].shape[1])
    # Whole numbers become floats before anything is taken from them; floats stay as they are.
    yield helper.make_node("Cast", [source], [floats], to=TensorProto.FLOAT)
    yield helper.make_node("Sub", [floats, offset], [centered])
    yield helper.make_node("Mul", [centered, scale], [target])


def _add_constants(graph: Any, constants: dict[str, np.ndarray]) -> None:
    from onnx import numpy_helper

    graph.initializer.extend(numpy_helper.from_array(*reversed(each)) for each in constants.items())


def _declare(graph: Any, name: str, width: int) -> None:
    """Says that a value is rows of so many features; the outputs of a graph say so themselves."""
    from onnx import TensorProto, helper

    if name not in {output.name for output in graph.output}:
        value = helper.make_tensor_value_info(name, TensorProto.FLOAT, [None, width])
        graph.value_info.append(value)
