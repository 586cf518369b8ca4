"""A scaler becomes part of the layer behind it, and the answers stay as exact as they were."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import helper, numpy_helper
from sklearn.ensemble import VotingClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from shoal import package
from shoal.package._scikit._folding import LARGEST_OFFSET, fold_scalers

if TYPE_CHECKING:
    from pathlib import Path

FLOAT = onnx.TensorProto.FLOAT
EPSILON = float(np.finfo(np.float32).eps)
RANDOM = np.random.default_rng(0)
ROWS = RANDOM.normal(3, 2, (300, 4)).astype(np.float32)
HOSTILE = np.array([np.nan, np.inf, -np.inf, -0.0, 1e-44], np.float32)


def network() -> MLPClassifier:
    return MLPClassifier((8,), random_state=0, tol=1, n_iter_no_change=1)


def scaled_layer(**constants: Any) -> Any:
    """`((x - offset) * scale) @ weights + bias`, as the converter writes it."""
    held = {name: np.asarray(value, np.float32) for name, value in constants.items()}
    nodes = [
        helper.make_node("Sub", ["x", "offset"], ["centered"]),
        helper.make_node("Mul", ["centered", "scale"], ["scaled"]),
        helper.make_node("Cast", ["scaled"], ["floats"], to=FLOAT),
        helper.make_node("MatMul", ["floats", "weights"], ["product"]),
        helper.make_node("Add", ["product", "bias"], ["y"]),
    ]
    x = helper.make_tensor_value_info("x", FLOAT, [None, held["offset"].shape[1]])
    y = helper.make_tensor_value_info("y", FLOAT, [None, held["bias"].shape[1]])
    values = [numpy_helper.from_array(value, name) for name, value in held.items()]
    graph = helper.make_graph(nodes, "layer", [x], [y], values)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


def answers(model: Any, rows: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(model.SerializeToString())
    found: np.ndarray = session.run(None, {"x": rows})[0]
    return found


def operators(model: Any) -> list[str]:
    return [node.op_type for node in model.graph.node]


@given(seed=st.integers(0, 2**32 - 1), spread=st.integers(-8, 8))
def test_the_layer_is_as_exact_as_its_sums(seed: int, spread: int) -> None:
    random = np.random.default_rng(seed)
    deviation = 10.0**spread * random.uniform(0.5, 2, (1, 6))
    offset = deviation * random.uniform(-LARGEST_OFFSET, LARGEST_OFFSET, (1, 6)) * 0.99
    parts = {"weights": random.normal(0, 1, (6, 3)), "bias": random.normal(0, 1, (1, 3))}
    model = scaled_layer(offset=offset, scale=1 / deviation, **parts)
    rows = (offset + deviation * random.normal(0, 2, (20, 6))).astype(np.float32)
    held = [numpy_helper.to_array(each).astype(np.float64) for each in model.graph.initializer]
    offset, scale, weights, bias = held
    exact = (rows - offset) * scale @ weights + bias
    fold_scalers(model)
    onnx.checker.check_model(model)
    assert operators(model) == ["Gemm"]
    assert [len(model.graph.initializer), len(model.graph.value_info)] == [2, 0]
    sizes = (np.abs(rows) + np.abs(offset)) * scale @ np.abs(weights) + np.abs(bias)
    assert np.all(np.abs(answers(model, rows) - exact) <= 8 * EPSILON * sizes)


USUAL: dict[str, Any] = {
    "offset": [[1.0, -2.0]],
    "scale": [[0.5, 3.0]],
    "weights": [[1.0, 0.0, -2.0], [0.5, -1.0, 0.0]],
    "bias": [[0.1, 0.2, 0.3]],
}


def test_what_is_missing_or_infinite_spreads_as_before() -> None:
    model = scaled_layer(**USUAL)
    rows = np.stack(np.meshgrid(HOSTILE, HOSTILE), -1).reshape(-1, 2)
    before = answers(model, rows)
    fold_scalers(model)
    np.testing.assert_allclose(answers(model, rows), before, rtol=1e-6)


@pytest.mark.parametrize(
    "changed",
    [
        pytest.param({"offset": [[1e6, 0.0]]}, id="records far from zero"),
        pytest.param({"scale": [[1e38, 1.0]], "offset": [[0.0, 0.0]]}, id="too large"),
        pytest.param({"scale": [[1e-40, 1.0]]}, id="too small"),
        pytest.param({"offset": [[np.nan, 0.0]]}, id="not a number"),
        pytest.param({"scale": [[2.0]], "offset": [[1.0]]}, id="one scale for all features"),
    ],
)
def test_where_it_would_be_less_exact_the_scaler_stays(changed: dict[str, Any]) -> None:
    model = scaled_layer(**{**USUAL, **changed, "weights": np.array(USUAL["weights"]) * 4})
    before = model.SerializeToString()
    fold_scalers(model)
    assert model.SerializeToString() == before


def sealed(model: Any, labels: Any, place: Path) -> Any:
    model.fit(ROWS, labels)
    built = package.build(model, name="m", version="1", output=place / "m", example=ROWS)
    return onnx.load_from_string(built.read("model.onnx"))


def test_a_sealed_network_has_no_scaler_left(tmp_path: Path) -> None:
    model = make_pipeline(StandardScaler(), network())
    kinds = operators(sealed(model, ROWS[:, 0] > 3, tmp_path))
    assert kinds[:3] == ["Cast", "Gemm", "Relu"]


def test_a_scaler_for_several_layers_stays(tmp_path: Path) -> None:
    voting = VotingClassifier([("a", network()), ("b", network())], voting="soft")
    kinds = operators(sealed(make_pipeline(StandardScaler(), voting), ROWS[:, 0] > 3, tmp_path))
    assert {"Sub", "Mul"} <= set(kinds)
