"""How the operators of a graph hang together: whose result is for whom.

What changes a graph asks here before it takes an operator away: nobody else may need what it gives.
"""

from __future__ import annotations

from collections import defaultdict
from functools import cached_property
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import numpy as np


class Links:
    """A graph as it was when this was made.

    Args:
        graph: The graph of an object of the package `onnx`.
    """

    def __init__(self, graph: Any) -> None:
        self._graph = graph
        self._outputs = {output.name for output in graph.output}
        self._users: defaultdict[str, list[Any]] = defaultdict(list)
        for node in graph.node:
            for name in node.input:
                self._users[name].append(node)

    @cached_property
    def constants(self) -> Mapping[str, np.ndarray]:
        """The values that the graph brings along, by name."""
        from onnx import numpy_helper

        return {each.name: numpy_helper.to_array(each) for each in self._graph.initializer}

    def chain(self, node: Any) -> list[Any]:
        """The operator and those behind it, while what each gives is for the next one alone."""
        steps = [node]
        while (name := steps[-1].output[0]) not in self._outputs and len(self._users[name]) == 1:
            steps.append(self._users[name][0])
        return steps


def replace(graph: Any, gone: Sequence[Any], added: Iterable[Any]) -> None:
    """Puts operators where the last of others stood, and drops the constants that nobody needs."""
    lost = {node.output[0] for node in gone}
    last = gone[-1].output[0]
    nodes: list[Any] = []
    for node in graph.node:
        name = node.output[0]
        nodes += added if name == last else [node] * (name not in lost)
    del graph.node[:]
    graph.node.extend(nodes)
    used = {name for node in nodes for name in node.input}
    left = [each for each in graph.initializer if each.name in used]
    del graph.initializer[:]
    graph.initializer.extend(left)
