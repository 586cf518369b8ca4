"""The gate itself: five sabotaged exports, each refused; and too few rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import pytest
import skl2onnx
from onnx import helper, numpy_helper
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from shoal import package
from shoal.errors import ProofError
from shoal.package._rows import disagreement
from shoal.runtime import Tolerance

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

PIXELS, DIGITS = load_digits(return_X_y=True)
FITTED, HELD_OUT = slice(0, 900), slice(900, 1200)


def attribute(node: Any, name: str) -> Any:
    return next(each for each in node.attribute if each.name == name)


def classifier(model: Any) -> Any:
    return next(node for node in model.graph.node if node.op_type == "LinearClassifier")


def swap_two_labels(model: Any) -> None:
    labels = attribute(classifier(model), "classlabels_ints").ints
    labels[3], labels[8] = labels[8], labels[3]


def scale_one_weight(model: Any) -> None:
    weights = attribute(classifier(model), "coefficients").floats
    weights[100] *= 1.001


def drop_the_scaler(model: Any) -> None:
    scaler = next(node for node in model.graph.node if node.op_type == "Scaler")
    for node in model.graph.node:
        for at, name in enumerate(node.input):
            if name == scaler.output[0]:
                node.input[at] = scaler.input[0]
    model.graph.node.remove(scaler)


def send_missing_values_the_wrong_way(model: Any) -> None:
    """Zero stands for a pixel not measured: it becomes the largest value instead."""
    limit = numpy_helper.from_array(np.array([0.5], np.float32), "limit")
    large = numpy_helper.from_array(np.array([16.0], np.float32), "large")
    model.graph.initializer.extend([limit, large])
    name = model.graph.input[0].name
    for node in model.graph.node:
        for at, each in enumerate(node.input):
            if each == name:
                node.input[at] = "rerouted"
    first = [
        helper.make_node("Less", [name, "limit"], ["is_missing"]),
        helper.make_node("Where", ["is_missing", "large", name], ["rerouted"]),
    ]
    others = list(model.graph.node)
    del model.graph.node[:]
    model.graph.node.extend([*first, *others])


def round_the_probabilities(model: Any) -> None:
    """Rounds to four digits: no label changes, every probability is a little off."""
    scale = numpy_helper.from_array(np.array([1e4], np.float32), "scale")
    model.graph.initializer.append(scale)
    zipmap = next(node for node in model.graph.node if node.op_type == "ZipMap")
    source = zipmap.input[0]
    steps = [
        helper.make_node("Mul", [source, "scale"], ["scaled"]),
        helper.make_node("Round", ["scaled"], ["rounded"]),
        helper.make_node("Div", ["rounded", "scale"], ["off"]),
    ]
    zipmap.input[0] = "off"
    others = [node for node in model.graph.node if node.op_type != "ZipMap"]
    last = onnx.NodeProto()
    last.CopyFrom(zipmap)
    del model.graph.node[:]
    model.graph.node.extend([*others, *steps, last])


SABOTAGES = [
    swap_two_labels,
    scale_one_weight,
    drop_the_scaler,
    send_missing_values_the_wrong_way,
    round_the_probabilities,
]


@pytest.fixture(scope="module")
def fitted() -> Any:
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))
    return model.fit(PIXELS[FITTED], DIGITS[FITTED])


@pytest.mark.parametrize("sabotage", SABOTAGES, ids=lambda sabotage: sabotage.__name__)
def test_a_sabotaged_export_is_refused(
    fitted: Any,
    sabotage: Callable[[Any], None],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    honest = skl2onnx.to_onnx

    def dishonest(*arguments: Any, **named: Any) -> Any:
        model = honest(*arguments, **named)
        sabotage(model)
        return model

    monkeypatch.setattr(skl2onnx, "to_onnx", dishonest)
    with pytest.raises(ProofError, match="disagrees with the original on"):
        package.build(
            fitted, name="digits", version="1", output=tmp_path / "d", example=PIXELS[HELD_OUT]
        )
    assert not (tmp_path / "d").exists()


def test_the_honest_export_passes(fitted: Any, tmp_path: Path) -> None:
    package.build(
        fitted, name="digits", version="1", output=tmp_path / "d", example=PIXELS[HELD_OUT]
    )


def test_rounding_leaves_every_label_as_it_was(fitted: Any) -> None:
    probabilities = fitted.predict_proba(PIXELS[HELD_OUT])
    assert (probabilities.round(4).argmax(1) == probabilities.argmax(1)).all()


def test_fewer_than_200_rows_need_a_weak_proof(fitted: Any, tmp_path: Path) -> None:
    few = PIXELS[900:1099]
    with pytest.raises(ProofError, match="199 rows, expected at least 200"):
        package.build(fitted, name="digits", version="1", output=tmp_path / "d", example=few)
    package.build(
        fitted, name="digits", version="1", output=tmp_path / "d", example=few, weak_proof=True
    )
    with pytest.raises(ProofError, match="0 rows"):
        package.build(
            fitted,
            name="digits",
            version="1",
            output=tmp_path / "e",
            example=PIXELS[:0],
            weak_proof=True,
        )


def test_large_regression_values_are_compared_by_their_size(tmp_path: Path) -> None:
    model = Ridge().fit(PIXELS[FITTED], DIGITS[FITTED] * 1e6)
    package.build(model, name="large", version="1", output=tmp_path / "d", example=PIXELS[HELD_OUT])


def test_the_tolerance_is_absolute_below_one_and_relative_above() -> None:
    tolerance = Tolerance()
    expected = np.array([0.5, 0.5, np.nan, np.inf, np.nan])
    found = np.array([0.500009, 0.500011, np.nan, np.inf, 1.0])
    apart = disagreement(found, expected, tolerance)
    assert (apart > 1).tolist() == [False, True, False, False, True]
    large = np.array([1e6, 1e6])
    apart = disagreement(np.array([1e6 + 9, 1e6 + 11]), large, tolerance)
    assert (apart > 1).tolist() == [False, True]
