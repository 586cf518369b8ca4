"""The last step of a classifier, from the place of the largest score to its class, as one operator.

- The converter looks classes up with an operator of ONNX-ML, and then changes shape and type of
  what it found: four operators, each of which costs more than its work for few records. Where the
  classes are whole numbers that is one look-up, and none where they are 0, 1, 2, ...
- Every answer stays the same: a place is looked up among the same classes.

Source: ONNX-ML 3, ArrayFeatureExtractor; ONNX 18, ArgMax and Gather.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping


def shorten_labels(model: Any) -> None:
    """Looks whole-numbered classes up in one step, wherever a graph does it in four.

    Args:
        model: An object of the package `onnx`; it is changed.
    """
    from onnx import numpy_helper

    graph = model.graph
    held = {each.name: numpy_helper.to_array(each) for each in graph.initializer}
    for place in [node for node in graph.node if node.op_type == "ArgMax"]:
        steps = _steps(graph, place, held)
        if steps:
            _replace(graph, place, steps, held[steps[0].input[0]])


def _steps(graph: Any, place: Any, held: Mapping[str, np.ndarray]) -> list[Any]:
    """The operators from a place to the class, if each is for the next one alone; else none."""
    outputs = {output.name for output in graph.output}
    used = Counter(name for node in graph.node for name in node.input)
    steps, name = [], place.output[0]
    while used[name] == 1 and name not in outputs:
        (step,) = (node for node in graph.node if name in node.input)
        steps.append(step)
        name = step.output[0]
    kinds = [step.op_type for step in steps]
    casts = [kind for kind in kinds[2:] if kind == "Cast"]
    if kinds[:2] != ["ArrayFeatureExtractor", "Reshape"] or kinds[2:] != casts or not casts:
        return []
    return steps if _is_look_up(steps, held) else []


def _is_look_up(steps: list[Any], held: Mapping[str, np.ndarray]) -> bool:
    """Whether whole-numbered classes become one number for each record, of 64 bits."""
    from onnx import TensorProto

    classes, shape = held.get(steps[0].input[0]), held.get(steps[1].input[1])
    kinds = {cast.attribute[0].i for cast in steps[2:]}
    is_whole = classes is not None and classes.ndim == 1 and classes.dtype.kind == "i"
    is_flat = shape is not None and shape.tolist() == [-1]
    return is_whole and is_flat and kinds == {TensorProto.INT64}


def _replace(graph: Any, place: Any, steps: list[Any], classes: np.ndarray) -> None:
    target = steps[-1].output[0]
    gone = {node.output[0] for node in (place, *steps)}
    short = _shorter(graph, place, target, classes)
    nodes: list[Any] = []
    for node in graph.node:
        # The shorter way stands where the longer one ended: all that it needs is there by then.
        nodes += short if node.output[0] == target else [node] * (node.output[0] not in gone)
    del graph.node[:]
    graph.node.extend(nodes)
    used = {name for node in nodes for name in node.input}
    left = [each for each in graph.initializer if each.name in used]
    del graph.initializer[:]
    graph.initializer.extend(left)


def _shorter(graph: Any, place: Any, target: str, classes: np.ndarray) -> list[Any]:
    """The place itself, where the classes are 0, 1, 2, ..., and the class at it otherwise."""
    from onnx import helper, numpy_helper

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
