"""What every server gets: the model, rows it was not trained on, and their expected labels."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from benchmarks.serve._environments import HERE
from benchmarks.serve._protocols import OPEN_INFERENCE, PLAIN, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

WORK = HERE / "work"
SENT_ROWS = 200
CHECKED_ROWS = 100
SEED = 0


@dataclass(frozen=True)
class Material:
    """Files in `directory`: the package, its ONNX file, and the bodies for each protocol."""

    directory: Path
    package: Path
    model: Path
    rows: list[list[float]]
    labels: list[int]
    sample: int = CHECKED_ROWS
    """How many rows are checked before a server is timed."""

    def bodies(self, protocol: Protocol) -> Path:
        """The file with one body per line."""
        return self.directory / f"bodies-{protocol.name}.txt"


def prepare() -> Material:
    """Trains the digits model, seals it, and writes the files anew."""
    shutil.rmtree(WORK, ignore_errors=True)
    WORK.mkdir(parents=True)
    pipeline, held_out = _train()
    _seal(pipeline, held_out)
    rows = held_out[:SENT_ROWS]
    labels = [int(label) for label in pipeline.predict(rows)]
    material = Material(WORK, WORK / "digits", WORK / "model.onnx", rows.tolist(), labels)
    for protocol in (PLAIN, OPEN_INFERENCE):
        _write_bodies(material.bodies(protocol), protocol, material.rows)
    return material


def _train() -> tuple[Any, Any]:
    """(fitted pipeline, rows held out)."""
    import numpy as np
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split
    from sklearn.neural_network import MLPClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    images, labels = load_digits(return_X_y=True)
    fitted, held_out, answers, _ = train_test_split(
        images.astype(np.float32), labels, test_size=0.3, random_state=SEED, stratify=labels
    )
    network = MLPClassifier((256, 128), random_state=SEED, max_iter=60, early_stopping=True)
    return make_pipeline(StandardScaler(), network).fit(fitted, answers), held_out


def _seal(pipeline: Any, held_out: Any) -> None:
    import pyarrow as pa

    import shoal.package

    rows = pa.FixedSizeListArray.from_arrays(pa.array(held_out.ravel()), held_out.shape[1])
    package = shoal.package.build(
        pipeline,
        name="digits",
        version="1",
        output=WORK / "digits",
        example=pa.record_batch({"X": rows}),
    )
    (WORK / "model.onnx").write_bytes(package.read("model.onnx"))


def _write_bodies(path: Path, protocol: Protocol, rows: Sequence[Sequence[float]]) -> None:
    path.write_text("".join(protocol.body(row) + "\n" for row in rows))
