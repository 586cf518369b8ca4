"""Questions whose right answers are known beforehand, in each of the three forms."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from tritonclient.grpc import service_pb2

from tests.soak.material import FEATURES, weights

if TYPE_CHECKING:
    from collections.abc import Mapping
    from random import Random

    from numpy.typing import NDArray

QUESTIONS_EACH = 256
MOST_ROWS = 8
SWITCHED_SEEDS = {"1": 11, "2": 12}
BINARY_OUT = {"binary_data_output": True}


@dataclass(frozen=True)
class Expected:
    """The outputs of one version: as JSON values, and as raw bytes one behind the other."""

    values: dict[str, list[Any]]
    raw: bytes


@dataclass(frozen=True)
class Question:
    """Some rows for a model, and the answer of each version that may give it."""

    model: str
    name: str
    dtype: str
    shape: list[int]
    text: str
    raw: bytes
    expected: Mapping[str, Expected]

    @property
    def path(self) -> str:
        """Where it is asked over HTTP."""
        return f"/v2/models/{self.model}/infer"

    def json(self, number: str, **parameters: object) -> bytes:
        """The question as JSON."""
        wishes = json.dumps(parameters)
        head = f'"name":"{self.name}","datatype":"{self.dtype}","shape":{self.shape}'
        column = f'{{{head},"data":[{self.text}]}}'
        return f'{{"id":"{number}","parameters":{wishes},"inputs":[{column}]}}'.encode()

    def binary(self, number: str) -> tuple[bytes, bytes]:
        """The JSON and the raw part of the question; the answer is to be raw, too."""
        size = {"binary_data_size": len(self.raw)}
        column = {"name": self.name, "datatype": self.dtype, "shape": self.shape}
        inputs = [column | {"parameters": size}]
        head = {"id": number, "parameters": BINARY_OUT, "inputs": inputs}
        return json.dumps(head).encode(), self.raw

    def message(self, number: str) -> Any:
        """The question for gRPC, in raw form."""
        message = service_pb2.ModelInferRequest(model_name=self.model, id=number)
        message.inputs.add(name=self.name, datatype=self.dtype, shape=self.shape)
        message.raw_input_contents.append(self.raw)
        return message

    def is_answered_in_json(self, number: str, body: bytes) -> bool:
        """Whether this is the answer to that id, with the values of the version it names."""
        answer = json.loads(body)
        outputs = {each["name"]: each["data"] for each in answer["outputs"]}
        expected = self.expected[answer["model_version"]]
        return answer["id"] == number and outputs == expected.values

    def is_answered_in_binary(self, number: str, body: bytes, head_bytes: int) -> bool:
        """The same for an answer whose values are raw."""
        answer = json.loads(body[:head_bytes])
        expected = self.expected[answer["model_version"]]
        return answer["id"] == number and body[head_bytes:] == expected.raw

    def is_answered_by_message(self, number: str, answer: Any) -> bool:
        """The same for an answer over gRPC."""
        expected = self.expected[answer.model_version]
        return answer.id == number and b"".join(answer.raw_output_contents) == expected.raw


def _scores(rows: NDArray[np.float32], seed: int) -> Expected:
    scores = rows @ weights(seed)
    labels = scores.argmax(axis=1).astype(np.int64)
    values = {"label": labels.tolist(), "scores": scores.ravel().tolist()}
    return Expected(values, labels.tobytes() + scores.tobytes())


def _digits(model: str, random: Random, seeds: Mapping[str, int]) -> Question:
    generator = np.random.default_rng(random.randrange(2**32))
    shape = (random.randint(1, MOST_ROWS), FEATURES)
    rows = generator.integers(0, 17, shape).astype(np.float32)
    text = ",".join(str(int(value)) for value in rows.ravel())
    expected = {version: _scores(rows, seed) for version, seed in seeds.items()}
    return Question(model, "X", "FP32", list(shape), text, rows.tobytes(), expected)


def doubles(model: str, rows: list[float]) -> Question:
    """A question to a python model."""
    values = np.array(rows)
    doubled = Expected({"double": (2 * values).tolist()}, (2 * values).tobytes())
    text = ",".join(map(str, rows))
    return Question(model, "value", "FP64", [len(rows)], text, values.tobytes(), {"1": doubled})


def _doubles(model: str, random: Random) -> Question:
    count = random.randint(1, MOST_ROWS)
    return doubles(model, [float(random.randrange(1 << 40)) for _ in range(count)])


def prepared(random: Random) -> dict[str, list[Question]]:
    """Questions for each model under load."""

    def several(make: Any, *arguments: object) -> list[Question]:
        return [make(*arguments) for _ in range(QUESTIONS_EACH)]

    return {
        "digits": several(_digits, "digits", random, {"1": 1}),
        "switched": several(_digits, "switched", random, SWITCHED_SEEDS),
        "pure": several(_doubles, "pure", random),
        "careful": several(_doubles, "careful", random),
    }
