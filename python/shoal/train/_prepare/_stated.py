"""A scaler all of whose numbers are stated: it learns nothing from records.

It fills what is missing, moves what is outside to the bounds, and scales, all in single precision,
so that ONNX gives the same numbers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.base import BaseEstimator, OneToOneFeatureMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Self

    from numpy.typing import NDArray

    Singles = NDArray[np.float32]


class StatedScaler(OneToOneFeatureMixin, TransformerMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """Takes away a centre and divides by a scale, within bounds.

    Args:
        lower: The least of each column.
        upper: The most of each column.
        fills: What a missing value of each column is.
        centers: What becomes 0.
        scales: How far from there 1 is.
    """

    def __init__(
        self,
        lower: Sequence[float],
        upper: Sequence[float],
        fills: Sequence[float],
        centers: Sequence[float],
        scales: Sequence[float],
    ) -> None:
        self.lower = lower
        self.upper = upper
        self.fills = fills
        self.centers = centers
        self.scales = scales

    def fit(self, values: Any, _target: Any = None) -> Self:
        """Learns nothing but the width."""
        self.n_features_in_ = np.shape(values)[1]
        return self

    def transform(self, values: Any) -> Singles:
        """(rows, columns) numbers of FP32."""
        check_is_fitted(self)
        lower, upper, fills, centers, factors = self.constants()
        known = np.asarray(values, np.float32)
        inside = np.minimum(np.maximum(np.where(np.isnan(known), fills, known), lower), upper)
        scaled: Singles = (inside - centers) * factors
        return scaled

    def constants(self) -> tuple[Singles, Singles, Singles, Singles, Singles]:
        """Lower and upper bounds, fills, centres and factors, one of each column."""
        factors = 1.0 / np.asarray(self.scales, np.float64)
        stated = (self.lower, self.upper, self.fills, self.centers, factors)
        lower, upper, fills, centers, factors_ = (np.asarray(each, np.float32) for each in stated)
        return lower, upper, fills, centers, factors_


def convert_stated(scope: Any, operator: Any, container: Any) -> None:
    """Writes the step in ONNX, operation by operation."""
    from skl2onnx.algebra import onnx_ops
    from skl2onnx.proto import onnx_proto

    version = {"op_version": container.target_opset}
    lower, upper, fills, centers, factors = operator.raw_operator.constants()
    known = onnx_ops.OnnxCast(operator.inputs[0], to=onnx_proto.TensorProto.FLOAT, **version)
    is_missing = onnx_ops.OnnxIsNaN(known, **version)
    filled = onnx_ops.OnnxWhere(is_missing, fills, known, **version)
    inside = onnx_ops.OnnxMin(onnx_ops.OnnxMax(filled, lower, **version), upper, **version)
    moved = onnx_ops.OnnxSub(inside, centers, **version)
    onnx_ops.OnnxMul(moved, factors, output_names=operator.outputs[:1], **version).add_to(
        scope, container
    )
