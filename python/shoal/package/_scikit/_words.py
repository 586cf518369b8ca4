"""The words that an exported model knows, by the column of text that they are compared with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from shoal.package._proving._made_up import Words

if TYPE_CHECKING:
    from shoal.runtime import Binding

_LISTS = ("cats_strings", "keys_strings", "pool_strings")
"""Attributes of ONNX-ML operators that hold categories, keys of a table, and words of texts."""
_WORDS_LIMIT = 10_000


def words_of(model: Any, binding: Binding) -> dict[str, Words]:
    """What the file of a model holds for each column of text.

    Args:
        model: An object of the package `onnx`.
        binding: Which column is which tensor.
    """
    strings = _string_inputs(model)
    found = {
        each.column: _downstream(model, each.tensor)
        for each in binding.inputs
        if each.tensor in strings
    }
    return {column: words for column, words in found.items() if words.known}


def _string_inputs(model: Any) -> set[str]:
    from onnx import TensorProto

    return {
        each.name
        for each in model.graph.input
        if each.type.tensor_type.elem_type == TensorProto.STRING
    }


def _downstream(model: Any, tensor: str) -> Words:
    """The lists of the first operators on every way from a tensor that have one."""
    reached, known, is_sentence, refuses_others = {tensor}, set[str](), False, False
    for node in model.graph.node:  # in the order in which they are computed
        if reached.isdisjoint(node.input):
            continue
        lists = [each for each in node.attribute if each.name in _LISTS and each.strings]
        for each in lists:
            known.update(text.decode() for text in each.strings[:_WORDS_LIMIT])
            is_sentence = is_sentence or each.name == "pool_strings"
        refuses_others = refuses_others or _refuses_others(node)
        if not lists:
            reached.update(node.output)
    return Words(tuple(sorted(known - {""})), is_sentence, refuses_others)


def _refuses_others(node: Any) -> bool:
    """Whether an operator fails on a word that it does not list: OneHotEncoder without `zeros`."""
    zeros = (each.i for each in node.attribute if each.name == "zeros")
    return node.op_type == "OneHotEncoder" and next(zeros, 1) == 0
