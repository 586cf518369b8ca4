"""What every server gets: the models, rows they were not trained on, and their expected labels.

All three models take the same rows, 64 pixels of a handwritten digit, and give the digit: what
differs is the cost of a row, from a few microseconds up to hundreds.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from benchmarks.serve import _models
from benchmarks.serve._environments import HERE
from benchmarks.serve._protocols import MODEL, PROTOCOLS, Protocol, blocks

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

WORK = HERE / "work"
SENT_ROWS = 200
CHECKED_ROWS = 100
DIGITS, FOREST, CNN = "digits", "forest", "cnn"
MODELS = (DIGITS, FOREST, CNN)


@dataclass(frozen=True)
class Material:
    """One model. Files in `directory`: the package, its ONNX file, and the bodies."""

    name: str
    directory: Path
    rows: list[list[float]]
    labels: list[int]
    sample: int = CHECKED_ROWS
    """How many rows are checked before a server is timed."""

    @property
    def package(self) -> Path:
        """The sealed package."""
        return self.directory / "package"

    @property
    def model(self) -> Path:
        """The package's ONNX file."""
        return self.directory / "model.onnx"

    def bodies(self, protocol: Protocol) -> Path:
        """The file with one body per line, in hexadecimal digits where a body is not text."""
        return self.directory / f"bodies-{protocol.name}.txt"

    def message(self, protocol: Protocol) -> Path:
        """The file with the first body as it is."""
        return self.directory / f"message-{protocol.name}"


@dataclass(frozen=True)
class Aim:
    """Where a load generator sends what."""

    material: Material
    protocol: Protocol
    address: str
    """HOST:PORT."""
    scheme: str = field(default="http")

    @property
    def url(self) -> str:
        """Where requests go."""
        return f"{self.scheme}://{self.address}{self.protocol.path}"

    def headers(self) -> Mapping[str, str]:
        """Headers of every request: all bodies of a protocol have the same ones."""
        return self.protocol.headers(self.material.message(self.protocol).read_bytes())


def prepare(
    names: Sequence[str] = (DIGITS,),
    *,
    work: Path = WORK,
    protocols: Sequence[Protocol] = PROTOCOLS,
) -> dict[str, Material]:
    """Trains the models, seals them, and writes the files anew, with bodies of these protocols."""
    shutil.rmtree(work, ignore_errors=True)
    return {name: _prepare(name, work / name, protocols) for name in names}


def _prepare(name: str, folder: Path, protocols: Sequence[Protocol]) -> Material:
    folder.mkdir(parents=True)
    trained = _models.train(name, folder)
    rows = trained.held_out[:SENT_ROWS]
    labels = [int(label) for label in trained.labels[:SENT_ROWS]]
    material = Material(name, folder, rows.tolist(), labels)
    _seal(material, trained)
    for protocol in protocols:
        _write_bodies(material, protocol)
    return material


def _seal(material: Material, trained: _models.Trained) -> None:
    import shoal.package

    package = shoal.package.build(
        trained.source,
        name=MODEL,
        version="1",
        output=material.package,
        example=_table(trained.held_out),
    )
    material.model.write_bytes(package.read("model.onnx"))


def _table(rows: Any) -> Any:
    import pyarrow as pa

    column = pa.FixedSizeListArray.from_arrays(pa.array(rows.ravel()), rows.shape[1])
    return pa.record_batch({"X": column})


def _write_bodies(material: Material, protocol: Protocol) -> None:
    bodies = [protocol.body(block) for block in blocks(protocol, material.rows)]
    material.message(protocol).write_bytes(bodies[0])
    lines = [body.decode() if protocol.is_text else body.hex() for body in bodies]
    material.bodies(protocol).write_text("".join(line + "\n" for line in lines))
