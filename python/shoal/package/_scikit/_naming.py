"""Names inside an exported model, in the order in which things are computed.

The converter counts on from model to model within a process, so that the same model exported again
would have other names, and with them another digest. Inputs and outputs keep their names.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator


def name_in_order(model: Any) -> None:
    """Renames all nodes, constants and values between them.

    Args:
        model: An object of the package `onnx`; it is changed.
    """
    graph = model.graph
    kept = {each.name: each.name for each in (*graph.input, *graph.output)}
    _name_graph(graph, kept, _Names(set(kept)))


class _Names:
    """New names, none of which is taken."""

    def __init__(self, taken: set[str]) -> None:
        self._taken = taken
        self._count = 0

    def new(self, kind: str) -> str:
        self._count += 1
        name = f"{kind}_{self._count}"
        return self.new(kind) if name in self._taken else name


def _name_graph(graph: Any, outer: dict[str, str], names: _Names) -> None:
    """Names in a graph; `outer` has the new name of all that it can see, by the old one."""
    known = dict(outer)
    for constant in _constants(graph):
        if constant.name not in outer:
            known[constant.name] = names.new("constant")
        constant.name = known[constant.name]
    for node in graph.node:
        node.name = names.new(node.op_type)
        node.input[:] = [known.get(each, each) for each in node.input]
        for subgraph in _subgraphs(node):
            _name_subgraph(subgraph, known, names)
        for output in node.output:
            if output and output not in outer:
                known[output] = names.new("value")
        node.output[:] = [known.get(each, each) for each in node.output]
    for value in (*graph.input, *graph.output, *graph.value_info):
        value.name = known.get(value.name, value.name)


def _name_subgraph(graph: Any, outer: dict[str, str], names: _Names) -> None:
    graph.name = names.new("graph")
    inputs = {each.name: names.new("value") for each in graph.input}
    hidden = {name for node in graph.node for name in node.output} | {
        each.name for each in _constants(graph)
    }
    seen = {name: new for name, new in outer.items() if name not in hidden}
    _name_graph(graph, {**seen, **inputs}, names)


def _constants(graph: Any) -> Iterator[Any]:
    yield from graph.initializer
    yield from (each.values for each in graph.sparse_initializer)


def _subgraphs(node: Any) -> Iterator[Any]:
    for attribute in node.attribute:
        if attribute.HasField("g"):
            yield attribute.g
        yield from attribute.graphs
