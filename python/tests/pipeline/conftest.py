"""A small model, and the records that it is asked, in every form of file."""

from __future__ import annotations

import csv
import gzip
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.dataset as arrow_dataset
import pyarrow.parquet as pq
import pytest
from onnx import TensorProto, helper, numpy_helper

from shoal import package
from tests.pipeline.killing import Killer

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

ROWS = 3000
# How many files `files` has, and how many records each.
FILES, FILE_ROWS = 6, 300
FEATURES = ("a", "b", "c", "d")


@dataclass(frozen=True)
class Records:
    """What is asked, and what the answer to each record is."""

    table: pa.Table
    total: list[float]


def adding() -> bytes:
    """An ONNX file that adds four numbers."""
    graph = helper.make_graph(
        [helper.make_node("ReduceSum", ["x", "axes"], ["total"], keepdims=0)],
        "adding",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 4])],
        [helper.make_tensor_value_info("total", TensorProto.FLOAT, ["N"])],
        [numpy_helper.from_array(np.array([1], np.int64), "axes")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    data: bytes = model.SerializeToString(deterministic=True)
    return data


@pytest.fixture(scope="session")
def adder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A package with one input `x` of four numbers, and one output `total`."""
    path = tmp_path_factory.mktemp("adder") / "adder"
    rows = np.arange(12, dtype=np.float32).reshape(3, 4)
    package.build(adding(), name="adder", version="1", output=path, example=rows)
    return path


@pytest.fixture(scope="session")
def records() -> Records:
    """Records of four numbers in columns of their own, with a number and a text beside them."""
    random = np.random.default_rng(5)
    values = random.integers(-1000, 1000, (ROWS, 4)).astype(np.float32) / 4
    columns: dict[str, Any] = {name: values[:, place] for place, name in enumerate(FEATURES)}
    columns["id"] = np.arange(ROWS)
    columns["note"] = [
        f'line {n}\nsaid "{n}", twice' if n % 7 == 0 else f"n{n}" for n in range(ROWS)
    ]
    return Records(pa.table(columns), values.sum(axis=1).tolist())


@pytest.fixture(scope="session")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files of records, their times a little out of order."""
    folder = tmp_path_factory.mktemp("records") / "in"
    folder.mkdir()
    random = np.random.default_rng(3)
    for number in range(FILES):
        times = np.sort(random.integers(0, 20_000_000, FILE_ROWS)) + number * 20_000_000
        times += random.integers(0, 900_000, FILE_ROWS)
        columns = {
            "time": pa.array(times, pa.timestamp("us")),
            "key": random.integers(0, 5, FILE_ROWS),
            "value": random.integers(-20, 80, FILE_ROWS),
            "id": np.arange(FILE_ROWS) + number * FILE_ROWS,
        }
        pq.write_table(pa.table(columns), folder / f"{number}.parquet", row_group_size=100)
    return folder


@pytest.fixture
def killer(
    program: Callable[[str], str],
    tmp_path: Path,
    record_property: Callable[[str, object], None],
    request: pytest.FixtureRequest,
) -> Killer:
    """Kills runs of pipelines."""
    return Killer(program("strace"), tmp_path, record_property, request.node.name)


def write(table: pa.Table, path: Path) -> Path:
    """A file of the format that its name says."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = table.to_pylist()
    if path.suffix == ".parquet":
        pq.write_table(table, path, row_group_size=700)
        return path
    plain = path.name.removesuffix(".gz")
    with (gzip.open if path.suffix == ".gz" else open)(path, "wt", newline="") as file:
        if plain.endswith(".csv"):
            writer = csv.DictWriter(file, table.schema.names)
            writer.writeheader()
            writer.writerows(rows)
        else:
            file.writelines(json.dumps(row) + "\n" for row in rows)
    return path


def read(folder: Path) -> pa.Table:
    """The records of a folder, as a reader that knows nothing of Shoal sees them."""
    return arrow_dataset.dataset(folder, format="parquet").to_table()
