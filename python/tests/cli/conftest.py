"""Sealed models and files that the commands are given."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from shoal import package

if TYPE_CHECKING:
    from pathlib import Path

    from tests.end_to_end.models import Sealed


@pytest.fixture(scope="session")
def digits_file(digits: Sealed, places: Path) -> Path:
    """The ONNX file of the digits package, alone."""
    path = places / "digits.onnx"
    path.write_bytes(package.open(digits.path).read("model.onnx"))
    return path


@pytest.fixture(scope="session")
def example_file(places: Path) -> Path:
    """Rows for `fragile`, as Parquet."""
    path = places / "rows.parquet"
    pq.write_table(pa.table({"value": [0.0, 1.0, 2.0]}), path)
    return path
