"""The last step of a classifier, from the place of the largest score to its class, as one operator.

- The converter looks classes up with an operator of ONNX-ML, and then changes shape and type of
  what it found: four operators, each of which costs more than its work for few records. Where the
  classes are whole numbers that is one look-up, and none where they are 0, 1, 2, ...
- Every answer stays the same: a place is looked up among the same classes.

Source: ONNX-ML 3, ArrayFeatureExtractor; ONNX 18, ArgMax and Gather.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from shoal.package._scikit._links import Links, replace

if TYPE_CHECKING:
    from collections.abc import Mapping


def shorten_labels(model: Any) -> None:
    """Looks whole-numbered classes up in one step, wherever a graph does it in four.

    Args:
        model: An object of the package `onnx`; it is changed.
    """
    graph = model.graph
    links = Links(graph)
    for place in [node for node in graph.node if node.op_type == "ArgMax"]:
        steps = links.chain(place)
        if _is_look_up(steps[1:], links.constants):
            classes = links.constants[steps[1].input[0]]
            replace(graph, steps, _shorter(graph, steps, classes))


def _is_look_up(steps: list[Any], constants: Mapping[str, np.ndarray]) -> bool:
    """Whether whole-numbered classes become one number for each record, of 64 bits."""
    from onnx import TensorProto

    kinds = [step.op_type for step in steps]
    casts = kinds[2:]
    if kinds[:2] != ["ArrayFeatureExtractor", "Reshape"] or set(casts) != {"Cast"}:
        return False
    classes, shape = constants.get(steps[0].input[0]), constants.get(steps[1].input[1])
    is_whole = classes is not None and classes.ndim == 1 and classes.dtype.kind == "i"
    is_flat = shape is not None and shape.tolist() == [-1]
    return (
        is_whole and is_flat and {cast.attribute[0].i for cast in steps[2:]} == {TensorProto.INT64}
    )


def _shorter(graph: Any, steps: list[Any], classes: np.ndarray) -> list[Any]:
    """The place itself, where the classes are 0, 1, 2, ..., and the class at it otherwise."""
    from onnx import helper, numpy_helper

    place, target = steps[0], steps[-1].output[0]
    is_place = np.array_equal(classes, np.arange(len(classes)))
    found = target if is_place else f"{target}_place"
    flat = helper.make_node("ArgMax", list(place.input), [found])
    flat.attribute.extend(each for each in place.attribute if each.name != "keepdims")
    flat.attribute.append(helper.make_attribute("keepdims", 0))
    if is_place:
        return [flat]
    name = f"{target}_classes"
    graph.initializer.append(numpy_helper.from_array(classes.astype(np.int64), name))
    return [flat, helper.make_node("Gather", [name, found], [target])]
