"""How the steps of `_transformers` are written in ONNX.

`register` tells skl2onnx of them; whoever exports calls it once.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from shoal.train._prepare._transformers import (
    DateParts,
    FrequentOneHot,
    FrequentOrdinal,
    MissingFlags,
    ModelledImputer,
    Products,
    SingleScaler,
    WordWeights,
    calendar,
)

if TYPE_CHECKING:
    from collections.abc import Callable


class _Onnx:
    """Whole numbers in ONNX: division rounds towards zero, a remainder has the divisor's sign."""

    def __init__(self, opset: int) -> None:
        from skl2onnx.algebra import onnx_ops

        self._ops = onnx_ops
        self._opset = opset

    def divided(self, left: Any, right: int) -> Any:
        rest = self._op("OnnxMod", left, self._number(right))
        return self._op("OnnxDiv", self._op("OnnxSub", left, rest), self._number(right))

    def plus(self, left: Any, right: Any) -> Any:
        return self._op("OnnxAdd", left, self._number(right))

    def minus(self, left: Any, right: Any) -> Any:
        return self._op("OnnxSub", left, self._number(right))

    def times(self, left: Any, right: Any) -> Any:
        return self._op("OnnxMul", left, self._number(right))

    def _op(self, name: str, *inputs: Any) -> Any:
        return getattr(self._ops, name)(*inputs, op_version=self._opset)

    @staticmethod
    def _number(value: Any) -> Any:
        return np.array([value], np.int64) if isinstance(value, int) else value


@cache
def register() -> None:
    """Tells skl2onnx how these steps are written in ONNX."""
    from skl2onnx import update_registered_converter
    from skl2onnx.operator_converters.one_hot_encoder import convert_sklearn_one_hot_encoder
    from skl2onnx.operator_converters.ordinal_encoder import convert_sklearn_ordinal_encoder
    from skl2onnx.shape_calculators.one_hot_encoder import (
        calculate_sklearn_one_hot_encoder_output_shapes,
    )
    from skl2onnx.shape_calculators.ordinal_encoder import (
        calculate_sklearn_ordinal_encoder_output_shapes,
    )

    from shoal.train._prepare._stated import StatedScaler, convert_stated

    known: list[tuple[type, str, Callable[..., Any], Callable[..., Any]]] = [
        (MissingFlags, "ShoalMissingFlags", _same_width, _convert_flags),
        (ModelledImputer, "ShoalModelledImputer", _same_width, _convert_modelled),
        (SingleScaler, "ShoalSingleScaler", _same_width, _convert_scaler),
        (StatedScaler, "ShoalStatedScaler", _same_width, convert_stated),
        (Products, "ShoalProducts", _width_of_products, _convert_products),
        (WordWeights, "ShoalWordWeights", _same_width, _convert_weights),
        (DateParts, "ShoalDateParts", _width_of_parts, _convert_parts),
        (
            FrequentOneHot,
            "ShoalFrequentOneHot",
            calculate_sklearn_one_hot_encoder_output_shapes,
            convert_sklearn_one_hot_encoder,
        ),
        (
            FrequentOrdinal,
            "ShoalFrequentOrdinal",
            calculate_sklearn_ordinal_encoder_output_shapes,
            convert_sklearn_ordinal_encoder,
        ),
    ]
    for kind, name, shapes, converter in known:
        update_registered_converter(kind, name, shapes, converter)


def _same_width(operator: Any) -> None:
    _set_shape(operator, operator.raw_operator.n_features_in_)


def _width_of_parts(operator: Any) -> None:
    step = operator.raw_operator
    _set_shape(operator, step.n_features_in_ * len(step.parts))


def _width_of_products(operator: Any) -> None:
    _set_shape(operator, len(operator.raw_operator.factors_))


def _set_shape(operator: Any, width: int) -> None:
    from skl2onnx.common.data_types import FloatTensorType

    rows = operator.inputs[0].get_first_dimension()
    operator.outputs[0].type = FloatTensorType([rows, width])


def _convert_flags(scope: Any, operator: Any, container: Any) -> None:
    from skl2onnx.algebra import onnx_ops
    from skl2onnx.proto import onnx_proto

    opset = container.target_opset
    flags = onnx_ops.OnnxIsNaN(operator.inputs[0], op_version=opset)
    onnx_ops.OnnxCast(
        flags,
        to=onnx_proto.TensorProto.FLOAT,
        op_version=opset,
        output_names=operator.outputs[:1],
    ).add_to(scope, container)


def _convert_scaler(scope: Any, operator: Any, container: Any) -> None:
    from skl2onnx.algebra import onnx_ops
    from skl2onnx.proto import onnx_proto

    opset = container.target_opset
    step = operator.raw_operator
    numbers = onnx_ops.OnnxCast(
        operator.inputs[0], to=onnx_proto.TensorProto.FLOAT, op_version=opset
    )
    moved = onnx_ops.OnnxSub(numbers, step.offsets_, op_version=opset)
    onnx_ops.OnnxMul(
        moved, step.factors_, op_version=opset, output_names=operator.outputs[:1]
    ).add_to(scope, container)


def _convert_products(scope: Any, operator: Any, container: Any) -> None:
    from skl2onnx.algebra import onnx_ops
    from skl2onnx.proto import onnx_proto

    opset = container.target_opset
    values = onnx_ops.OnnxCast(
        operator.inputs[0], to=onnx_proto.TensorProto.DOUBLE, op_version=opset
    )
    pads = np.array([0, 0, 0, 1], np.int64)
    known = onnx_ops.OnnxPad(values, pads, np.array([1.0]), op_version=opset)
    first, *others = operator.raw_operator.factors_.T
    product = onnx_ops.OnnxGather(known, first, axis=1, op_version=opset)
    for factor in others:
        values = onnx_ops.OnnxGather(known, factor, axis=1, op_version=opset)
        product = onnx_ops.OnnxMul(product, values, op_version=opset)
    onnx_ops.OnnxCast(
        product,
        to=onnx_proto.TensorProto.FLOAT,
        op_version=opset,
        output_names=operator.outputs[:1],
    ).add_to(scope, container)


def _convert_weights(scope: Any, operator: Any, container: Any) -> None:
    from skl2onnx.algebra import onnx_ops
    from skl2onnx.proto import onnx_proto

    opset = container.target_opset
    counts = onnx_ops.OnnxCast(
        operator.inputs[0], to=onnx_proto.TensorProto.DOUBLE, op_version=opset
    )
    weighed = onnx_ops.OnnxMul(counts, operator.raw_operator.weights_, op_version=opset)
    squares = onnx_ops.OnnxMul(weighed, weighed, op_version=opset)
    sums = onnx_ops.OnnxReduceSum(squares, np.array([1]), keepdims=1, op_version=opset)
    lengths = onnx_ops.OnnxSqrt(sums, op_version=opset)
    is_empty = onnx_ops.OnnxEqual(lengths, np.array(0.0), op_version=opset)
    divisors = onnx_ops.OnnxWhere(is_empty, np.array(1.0), lengths, op_version=opset)
    onnx_ops.OnnxCast(
        onnx_ops.OnnxDiv(weighed, divisors, op_version=opset),
        to=onnx_proto.TensorProto.FLOAT,
        op_version=opset,
        output_names=operator.outputs[:1],
    ).add_to(scope, container)


def _convert_modelled(scope: Any, operator: Any, container: Any) -> None:
    from skl2onnx.algebra import onnx_ops
    from skl2onnx.proto import onnx_proto

    opset = container.target_opset
    step = operator.raw_operator
    known = onnx_ops.OnnxCast(
        operator.inputs[0], to=onnx_proto.TensorProto.DOUBLE, op_version=opset
    )
    is_missing = onnx_ops.OnnxIsNaN(known, op_version=opset)
    filled = onnx_ops.OnnxWhere(is_missing, step.medians_, known, op_version=opset)
    modelled = onnx_ops.OnnxAdd(
        onnx_ops.OnnxMatMul(filled, step.weights_, op_version=opset),
        step.intercepts_,
        op_version=opset,
    )
    whole = onnx_ops.OnnxWhere(is_missing, modelled, known, op_version=opset)
    onnx_ops.OnnxCast(
        whole,
        to=onnx_proto.TensorProto.FLOAT,
        op_version=opset,
        output_names=operator.outputs[:1],
    ).add_to(scope, container)


def _convert_parts(scope: Any, operator: Any, container: Any) -> None:
    from skl2onnx.algebra import onnx_ops
    from skl2onnx.proto import onnx_proto

    opset = container.target_opset
    step = operator.raw_operator
    found = []
    for column in range(step.n_features_in_):
        seconds = onnx_ops.OnnxGather(
            operator.inputs[0], np.array([column], np.int64), axis=1, op_version=opset
        )
        found += calendar(_Onnx(opset), seconds, step.parts)
    joined = onnx_ops.OnnxConcat(*found, axis=1, op_version=opset)
    onnx_ops.OnnxCast(
        joined,
        to=onnx_proto.TensorProto.FLOAT,
        op_version=opset,
        output_names=operator.outputs[:1],
    ).add_to(scope, container)
