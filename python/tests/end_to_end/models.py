"""Small real models for the tests, sealed as a user would seal them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.tree import DecisionTreeClassifier
from threadpoolctl import threadpool_limits  # ships no types

from shoal import package

STORIES = Path(__file__).parent / "stories"
PROOF_ROWS = 200
ASKED_ROWS = 64
WIDE = 20_000


@dataclass(frozen=True)
class Sealed:
    """A package on disk, rows to ask it, and the original model's answers to them."""

    path: Path
    rows: list[Any]
    labels: list[Any]


def digits(directory: Path) -> Sealed:
    """One input `X` of shape [64], labels INT64, probabilities FP32 [10]."""
    features, labels = load_digits(return_X_y=True)
    rows = features.astype(np.float32)
    asked, proof, train = np.split(rows, [ASKED_ROWS, ASKED_ROWS + PROOF_ROWS])
    model = Pipeline([("scale", StandardScaler()), ("classify", LogisticRegression(max_iter=200))])
    with threadpool_limits(1):  # on a busy machine, threads make small matrices slow
        model.fit(train, labels[ASKED_ROWS + PROOF_ROWS :])
    path = directory / "digits"
    package.build(model, name="digits", version="1", output=path, example=vectors(proof))
    return Sealed(path, asked.tolist(), model.predict(asked).tolist())


def tickets(directory: Path) -> Sealed:
    """Numbers and text in one row: `age` FP32, `fare` FP32, `class` BYTES; labels BYTES."""
    random = np.random.default_rng(3)
    count = 600
    table = pa.table(
        {
            "age": random.uniform(1, 80, count).astype(np.float32),
            "fare": random.uniform(5, 300, count).astype(np.float32),
            "class": random.choice(["first", "second", "third"], count),
        }
    )
    frame = table.to_pandas()
    outcome = np.where(frame["fare"] + 100 * (frame["class"] == "first") > 150, "stays", "leaves")
    numbers_and_text = ColumnTransformer(
        [("numbers", StandardScaler(), ["age", "fare"]), ("text", OneHotEncoder(), ["class"])]
    )
    model = Pipeline([("prepare", numbers_and_text), ("classify", LogisticRegression())])
    with threadpool_limits(1):
        model.fit(frame[ASKED_ROWS + PROOF_ROWS :], outcome[ASKED_ROWS + PROOF_ROWS :])
    path = directory / "tickets"
    proof = table.slice(ASKED_ROWS, PROOF_ROWS).combine_chunks().to_batches()[0]
    package.build(model, name="tickets", version="2", output=path, example=proof)
    asked = table.slice(0, ASKED_ROWS).to_pylist()
    return Sealed(path, asked, model.predict(frame[:ASKED_ROWS]).tolist())


def tree(directory: Path, version: str) -> Path:
    """Another version of `digits`: the same columns, made in a moment."""
    features, labels = load_digits(return_X_y=True)
    rows = features.astype(np.float32)
    model = DecisionTreeClassifier(max_depth=6, random_state=0)
    model.fit(rows[PROOF_ROWS:], labels[PROOF_ROWS:])
    path = directory / f"digits-{version}"
    example = vectors(rows[:PROOF_ROWS])
    package.build(model, name="digits", version=version, output=path, example=example)
    return path


def story(
    name: str,
    directory: Path,
    *,
    pure: bool = True,
    served_as: str | None = None,
    version: str = "1",
) -> Path:
    """A python package of the function `answer` in `stories/<name>.py`; one input `value` FP64."""
    folder = f"{name}{version}" if served_as else name
    path = directory / (folder if pure else f"{folder}-not-pure")
    example = pa.record_batch({"value": [0.0, 1.0, 2.0]})
    package.build(
        f"{name}:answer",
        name=served_as or name,
        version=version,
        output=path,
        example=example,
        settings=package.Settings(source=STORIES, pure=pure),
    )
    return path


def wide(directory: Path) -> Path:
    """A python package that doubles rows of `WIDE` numbers, `X` FP64."""
    column = pa.FixedSizeListArray.from_arrays(pa.array(np.arange(3.0 * WIDE)), WIDE)
    path = directory / "wide"
    example = pa.record_batch({"X": column})
    settings = package.Settings(source=STORIES)
    package.build(
        "wide:answer", name="wide", version="1", output=path, example=example, settings=settings
    )
    return path


def vectors(rows: np.ndarray[Any, np.dtype[np.float32]]) -> pa.RecordBatch:
    """Rows of one `[k]` column named X."""
    column = pa.FixedSizeListArray.from_arrays(pa.array(rows.ravel()), rows.shape[1])
    return pa.record_batch({"X": column})
