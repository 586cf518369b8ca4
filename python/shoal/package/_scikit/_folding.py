"""A scaler in front of a layer becomes part of the layer's weights, and costs nothing.

- `((x - offset) * scale) @ weights + bias` is `x @ (scale * weights) + (bias - offset * scale @
  weights)`. The new constants are computed in double precision and kept in single precision.
- What changes is rounding: sums are of `x * scale`, which lies `offset * scale` from what was
  summed before. Where that is more than `LARGEST_OFFSET` deviations the scaler stays, so that no
  feature loses more than a millionth of its deviation to it. It stays as well where a constant
  would overflow, or lose digits because it is so small.
- What is missing or infinite spreads through the layer as it did before.

Source: ONNX 18, Gemm; Higham, Accuracy and Stability of Numerical Algorithms, section 3.1
(the rounding of a sum of products is bounded by the sum of their magnitudes).
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from shoal.package._scikit._links import Links, replace

if TYPE_CHECKING:
    from collections.abc import Mapping

LARGEST_OFFSET = 8.0
SHAPE = ["Sub", "Mul", "MatMul", "Add"]


class Layer(NamedTuple):
    """A scaler, and the layer that it is for."""

    steps: list[Any]
    weights: np.ndarray
    bias: np.ndarray


def fold_scalers(model: Any) -> None:
    """Folds each scaler that is for one layer alone into the layer.

    Args:
        model: An object of the package `onnx`, its scalers written out; it is changed.
    """
    graph = model.graph
    links = Links(graph)
    for start in [node for node in graph.node if node.op_type == "Sub"]:
        if layer := _layer(links.chain(start), links.constants):
            replace(graph, layer.steps, [_product(graph, layer)])


def _layer(steps: list[Any], constants: Mapping[str, np.ndarray]) -> Layer | None:
    """The scaler and the layer that a chain begins with, if one may become part of the other."""
    inner = [step for step in steps if step.op_type != "Cast"][: len(SHAPE)]
    if [step.op_type for step in inner] != SHAPE:
        return None
    own = steps[: steps.index(inner[-1]) + 1]
    values = [constants.get(step.input[1]) for step in inner]
    floats = [value for value in values if value is not None and value.dtype == np.float32]
    if len(floats) != len(SHAPE) or not _is_in_line(own):
        return None
    return _folded(own, *(value.astype(np.float64) for value in floats))


def _is_in_line(steps: list[Any]) -> bool:
    """Whether the records go through all steps on the left, as floats of single precision."""
    from onnx import TensorProto

    casts = {step.attribute[0].i for step in steps if step.op_type == "Cast"}
    is_left = all(step.input[0] == before.output[0] for before, step in pairwise(steps))
    return is_left and casts <= {TensorProto.FLOAT}


def _folded(
    steps: list[Any], offset: np.ndarray, scale: np.ndarray, weights: np.ndarray, bias: np.ndarray
) -> Layer | None:
    shift = offset * scale
    is_row = weights.ndim == 2 and shift.shape == scale.shape == (1, len(weights))  # noqa: PLR2004
    if not is_row or not np.abs(shift).max(initial=0) <= LARGEST_OFFSET:
        return None
    wide, moved = scale.T * weights, bias - (shift @ weights).reshape(bias.shape)
    if not (_is_kept(wide, weights) and _is_kept(moved, moved)):
        return None
    return Layer(steps, wide.astype(np.float32), moved.astype(np.float32))


def _is_kept(constants: np.ndarray, before: np.ndarray) -> bool:
    """Whether single precision holds the constants as well as it held what they were made of."""
    limits = np.finfo(np.float32)
    size = np.abs(constants)
    return bool(
        np.all((size >= limits.tiny) | (np.abs(before) < limits.tiny))
        and np.all(size <= limits.max)
    )


def _product(graph: Any, layer: Layer) -> Any:
    """The layer as one operator; what it takes are rows, as what a scaler takes."""
    from onnx import helper, numpy_helper

    first, *_, last = layer.steps
    names = [f"{first.output[0]}_{part}" for part in ("weights", "bias")]
    constants = zip((layer.weights, layer.bias), names, strict=True)
    graph.initializer.extend(numpy_helper.from_array(*each) for each in constants)
    return helper.make_node("Gemm", [first.input[0], *names], [last.output[0]])
