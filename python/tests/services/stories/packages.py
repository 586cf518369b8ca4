"""The packages of the stories, sealed as a user would seal them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa

from shoal import package

MODELS = Path(__file__).parent / "models"
VALUES = {"value": [0.0, 1.0, 2.5]}
PAIRS = pa.array([[0.0, 1.0], [2.0, 3.0], [-1.0, 0.5]], pa.list_(pa.float32(), 2))
EVERYTHING = {
    "whole": pa.array([0, -(2**63), 2**63 - 1], pa.int64()),
    "natural": pa.array([0, 1, 2**64 - 1], pa.uint64()),
    "number": [0.0, -1.5, 1e300],
    "flag": [True, False, True],
    "text": ["a", "", "käse"],
    "pair": PAIRS,
}
EXAMPLES: dict[str, dict[str, Any]] = {
    "double": VALUES,
    "held": VALUES,
    "filled": {"value": [0.0, None, 2.5]},
    "echo": EVERYTHING,
}


def sealed(directory: Path) -> list[Path]:
    """The packages in a directory; those that are not there are built."""
    return [_sealed(name, directory) for name in EXAMPLES]


def _sealed(name: str, directory: Path) -> Path:
    path = directory / name
    if path.exists():
        return path
    settings = package.Settings(source=MODELS)
    example = pa.record_batch(EXAMPLES[name])
    reference = f"{name}:answer"
    package.build(
        reference, name=name, version="1", output=path, example=example, settings=settings
    )
    return path
