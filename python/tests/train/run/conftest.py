"""A small run that several tests look at."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pyarrow.parquet as pq
import pytest

from shoal.evaluate import Settings as EvaluationSettings
from shoal.train import (
    Choice,
    Configuration,
    InputData,
    Settings,
    Space,
    Threshold,
    open_dataset,
    run,
)
from shoal.train._collect._recipe import InputText
from tests.train.conftest import customers

if TYPE_CHECKING:
    from pathlib import Path

    import pyarrow as pa

    from shoal.train import Trained

ROWS = 1500
SEARCH = Settings(
    sampler="grid",
    score="average_precision",
    space=Space(
        estimators={
            "logistic_regression": {"C": Choice((0.1, 1.0))},
            "hist_gradient_boosting": {"max_leaf_nodes": Choice((8,))},
            "dummy": {},
        },
    ),
)


@pytest.fixture(scope="session")
def configuration(tmp_path_factory: pytest.TempPathFactory) -> Configuration:
    """Customers who leave, in a Parquet file."""
    path = tmp_path_factory.mktemp("customers") / "customers.parquet"
    pq.write_table(customers(ROWS, seed=5).drop_columns(["spent"]), path)
    return Configuration(
        name="churn",
        version="1.0.0",
        target="left",
        data=InputData(input=[InputText(files=str(path))]),
        search=SEARCH,
        threshold=Threshold(by="f1"),
        evaluation=EvaluationSettings(replicates=50, slices=("city",), repeats=2),
        card={"intended_use": "Who is called before a contract ends."},
    )


@pytest.fixture(scope="session")
def output(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("run") / "output"


@pytest.fixture(scope="session")
def trained(configuration: Configuration, output: Path) -> Trained:
    """A run that has ended."""
    return run(configuration, output)


@pytest.fixture(scope="session")
def records(output: Path, trained: Trained) -> pa.Table:
    """What the run has collected."""
    assert trained.package.digest
    return open_dataset(output / "dataset").to_table()


def changed(configuration: Configuration, **parts: object) -> Configuration:
    """The same but for some parts."""
    return msgspec.structs.replace(configuration, **parts)
