"""Small ONNX models of variable length: one with a mask, and some that padding disturbs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import pyarrow as pa
from onnx import TensorProto, helper, numpy_helper

from shoal import package
from shoal.values import Padding

if TYPE_CHECKING:
    from pathlib import Path

    from shoal.package import Package

RULES = {"ids": Padding(0, multiple_of=8), "mask": Padding(0, multiple_of=8)}


def masked_sums() -> bytes:
    """`total` is the sum of `ids` where `mask` is 1; `states` [-1] adds it to each of these ids."""
    nodes = [
        helper.make_node("Mul", ["ids", "mask"], ["kept"]),
        helper.make_node("ReduceSum", ["kept", "axes"], ["sums"], keepdims=1),
        helper.make_node("Squeeze", ["sums", "axes"], ["total"]),
        helper.make_node("Add", ["kept", "sums"], ["states"]),
    ]
    inputs = {"ids": ["N", "L"], "mask": ["N", "L"]}
    return _model(nodes, inputs, {"total": ["N"], "states": ["N", "L"]})


def means() -> bytes:
    """`mean` of all `ids`, filling or not."""
    node = helper.make_node("ReduceMean", ["ids", "axes"], ["mean"], keepdims=0)
    return _model([node], {"ids": ["N", "L"]}, {"mean": ["N"]})


def latest() -> bytes:
    """`total` of the last eight `ids`: padding to eight at most does it no harm."""
    nodes = [
        helper.make_node("Slice", ["ids", "start", "end", "axes"], ["last"]),
        helper.make_node("ReduceSum", ["last", "axes"], ["total"], keepdims=0),
    ]
    bounds = {"start": -8, "end": 2**31 - 1}
    numbers = [numpy_helper.from_array(np.array([each]), name) for name, each in bounds.items()]
    return _model(nodes, {"ids": ["N", "L"]}, {"total": ["N"]}, *numbers)


def copies() -> bytes:
    """`copy` [-1] is `ids`."""
    node = helper.make_node("Identity", ["ids"], ["copy"])
    return _model([node], {"ids": ["N", "L"]}, {"copy": ["N", "L"]})


def _model(
    nodes: list[Any], inputs: dict[str, list[str]], outputs: dict[str, list[str]], *numbers: Any
) -> bytes:
    def tensors(named: dict[str, list[str]]) -> list[Any]:
        return [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
            for name, shape in named.items()
        ]

    axes = numpy_helper.from_array(np.array([1]), "axes")
    weights = [axes, *numbers]
    graph = helper.make_graph(nodes, "padded", tensors(inputs), tensors(outputs), weights)
    opset = [helper.make_opsetid("", 18)]
    model: onnx.ModelProto = helper.make_model(graph, opset_imports=opset, ir_version=9)
    return bytes(model.SerializeToString(deterministic=True))


def example() -> pa.RecordBatch:
    """Records of lengths 3, 5, 8 and 11."""
    lengths = [3, 5, 8, 11, 5]
    floats = pa.list_(pa.float32())
    ids = [[float(row + place) for place in range(length)] for row, length in enumerate(lengths)]
    masks = [[float(place != 1) for place in range(length)] for length in lengths]
    return pa.record_batch({"ids": pa.array(ids, floats), "mask": pa.array(masks, floats)})


def sealed(path: Path, rules: dict[str, Padding] | None = None) -> Package:
    """`masked_sums`, padded."""
    settings = package.Settings(padding=rules or RULES, follows={"states": "ids"})
    return package.build(
        masked_sums(),
        name="masked",
        version="1",
        output=path,
        example=example(),
        settings=settings,
    )
