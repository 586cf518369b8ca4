"""The records of the zoo: bundled datasets, and generated ones of mixed kinds; all with holes.

- A model learns from one part, is sealed on a second, and compared on rows that are in neither.
- Fresh rows are drawn around the records: recombined, jittered, with values that are missing,
  unknown, or far out.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from sklearn import datasets

from tests.train.conftest import WORDS, customers, with_holes

if TYPE_CHECKING:
    from shoal.train._estimators._table import Task

MOST_LEARNED = 700
HELD_OUT = 280
TARGET = "target"
HOLES = 0.04


class Records(NamedTuple):
    """What a combination is made of.

    Attributes:
        name: What it is called.
        task: Whether the target is a class.
        learned: What a model learns from.
        held_out: What it is sealed on; too small a rest is filled up by rows drawn around it.
    """

    name: str
    task: Task
    learned: pa.Table
    held_out: pa.Table

    @property
    def columns(self) -> list[str]:
        """All but the target."""
        return [name for name in self.learned.column_names if name != TARGET]


@cache
def records(name: str) -> Records:
    """The records of this name."""
    whole, task = _GENERATED[name]() if name in _GENERATED else _bundled(name)
    order = np.random.default_rng(4).permutation(whole.num_rows)
    count = min(MOST_LEARNED, whole.num_rows * 2 // 3)
    learned, rest = whole.take(order[:count]), whole.take(order[count:])
    held_out = rest.slice(0, HELD_OUT)
    if held_out.num_rows < HELD_OUT:
        held_out = pa.concat_tables([held_out, around(rest, HELD_OUT, seed=5)])
    return Records(name, task, learned, held_out)


def fresh(found: Records, rows: int, *, seed: int) -> pa.Table:
    """Rows around the records, none of which was learned from or sealed on."""
    drawn = around(found.learned, rows + rows // 5, seed=seed).select(found.columns)
    known = pa.concat_tables([found.learned, found.held_out]).select(found.columns)
    is_new = ~np.isin(_marks(drawn), _marks(known))
    return drawn.filter(pa.array(is_new)).slice(0, rows)


def around(table: pa.Table, rows: int, *, seed: int) -> pa.Table:
    """Rows that look like those of a table, and some that do not."""
    random = np.random.default_rng(seed)
    places = random.integers(0, table.num_rows, rows)
    changed = {}
    for name in table.column_names:
        others = random.integers(0, table.num_rows, rows)
        mixed = np.where(random.random(rows) < 0.3, others, places)
        values = table.column(name).combine_chunks().take(pa.array(mixed))
        changed[name] = values if name == TARGET else _around(values, random)
    return pa.table(changed)


def _around(values: pa.Array, random: np.random.Generator) -> pa.Array:
    rows = len(values)
    gone = pa.array(random.random(rows) < HOLES)
    if pa.types.is_floating(values.type):
        changed = _numbers(values.to_numpy(zero_copy_only=False), random)
    elif pa.types.is_timestamp(values.type):
        seconds = values.cast(pa.int64()).to_numpy(zero_copy_only=False)
        moved = seconds + random.integers(-(10**8), 10**8, rows)
        far = random.choice([-2_208_988_800, 4_102_444_800], rows)
        moved = np.where(random.random(rows) < 0.02, far, moved)
        return pa.array(moved.astype(np.int64)).cast(values.type)
    elif pa.types.is_string(values.type):
        changed = _texts(np.array(values.to_pylist(), object), random)
    else:
        return values
    return pc.if_else(gone, None, pa.array(changed, values.type, from_pandas=True))


def _numbers(values: Any, random: np.random.Generator) -> Any:
    """Some as they are, so that they lie where trees split; some moved; some far out."""
    rows, spread = len(values), np.nanstd(values) or 1.0
    moved = values + random.normal(0, 0.2 * spread, rows)
    far = np.nanmean(values) + random.choice([-20.0, 20.0, 0.0], rows) * spread
    kind = random.random(rows)
    return np.select([kind < 0.5, kind < 0.97], [values, moved], far)


def _texts(values: Any, random: np.random.Generator) -> Any:
    rows = len(values)
    unknown = np.array([f"unknown {number}" for number in random.integers(0, 50, rows)], object)
    if not any(" " in value for value in values if value):
        return np.where(random.random(rows) < 0.05, unknown, values)
    counts = random.integers(0, 8, rows)
    said = np.array([" ".join(random.choice(WORDS, count)) for count in counts], object)
    kind = random.random(rows)
    return np.select([kind < 0.5, kind < 0.95], [values, said], unknown)


def _bundled(name: str) -> tuple[pa.Table, Task]:
    bunch = getattr(datasets, f"load_{name}")()
    random = np.random.default_rng(3)
    columns = {
        f"f{number}": with_holes(values.astype(float), HOLES, random)
        for number, values in enumerate(bunch.data.T)
    }
    is_number = name == "diabetes"
    target = bunch.target.astype(float) if is_number else bunch.target_names[bunch.target]
    task: Task = "regression" if is_number else "classification"
    target = target if is_number or name != "digits" else bunch.target
    return pa.table({**columns, TARGET: pa.array(target)}), task


def _customers() -> tuple[pa.Table, Task]:
    whole = customers(1200, seed=0).drop_columns(["spent"])
    return _renamed(whole, "left"), "classification"


def _spenders() -> tuple[pa.Table, Task]:
    whole = customers(1200, seed=9).drop_columns(["left"])
    return _renamed(whole, "spent"), "regression"


def _orders() -> tuple[pa.Table, Task]:
    """Four classes, numbers of few digits, many holes."""
    random = np.random.default_rng(12)
    rows = 1200
    price = (random.gamma(2.0, 15.0, rows)).round(2)
    pieces = random.integers(1, 20, rows).astype(float)
    country = random.choice(
        ["AT", "CH", "DE", "FR", "IT", "LI"], rows, p=[0.2, 0.3, 0.3, 0.1, 0.08, 0.02]
    )
    way = random.choice(["post", "courier", "none"], rows)
    leaning = price / 30 + pieces / 10 + (country == "CH") + random.normal(0, 0.4, rows)
    columns = {
        "price": with_holes(price, 0.2, random),
        "pieces": with_holes(pieces, 0.1, random),
        "weight": with_holes((pieces * 0.3 + random.random(rows)).round(1), 0.3, random),
        "country": with_holes(country, 0.1, random),
        "way": with_holes(way, 0.2, random),
        TARGET: pa.array(np.array(["a", "b", "c", "d"])[np.digitize(leaning, [1.2, 2.0, 3.0])]),
    }
    return pa.table(columns), "classification"


def _renamed(whole: pa.Table, target: str) -> pa.Table:
    return whole.rename_columns([TARGET if name == target else name for name in whole.column_names])


def _marks(table: pa.Table) -> Any:
    import pandas as pd

    return pd.util.hash_pandas_object(table.to_pandas(), index=False).to_numpy()


_GENERATED: dict[str, Any] = {"customers": _customers, "spenders": _spenders, "orders": _orders}
BUNDLED = ("digits", "breast_cancer", "wine", "iris", "diabetes")
NAMES = (*BUNDLED, *_GENERATED)
