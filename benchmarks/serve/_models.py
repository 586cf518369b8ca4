"""The three models: a network of three layers, a forest of 100 trees, a small convolutional one.

The convolutional network is written with ONNX's own helper: 16 filters of 3 x 3 with fixed random
weights, rectified and pooled, and a linear layer fitted on what they give. Its labels are computed
a second time with numpy, so that a server is checked against something that is not ONNX Runtime.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

SEED = 0
TREES = 100
FILTERS, SIDE, WINDOW, POOL = 16, 8, 3, 2
OPSET, FORMAT = 17, 9


@dataclass(frozen=True)
class Trained:
    """A model, the rows held out, and the labels that the model gives them."""

    source: Any
    """What `shoal.package.build` takes: an estimator, or the path of an ONNX file."""
    held_out: Any
    labels: Any


def train(name: str, folder: Path) -> Trained:
    """The model `digits`, `forest` or `cnn`; files go to `folder`."""
    fitted, held_out, answers = _digits()
    if name == "cnn":
        return _convolutional(fitted, held_out, answers, folder)
    estimator = _estimators()[name].fit(fitted, answers)
    return Trained(estimator, held_out, estimator.predict(held_out))


def _digits() -> tuple[Any, Any, Any]:
    """(rows to fit, rows held out, labels of the rows to fit)."""
    import numpy as np
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    images, labels = load_digits(return_X_y=True)
    fitted, held_out, answers, _ = train_test_split(
        images.astype(np.float32), labels, test_size=0.3, random_state=SEED, stratify=labels
    )
    return fitted, held_out, answers


def _estimators() -> dict[str, Any]:
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.neural_network import MLPClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    network = MLPClassifier((256, 128), random_state=SEED, max_iter=60, early_stopping=True)
    return {
        "digits": make_pipeline(StandardScaler(), network),
        "forest": RandomForestClassifier(TREES, random_state=SEED),
    }


def _convolutional(fitted: Any, held_out: Any, answers: Any, folder: Path) -> Trained:
    import numpy as np
    from sklearn.linear_model import LogisticRegression

    random = np.random.default_rng(SEED)
    filters = random.normal(0, 0.1, (FILTERS, 1, WINDOW, WINDOW)).astype(np.float32)
    head = LogisticRegression(max_iter=2000).fit(_features(fitted, filters), answers)
    weights = head.coef_.T.astype(np.float32)
    bias = head.intercept_.astype(np.float32)
    path = folder / "cnn.onnx"
    _write_onnx(path, {"filters": filters, "weights": weights, "bias": bias})
    scores = _features(held_out, filters) @ weights + bias
    return Trained(path, held_out, scores.argmax(axis=1))


def _features(rows: Any, filters: Any) -> Any:
    """Convolved with zeros around, rectified, the greatest of each 2 x 2; `[n, 16 * 4 * 4]`."""
    import numpy as np

    images = np.pad(rows.reshape(-1, SIDE, SIDE), ((0, 0), (1, 1), (1, 1)))
    windows = np.lib.stride_tricks.sliding_window_view(images, (WINDOW, WINDOW), axis=(1, 2))
    convolved = np.einsum("nyxij,fij->nfyx", windows, filters[:, 0])
    half = SIDE // POOL
    pooled = convolved.reshape(-1, FILTERS, half, POOL, half, POOL).max(axis=(3, 5))
    return np.maximum(pooled, 0).reshape(len(rows), -1)


def _write_onnx(path: Path, weights: dict[str, Any]) -> None:
    import numpy as np
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    shape = np.array([-1, 1, SIDE, SIDE], dtype=np.int64)
    tensors = [numpy_helper.from_array(each, name) for name, each in weights.items()]
    graph = helper.make_graph(
        _nodes(),
        "cnn",
        [helper.make_tensor_value_info("X", TensorProto.FLOAT, ["rows", SIDE * SIDE])],
        [helper.make_tensor_value_info("label", TensorProto.INT64, ["rows"])],
        [*tensors, numpy_helper.from_array(shape, "shape")],
    )
    opset = helper.make_opsetid("", OPSET)
    model = helper.make_model(graph, opset_imports=[opset], ir_version=FORMAT)
    onnx.checker.check_model(model)
    onnx.save(model, str(path))


def _nodes() -> list[Any]:
    from onnx import helper

    pool: dict[str, Any] = {"kernel_shape": [POOL, POOL], "strides": [POOL, POOL]}
    return [
        helper.make_node("Reshape", ["X", "shape"], ["image"]),
        helper.make_node("Conv", ["image", "filters"], ["convolved"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["convolved"], ["rectified"]),
        helper.make_node("MaxPool", ["rectified"], ["pooled"], **pool),
        helper.make_node("Flatten", ["pooled"], ["flat"]),
        helper.make_node("Gemm", ["flat", "weights", "bias"], ["scores"]),
        helper.make_node("ArgMax", ["scores"], ["label"], axis=1, keepdims=0),
    ]
