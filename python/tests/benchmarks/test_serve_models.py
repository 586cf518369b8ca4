from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx.reference
import pytest

from benchmarks.serve._models import _features, _write_onnx

if TYPE_CHECKING:
    from pathlib import Path

SIDE = 8


@pytest.fixture
def weights() -> dict[str, np.ndarray]:
    random = np.random.default_rng(7)
    shapes = {"filters": (16, 1, 3, 3), "weights": (256, 10), "bias": (10,)}
    return {name: random.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}


def test_the_convolutional_network_gives_the_labels_that_numpy_computes(
    weights: dict[str, np.ndarray], tmp_path: Path
) -> None:
    random = np.random.default_rng(8)
    few_pixels = random.uniform(0, 16, (20, SIDE * SIDE)) * (random.uniform(size=(20, 64)) < 0.05)
    rows = few_pixels.astype(np.float32)
    _write_onnx(tmp_path / "cnn.onnx", weights)
    evaluator = onnx.reference.ReferenceEvaluator(str(tmp_path / "cnn.onnx"))
    labels = np.asarray(next(iter(evaluator.run(["label"], {"X": rows}))))
    scores = _features(rows, weights["filters"]) @ weights["weights"] + weights["bias"]
    assert labels.tolist() == scores.argmax(axis=1).tolist()
    assert len(set(labels.tolist())) > 1


def test_a_feature_is_the_greatest_of_four_neighbours_and_never_below_zero() -> None:
    image = np.zeros((1, SIDE * SIDE), dtype=np.float32)
    image[0, 0] = 5.0
    centre = np.zeros((16, 1, 3, 3), dtype=np.float32)
    centre[0, 0, 1, 1], centre[1, 0, 1, 1] = 2.0, -2.0
    features = _features(image, centre).reshape(16, 4, 4)
    assert features[0, 0, 0] == 10.0
    assert features[0].sum() == 10.0
    assert features[1].sum() == 0.0
