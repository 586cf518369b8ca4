"""Classes are looked up in one step, and are those that the converter's own steps find."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from skl2onnx import to_onnx
from sklearn.ensemble import BaggingClassifier, VotingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.neural_network import MLPClassifier

from shoal.package._scikit._labels import shorten_labels

RANDOM = np.random.default_rng(0)
ROWS = RANDOM.normal(0, 3, (400, 5)).astype(np.float32)
PLACES = (ROWS[:, 0] > 0).astype(int) + (ROWS[:, 1] > 0)
CLASSES = {
    "places": np.array([0, 1, 2]),
    "others": np.array([7, -3, 12]),
    "texts": np.array(["a", "b", "c"]),
}
NETWORK = MLPClassifier((8,), random_state=0, tol=1, n_iter_no_change=1)
MODELS: dict[str, Any] = {
    "network": NETWORK,
    "bayes": GaussianNB(),
    "voting": VotingClassifier(
        [("a", NETWORK), ("b", GaussianNB())], voting="soft", flatten_transform=False
    ),
    "bagging": BaggingClassifier(LogisticRegression(), 3, random_state=0),
}


def converted(model: Any, kind: str) -> Any:
    fitted = model.fit(ROWS, CLASSES[kind][PLACES])
    return to_onnx(fitted, ROWS[:1], target_opset=18, options={"zipmap": False})


def answers(proto: Any, rows: np.ndarray) -> list[Any]:
    session = onnxruntime.InferenceSession(proto.SerializeToString())
    found: list[Any] = session.run(None, {session.get_inputs()[0].name: rows})
    return found


@pytest.mark.parametrize("kind", CLASSES)
@pytest.mark.parametrize("name", MODELS)
def test_answers_are_the_same(name: str, kind: str) -> None:
    proto = converted(MODELS[name], kind)
    rows = np.concatenate([ROWS, np.zeros((3, 5), np.float32), np.full((2, 5), np.nan, np.float32)])
    before = answers(proto, rows)
    shorten_labels(proto)
    onnx.checker.check_model(proto)
    for found, expected in zip(answers(proto, rows), before, strict=True):
        assert found.dtype == expected.dtype
        assert found.tolist() == expected.tolist() or found.tobytes() == expected.tobytes()


@pytest.mark.parametrize(
    ("kind", "steps"),
    [("places", ["ArgMax"]), ("others", ["ArgMax", "Gather"])],
)
def test_whole_numbers_are_looked_up_in_one_step(kind: str, steps: list[str]) -> None:
    proto = converted(NETWORK, kind)
    shorten_labels(proto)
    assert [node.op_type for node in proto.graph.node][-len(steps) :] == steps
    used = {name for node in proto.graph.node for name in node.input}
    assert {each.name for each in proto.graph.initializer} <= used


def test_texts_are_looked_up_as_before() -> None:
    proto = converted(NETWORK, "texts")
    nodes = [node.op_type for node in proto.graph.node]
    shorten_labels(proto)
    assert [node.op_type for node in proto.graph.node] == nodes
