"""Records of mixed kinds, with holes, that the tests of this room share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pytest
from threadpoolctl import threadpool_limits

from shoal.train._prepare._description import (
    Categorical,
    Date,
    Feature,
    Numeric,
    Preparation,
    Text,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

CITIES = ["Bern", "Zürich", "Genf", "Basel", "Chur", "Sion"]
WORDS = np.array(["good", "bad", "slow", "fast", "Große", "late", "never", "again"])


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> Iterator[None]:
    """Small models are learned sooner by one thread than by several that wait for each other."""
    with threadpool_limits(1):
        yield


def customers(rows: int, *, seed: int) -> pa.Table:
    """What is known of customers, and whether they left."""
    random = np.random.default_rng(seed)
    age = random.normal(40, 12, rows).round(1)
    city = random.choice(CITIES, rows, p=[0.3, 0.3, 0.2, 0.1, 0.09, 0.01])
    notes = np.array(
        [" ".join(random.choice(WORDS, count)) for count in random.integers(0, 6, rows)]
    )
    is_member = random.random(rows) < 0.3
    leaning = (age - 40) / 12 + (city == "Bern") - 1.5 * (np.strings.find(notes, "bad") >= 0)
    noise = random.normal(0, 0.5, rows)
    columns = {
        "age": with_holes(age, 0.1, random),
        "income": with_holes(random.lognormal(10, 1, rows), 0.05, random),
        "city": with_holes(city, 0.05, random),
        "notes": with_holes(notes, 0.03, random),
        "since": pa.array(random.integers(0, 1_700_000_000, rows), pa.timestamp("s", "UTC")),
        "is_member": pa.array(is_member),
        "spent": pa.array(leaning * 100 + noise),
        "left": pa.array(np.where(leaning + 0.7 * is_member + noise > 0.2, "yes", "no")),
    }
    return pa.table(columns)


def with_holes(values: np.ndarray, share: float, random: np.random.Generator) -> pa.Array:
    return pa.array(values, mask=random.random(len(values)) < share)


@pytest.fixture(scope="session")
def learned() -> pa.Table:
    return customers(1500, seed=0)


@pytest.fixture(scope="session")
def held_out() -> pa.Table:
    return customers(250, seed=1)


@pytest.fixture(scope="session")
def preparation() -> Preparation:
    columns: dict[str, Feature] = {
        "age": Numeric(flag=True),
        "income": Numeric(missing="mean"),
        "city": Categorical(least_rows=30),
        "notes": Text(n_grams=2),
        "since": Date(parts=("year", "month", "weekday", "hour", "days")),
        "is_member": Numeric(),
    }
    return Preparation(columns=columns)
