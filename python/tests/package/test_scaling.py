"""A scaled network is run as few operators, and answers as the converter's own does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import onnxruntime
import pandas as pd
import pytest
from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType, Int64TensorType
from sklearn.compose import make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MaxAbsScaler, OneHotEncoder, RobustScaler, StandardScaler

from shoal import package
from shoal.package._scikit._scaling import write_out_scalers

if TYPE_CHECKING:
    from pathlib import Path

RANDOM = np.random.default_rng(0)
ROWS = (RANDOM.normal(3, 50, (400, 5)) * [1, 1e-3, 1e3, 1, 1]).astype(np.float32)
LABELS = (ROWS[:, 0] > ROWS[:, 3]).astype(int)
HOSTILE = np.array([np.nan, np.inf, -np.inf, -0.0, 1e-44, 3e38], np.float32)


def network() -> MLPClassifier:
    return MLPClassifier((8, 4), random_state=0, tol=1, n_iter_no_change=1)


def answers(model: Any, rows: Any) -> list[Any]:
    session = onnxruntime.InferenceSession(model.SerializeToString())
    found: list[Any] = session.run(None, {session.get_inputs()[0].name: rows})
    return found


def operators(path: Path, place: Path) -> set[str]:
    """What ONNX Runtime makes of a model before it runs it."""
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(place)
    options.log_severity_level = 3
    onnxruntime.InferenceSession(path, options)
    return {node.op_type for node in onnx.load(place).graph.node}


@pytest.mark.parametrize(
    "scaler",
    [
        StandardScaler(),
        StandardScaler(with_mean=False),
        StandardScaler(with_std=False),
        RobustScaler(),
        RobustScaler(with_centering=False),
        MaxAbsScaler(),
    ],
    ids=str,
)
@pytest.mark.parametrize("kind", [FloatTensorType, Int64TensorType])
def test_values_are_the_same_to_their_last_bit(scaler: Any, kind: Any) -> None:
    whole = kind is Int64TensorType
    model = make_pipeline(scaler, LinearRegression()).fit(ROWS, LABELS)
    proto = to_onnx(model[:1], initial_types=[("x", kind([None, 5]))], target_opset=18)
    rows = (
        ROWS.astype(np.int64)
        if whole
        else np.concatenate([ROWS, np.tile(HOSTILE, 5).reshape(-1, 5)])
    )
    before = answers(proto, rows)
    assert "Scaler" in {node.op_type for node in proto.graph.node}
    write_out_scalers(proto)
    assert "Scaler" not in {node.op_type for node in proto.graph.node}
    onnx.checker.check_model(proto)
    for found, expected in zip(answers(proto, rows), before, strict=True):
        assert found.tobytes() == expected.tobytes()


FRAME = pd.DataFrame(
    {
        "size": ROWS[:, 0],
        "visits": RANDOM.integers(0, 9, len(ROWS)),
        "city": RANDOM.choice(["Oslo", "Bonn"], len(ROWS)),
    }
)
COLUMNS = make_column_transformer(
    (StandardScaler(), ["size", "visits"]), (OneHotEncoder(sparse_output=False), ["city"])
)
MODELS = {
    "scaled": (make_pipeline(StandardScaler(), network()), ROWS),
    "scaled twice": (make_pipeline(StandardScaler(), RobustScaler(), network()), ROWS),
    "imputed and scaled": (make_pipeline(SimpleImputer(), StandardScaler(), network()), ROWS),
    "columns": (make_pipeline(COLUMNS, network()), FRAME),
}


@pytest.mark.parametrize("name", MODELS)
def test_layers_behind_a_scaler_become_one_operator_each(name: str, tmp_path: Path) -> None:
    model, rows = MODELS[name]
    model.fit(rows, LABELS)
    sealed = package.build(model, name="m", version="1", output=tmp_path / "m", example=rows)
    (tmp_path / "model.onnx").write_bytes(sealed.read("model.onnx"))
    found = operators(tmp_path / "model.onnx", tmp_path / "optimized.onnx")
    assert not found & {"Scaler", "MatMul", "Add", "Relu"}, found
    assert "FusedGemm" in found
