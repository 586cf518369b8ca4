"""The models under load, and questions whose right answers are known exactly.

`digits` multiplies 64 whole numbers with a matrix of whole numbers: floats hold the result exactly,
so an answer is right or wrong without a tolerance, and rows hardly ever share their scores. An
answer in the wrong slot is thus seen.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from shoal import package

if TYPE_CHECKING:
    from random import Random

    from numpy.typing import NDArray

STORIES = Path(__file__).parent / "stories"
FEATURES, CLASSES = 64, 10
POOL_ROWS = 2048


def weights(seed: int = 1) -> NDArray[np.float32]:
    """The whole numbers that a model of that seed multiplies with."""
    shape = (FEATURES, CLASSES)
    return np.random.default_rng(seed).integers(-8, 9, shape).astype(np.float32)


def digits(directory: Path, *, name: str = "digits", version: str = "1", seed: int = 1) -> Path:
    """A package: `X` FP32 [64] in, `label` INT64 and `scores` FP32 [10] out."""
    from onnx import TensorProto, helper, numpy_helper

    graph = helper.make_graph(
        [
            helper.make_node("MatMul", ["X", "weights"], ["scores"]),
            helper.make_node("ArgMax", ["scores"], ["label"], axis=1, keepdims=0),
        ],
        "digits",
        [helper.make_tensor_value_info("X", TensorProto.FLOAT, ["N", FEATURES])],
        [
            helper.make_tensor_value_info("label", TensorProto.INT64, ["N"]),
            helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["N", CLASSES]),
        ],
        [numpy_helper.from_array(weights(seed), "weights")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    path = directory / f"{name}-{version}"
    example = np.random.default_rng(2).integers(0, 17, (32, FEATURES)).astype(np.float32)
    data = model.SerializeToString()
    package.build(data, name=name, version=version, output=path, example=example)
    return path


def fragile(directory: Path) -> Path:
    """A python package: `value` FP64 in, `double` FP64 out; below zero it raises."""
    import pyarrow as pa

    path = directory / "fragile"
    package.build(
        "fragile:answer",
        name="fragile",
        version="1",
        output=path,
        example=pa.record_batch({"value": [0.0, 1.0, 2.0]}),
        settings=package.Settings(source=STORIES),
    )
    return path


@dataclass(frozen=True)
class Question:
    """Some rows for `digits`, as JSON text and as raw bytes, and what must come back."""

    rows: int
    text: str
    raw: bytes
    labels: list[int]
    scores: list[float]

    def body(self, **parameters: int) -> bytes:
        """The question as JSON."""
        head = f'"name":"X","datatype":"FP32","shape":[{self.rows},{FEATURES}]'
        wishes = json.dumps(parameters)
        return f'{{"parameters":{wishes},"inputs":[{{{head},"data":[{self.text}]}}]}}'.encode()

    def is_answered_by(self, body: bytes) -> bool:
        """Whether an answer in JSON holds this question's answers, in order, and no others."""
        outputs = {each["name"]: each["data"] for each in json.loads(body)["outputs"]}
        return outputs == {"label": self.labels, "scores": self.scores}


class Pool:
    """Random rows with their answers, ready to be asked."""

    def __init__(self, random: Random) -> None:
        self._random = random
        generator = np.random.default_rng(random.randrange(2**32))
        rows = generator.integers(0, 17, (POOL_ROWS, FEATURES))
        self._rows = rows.astype(np.float32)
        self._texts = [",".join(map(str, row)) for row in rows.tolist()]
        self._scores = self._rows @ weights()
        self._labels: list[int] = self._scores.argmax(axis=1).tolist()

    def question(self, at_least: int, at_most: int) -> Question:
        """A question of that many rows."""
        rows = self._random.randint(at_least, at_most)
        chosen = self._random.choices(range(POOL_ROWS), k=rows)
        scores: list[Any] = self._scores[chosen].ravel().tolist()
        return Question(
            rows,
            ",".join(self._texts[row] for row in chosen),
            self._rows[chosen].tobytes(),
            [self._labels[row] for row in chosen],
            scores,
        )
