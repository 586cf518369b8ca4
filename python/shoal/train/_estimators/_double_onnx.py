"""How the estimators of `_double` and `_neighbours` are written in ONNX, in double precision.

Source: scikit-learn 1.9: `LinearClassifierMixin`, `LogisticRegression.predict_proba`,
`BaseMultilayerPerceptron._forward_pass_fast`, `GaussianNB._joint_log_likelihood`,
`BaseSVC.decision_function` and `utils.multiclass._ovr_decision_function`; of the order of support
vectors, LIBSVM 3.x, `svm_predict_values`.
"""

from __future__ import annotations

from functools import cache
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np

from shoal.train._estimators import _double, _neighbours
from shoal.train._estimators._neighbours import FULL_WEIGHT

if TYPE_CHECKING:
    from collections.abc import Callable

    Scores = Callable[["Ops", Any, Any], "Scored"]

_BINARY = 2


class Ops:
    """Operators of ONNX, for one model."""

    def __init__(self, container: Any) -> None:
        """Takes the model that is made."""
        from skl2onnx.algebra import onnx_ops
        from skl2onnx.proto import onnx_proto

        self._ops = onnx_ops
        self._opset = container.target_opset
        self._types = onnx_proto.TensorProto

    def __call__(self, name: str, *inputs: Any, **attributes: Any) -> Any:
        """One operator."""
        return getattr(self._ops, f"Onnx{name}")(*inputs, op_version=self._opset, **attributes)

    def double(self, values: Any) -> Any:
        """As doubles."""
        return self("Cast", values, to=self._types.DOUBLE)

    def whole(self, values: Any) -> Any:
        """As whole numbers."""
        return self("Cast", values, to=self._types.INT64)

    def single(self, values: Any, names: Any) -> Any:
        """As the single-precision output of this name."""
        return self("Cast", values, to=self._types.FLOAT, output_names=names)

    def linear(self, values: Any, weights: Any, biases: Any) -> Any:
        """(rows, outputs) sums of features times weights, and biases."""
        product = self("MatMul", values, np.asarray(weights, np.float64))
        return self("Add", product, np.asarray(biases, np.float64).reshape(1, -1))

    def largest(self, values: Any) -> Any:
        """(rows,) the place of the largest; of equal ones the first."""
        return self("ArgMax", values, axis=1, keepdims=0)

    def is_above(self, values: Any, limit: float) -> Any:
        """(rows,) 1 where the only column is above a limit, else 0."""
        above = self.whole(self("Greater", values, np.array([[limit]], np.float64)))
        return self("Reshape", above, np.array([-1], np.int64))

    def both(self, second: Any, first: Any) -> Any:
        """Two columns beside each other."""
        return self("Concat", first, second, axis=1)


class Scored:
    """What decides about labels: their places, and what is answered beside them."""

    def __init__(self, place: Any, shown: Any) -> None:
        """Takes (rows,) places of classes and (rows, classes) numbers."""
        self.place = place
        self.shown = shown


def _logistic(op: Ops, values: Any, model: Any) -> Scored:
    scores = op.linear(values, model.coef_.T, model.intercept_)
    if len(model.classes_) == _BINARY:
        probable = op("Sigmoid", scores)
        return Scored(op.is_above(scores, 0.0), _with_rest(op, probable))
    return Scored(op.largest(scores), op("Softmax", scores, axis=1))


def _naive_bayes(op: Ops, values: Any, model: Any) -> Scored:
    likely = []
    for prior, means, variances in zip(model.class_prior_, model.theta_, model.var_, strict=True):
        apart = op("Sub", values, means.reshape(1, -1))
        squares = op("Div", op("Mul", apart, apart), variances.reshape(1, -1))
        total = op("ReduceSum", squares, np.array([1], np.int64), keepdims=1)
        constant = np.log(prior) - 0.5 * np.sum(np.log(2.0 * np.pi * variances))
        halved = op("Mul", total, np.array([[-0.5]]))
        likely.append(op("Add", halved, np.array([[constant]])))
    scores = op("Concat", *likely, axis=1)
    return Scored(op.largest(scores), op("Softmax", scores, axis=1))


def _network_classifier(op: Ops, values: Any, model: Any) -> Scored:
    scores = _network(op, values, model)
    if model.n_outputs_ == 1:
        probable = op("Sigmoid", scores)
        return Scored(op.is_above(probable, 0.5), _with_rest(op, probable))
    probable = op("Softmax", scores, axis=1)
    return Scored(op.largest(probable), probable)


def _linear_machine(op: Ops, values: Any, model: Any) -> Scored:
    scores = op.linear(values, model.coef_.T, model.intercept_)
    if len(model.classes_) == _BINARY:
        return Scored(op.is_above(scores, 0.0), op.both(scores, op("Neg", scores)))
    return Scored(op.largest(scores), scores)


def _machine(op: Ops, values: Any, model: Any) -> Scored:
    decisions = op.linear(_kernel(op, values, model), _pair_weights(model), model._intercept_)
    count = len(model.classes_)
    if count == _BINARY:
        scores = op("Neg", decisions)
        return Scored(op.is_above(scores, 0.0), op.both(scores, decisions))
    pairs = np.array(list(combinations(range(count), 2)))
    first, second = np.eye(count)[pairs[:, 0]], np.eye(count)[pairs[:, 1]]
    is_second = op.double(op("Less", decisions, np.array([[0.0]])))
    is_first = op("Sub", np.array([[1.0]]), is_second)
    votes = op("Add", op("MatMul", is_first, first), op("MatMul", is_second, second))
    sums = op("MatMul", decisions, first - second)
    size = op("Mul", op("Add", op("Abs", sums), np.array([[1.0]])), np.array([[3.0]]))
    return Scored(op.largest(votes), op("Add", votes, op("Div", sums, size)))


def _pair_weights(model: Any) -> Any:
    """(support vectors, pairs) what each vector counts for in the decision between two classes."""
    ends = np.cumsum(model.n_support_)
    of_class = np.searchsorted(ends, np.arange(ends[-1]), side="right")
    found = []
    for first, second in combinations(range(len(model.classes_)), 2):
        weights = np.zeros(len(of_class))
        weights[of_class == first] = model._dual_coef_[second - 1, of_class == first]
        weights[of_class == second] = model._dual_coef_[first, of_class == second]
        found.append(weights)
    return np.stack(found, axis=1)


def _kernel(op: Ops, values: Any, model: Any) -> Any:
    """(rows, support vectors) how near they are."""
    vectors = np.asarray(model.support_vectors_, np.float64)
    own = op("ReduceSum", op("Mul", values, values), np.array([1], np.int64), keepdims=1)
    product = op("MatMul", values, -2.0 * vectors.T)
    squares = op("Add", op("Add", own, (vectors**2).sum(axis=1).reshape(1, -1)), product)
    return op("Exp", op("Mul", squares, np.array([[-model._gamma]])))  # noqa: SLF001 - what `gamma` came to


def _network(op: Ops, values: Any, model: Any) -> Any:
    """(rows, outputs) before the last activation."""
    names = {"relu": "Relu", "tanh": "Tanh", "logistic": "Sigmoid", "identity": "Identity"}
    layers = list(zip(model.coefs_, model.intercepts_, strict=True))
    for weights, biases in layers[:-1]:
        values = op(names[model.activation], op.linear(values, weights, biases))
    return op.linear(values, *layers[-1])


def _with_rest(op: Ops, probable: Any) -> Any:
    return op.both(probable, op("Sub", np.array([[1.0]]), probable))


def _linear_number(op: Ops, values: Any, model: Any) -> Any:
    return op.linear(values, np.reshape(model.coef_, (-1, 1)), np.reshape(model.intercept_, -1))


def _machine_number(op: Ops, values: Any, model: Any) -> Any:
    return op.linear(_kernel(op, values, model), model.dual_coef_.T, model.intercept_)


def _nearest_class(op: Ops, values: Any, model: Any) -> Scored:
    counted = _counted(op, values, model)
    count = len(model.classes_)
    votes = op("Slice", counted, *_ranges(0, count))
    total = op("Slice", counted, *_ranges(count, count + 1))
    return Scored(op.largest(votes), op("Div", votes, total))


def _nearest_number(op: Ops, values: Any, model: Any) -> Any:
    counted = _counted(op, values, model)
    return op("Div", op("Slice", counted, *_ranges(0, 1)), op("Slice", counted, *_ranges(1, 2)))


def _ranges(begin: int, end: int) -> tuple[Any, Any, Any]:
    return np.array([begin]), np.array([end]), np.array([1])


def _counted(op: Ops, values: Any, model: Any) -> Any:
    """(rows, answers + 1) what the nearest count for, as `_Neighbours._counted` has it."""
    rounded = op("Round", op("Mul", values, np.array([[model.steps_]])))
    asked = op("Clip", rounded, np.array(-model.limit_), np.array(model.limit_))
    records = model.records_
    own = op("ReduceSum", op("Mul", asked, asked), np.array([1], np.int64), keepdims=1)
    known = op("Add", own, (records**2).sum(axis=1).reshape(1, -1))
    squares = op("Add", known, op("MatMul", asked, -2.0 * records.T))
    nearest = op("TopK", squares, np.array([model.count_]), axis=1, largest=0, sorted=1)
    every = np.column_stack([model.answers_, np.ones(len(records))])
    answers = op("Gather", every, nearest[1], axis=0)  # (rows, neighbours, answers + 1)
    if model.weights == "uniform":
        return op("ReduceSum", answers, np.array([1], np.int64), keepdims=0)
    weights = op("Unsqueeze", _nearness(op, nearest[0]), np.array([2], np.int64))
    return op("ReduceSum", op("Mul", answers, weights), np.array([1], np.int64), keepdims=0)


def _nearness(op: Ops, squares: Any) -> Any:
    """(rows, neighbours) what each counts for by its distance; the nearest stands first."""
    first = op("Slice", squares, *_ranges(0, 1))
    ratio = op("Div", op("Sqrt", first), op("Sqrt", op("Max", squares, np.array(1.0))))
    is_same = op("Equal", squares, np.array(0.0))
    whole = op("Where", is_same, np.array(1.0), ratio)
    return op("Round", op("Mul", whole, np.array(FULL_WEIGHT)))


_CLASSIFIERS: tuple[tuple[type, Scores], ...] = (
    (_double.DoubleLogisticRegression, _logistic),
    (_double.DoubleNaiveBayes, _naive_bayes),
    (_double.DoubleNetworkClassifier, _network_classifier),
    (_double.DoubleLinearSVC, _linear_machine),
    (_double.DoubleSVC, _machine),
    (_neighbours.NearestClassifier, _nearest_class),
)
_REGRESSORS: tuple[tuple[type, Callable[[Ops, Any, Any], Any]], ...] = (
    (_double.DoubleLinear, _linear_number),
    (_double.DoubleNetworkRegressor, _network),
    (_double.DoubleSVR, _machine_number),
    (_neighbours.NearestRegressor, _nearest_number),
)


@cache
def register() -> None:
    """Tells skl2onnx how they are written in ONNX."""
    for kind, scored in _CLASSIFIERS:
        _register(kind, _class_shapes, _classifier_converter(scored), is_classifier=True)
    for kind, answer in _REGRESSORS:
        _register(kind, _number_shapes, _regressor_converter(answer), is_classifier=False)


def _register(
    kind: type, shapes: Callable[..., Any], converter: Callable[..., Any], *, is_classifier: bool
) -> None:
    from skl2onnx import update_registered_converter

    options = {"zipmap": [True, False, "columns"], "nocl": [True, False]}
    update_registered_converter(
        kind, f"Shoal{kind.__name__}", shapes, converter, options=options if is_classifier else {}
    )


def _class_shapes(operator: Any) -> None:
    """A label and a number for each class."""
    from skl2onnx.common.data_types import FloatTensorType, Int64TensorType, StringTensorType

    rows = operator.inputs[0].get_first_dimension()
    classes = operator.raw_operator.classes_
    is_number = classes.dtype.kind in "iub"
    operator.outputs[0].type = (Int64TensorType if is_number else StringTensorType)([rows])
    operator.outputs[1].type = FloatTensorType([rows, len(classes)])


def _number_shapes(operator: Any) -> None:
    from skl2onnx.common.data_types import FloatTensorType

    rows = operator.inputs[0].get_first_dimension()
    operator.outputs[0].type = FloatTensorType([rows, 1])


def _classifier_converter(scored: Scores) -> Callable[..., Any]:
    def convert(scope: Any, operator: Any, container: Any) -> None:
        op = Ops(container)
        model = operator.raw_operator
        found = scored(op, op.double(operator.inputs[0]), getattr(model, "original", model))
        _answer(op, found, (scope, operator, container), model.classes_)

    return convert


def _answer(op: Ops, found: Scored, place: tuple[Any, Any, Any], classes: Any) -> None:
    """Writes a label and numbers as the outputs of an operator."""
    scope, operator, container = place
    is_number = classes.dtype.kind in "iub"
    named = classes.astype(np.int64) if is_number else classes.astype(str).astype(object)
    label = op("Gather", named, found.place, axis=0, output_names=operator.outputs[:1])
    label.add_to(scope, container)
    op.single(found.shown, operator.outputs[1:2]).add_to(scope, container)


def _regressor_converter(answer: Callable[[Ops, Any, Any], Any]) -> Callable[..., Any]:
    def convert(scope: Any, operator: Any, container: Any) -> None:
        op = Ops(container)
        model = operator.raw_operator
        found = answer(op, op.double(operator.inputs[0]), getattr(model, "original", model))
        op.single(found, operator.outputs[:1]).add_to(scope, container)

    return convert
