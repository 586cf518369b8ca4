"""A classifier that answers by a threshold of its own, here and in a package.

`decided` puts a threshold on the probability of one of two classes behind a fitted classifier. In
ONNX it is one comparison behind the probabilities, in double precision as here; those themselves
stay as they are.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.model_selection import FixedThresholdClassifier

if TYPE_CHECKING:
    from skl2onnx.common._container import ModelComponentContainer
    from skl2onnx.common._topology import Operator, Scope

KIND = "ShoalFixedThresholdClassifier"
# Of operators, where it is not 13.
VERSIONS = {"GreaterOrEqual": 16, "Reshape": 14}


def decided(fitted: Any, threshold: float, positive: str) -> FixedThresholdClassifier:
    """A fitted classifier that answers `positive` from that probability on.

    Args:
        fitted: A classifier of two classes that gives probabilities.
        threshold: From which probability of `positive` on it is the answer.
        positive: One of its classes.
    """
    made = FixedThresholdClassifier(
        fitted, threshold=threshold, pos_label=positive, response_method="predict_proba"
    )
    made.estimator_ = fitted
    return made


def undecided(estimator: Any) -> Any:
    """The classifier without its threshold; any other estimator as it is."""
    return estimator.estimator_ if isinstance(estimator, FixedThresholdClassifier) else estimator


@cache
def register() -> None:
    """Tells skl2onnx how it is written in ONNX."""
    from skl2onnx import update_registered_converter
    from skl2onnx.common.shape_calculator import calculate_linear_classifier_output_shapes

    update_registered_converter(
        FixedThresholdClassifier,
        KIND,
        calculate_linear_classifier_output_shapes,
        _convert,
        options={"nocl": [True, False], "zipmap": [True, False, "columns"]},
        overwrite=True,
    )


def _convert(scope: Scope, operator: Operator, container: ModelComponentContainer) -> None:
    from onnx import TensorProto

    model = operator.raw_operator
    probabilities = _probabilities(scope, operator)
    label, shares = (each.full_name for each in operator.outputs)
    container.add_node("Cast", [probabilities], [shares], to=TensorProto.FLOAT, op_version=13)
    place = int(np.flatnonzero(model.classes_ == model.pos_label)[0])
    names = [model.classes_[1 - place], model.classes_[place]]

    def constant(kind: int, values: list[Any]) -> str:
        name: str = scope.get_unique_variable_name("threshold")
        container.add_initializer(name, kind, [len(values)], values)
        return name

    def node(kind: str, inputs: list[str], **options: Any) -> str:
        name: str = scope.get_unique_variable_name(kind)
        container.add_node(kind, inputs, [name], op_version=VERSIONS.get(kind, 13), **options)
        return name

    exact = node("Cast", [probabilities], to=TensorProto.DOUBLE)
    share = node("Gather", [exact, constant(TensorProto.INT64, [place])], axis=1)
    limit = constant(TensorProto.DOUBLE, [float(model.threshold)])
    is_positive = node("GreaterOrEqual", [share, limit])
    flat = node("Reshape", [is_positive, constant(TensorProto.INT64, [-1])])
    chosen = node("Cast", [flat], to=TensorProto.INT64)
    named = constant(TensorProto.STRING, [str(name).encode() for name in names])
    answer = node("Gather", [named, chosen], axis=0)
    container.add_node("Identity", [answer], [label])


def _probabilities(scope: Scope, operator: Operator) -> str:
    """The probabilities of the classifier inside."""
    from skl2onnx._supported_operators import sklearn_operator_name_map
    from skl2onnx.common.data_types import FloatTensorType, StringTensorType

    inner = operator.raw_operator.estimator_
    made = scope.declare_local_operator(sklearn_operator_name_map[type(inner)], inner)
    made.inputs = operator.inputs
    made.outputs.append(scope.declare_local_variable("label_inside", StringTensorType()))
    shares = scope.declare_local_variable("probabilities_inside", FloatTensorType())
    made.outputs.append(shares)
    name: str = shares.onnx_name
    return name
