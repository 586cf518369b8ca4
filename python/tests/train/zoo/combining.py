"""One combination of the zoo: fitted, sealed, and its package compared on fresh rows."""

from __future__ import annotations

import hashlib
import math
import re
import shutil
import warnings
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa

from shoal.errors import PackageError
from shoal.train import Candidate, fit, seal
from shoal.train._estimators._table import TABLES, Choice, Whole
from shoal.train._prepare._description import Date, Numeric, Preparation
from shoal.train._prepare._frames import frame_of
from tests.train.zoo.preparations import names_for, preparation
from tests.train.zoo.records import NAMES, TARGET, fresh, records

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from shoal.package import Package
    from shoal.train._estimators._table import Range, Task

    Serve = Callable[[Package, pa.RecordBatch], list[Any]]
    """Asks a package the rows; gives the first column of its answers."""

ROWS = 10_000
# Numbers may differ by rounding, on rows far out by more than on those that were proved.
APART = 1e-4


class Combination(NamedTuple):
    """An estimator, what stands before it, and records."""

    dataset: str
    preparation: str
    estimator: str

    def __str__(self) -> str:
        return "-".join(self)

    @property
    def place(self) -> str:
        """Where it lies in an order that has nothing to do with what it is."""
        return hashlib.sha256(str(self).encode()).hexdigest()


class Outcome(NamedTuple):
    """What came of a combination.

    Attributes:
        combination: Which.
        refusal: Why it was not sealed, in a few words; empty where it was.
        told: The whole refusal.
        rows: How many fresh rows were compared.
        mismatches: How many of them have another label, or a number that is too far off.
    """

    combination: Combination
    refusal: str
    told: str
    rows: int
    mismatches: int


def combinations() -> list[Combination]:
    """All of them, in an order that has nothing to do with what they are."""
    found = []
    for dataset in NAMES:
        given = records(dataset)
        for estimator, entry in TABLES[given.task].items():
            found += [
                Combination(dataset, name, estimator)
                for name in names_for(given)
                if entry.takes_missing or name != "kept"
            ]
    return sorted(found, key=lambda each: each.place)


def tried(combination: Combination, place: Path, serve: Serve) -> Outcome:
    """Fits, seals, and compares."""
    given = records(combination.dataset)
    chosen = preparation(combination.preparation, given)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        candidate = Candidate(
            estimator=combination.estimator, parameters=_parameters(combination, given.task)
        )
        fitted = fit(given.learned, TARGET, candidate, preparation=chosen, seed=1)
    output = place / str(combination)
    try:
        held_out = _usable(given.held_out, chosen)
        package = seal(fitted, held_out, name="zoo", version="1", output=output)
    except PackageError as error:
        return Outcome(combination, _reason(error), f"{error} {error.hint}", 0, 0)
    asked = _usable(
        fresh(
            given,
            ROWS * 3 // 2 if "drop" in combination.preparation else ROWS,
            seed=int(combination.place[:8], 16),
        ),
        chosen,
    )
    found = serve(package, raw(asked, chosen))
    shutil.rmtree(output)
    expected = fitted.pipeline.predict(frame_of(asked, chosen))
    wrong = _mismatches(found, expected)
    return Outcome(combination, "", "", len(expected), wrong)


def through_the_runtime(package: Package, rows: pa.RecordBatch) -> list[Any]:
    """Asks a package in this process: the session is the one that a server uses."""
    answers: list[Any] = package.model().predict(rows).column(0).to_pylist()
    return answers


def raw(table: pa.Table, chosen: Preparation) -> pa.RecordBatch:
    """Records as a package takes them."""
    found = {}
    for name, feature in chosen.columns.items():
        values = table.column(name).combine_chunks()
        if isinstance(feature, Numeric):
            is_flag = pa.types.is_boolean(values.type)
            values = (values.cast(pa.uint8()) if is_flag else values).cast(pa.float32(), safe=False)
        elif isinstance(feature, Date):
            values = values.cast(pa.int64())
        found[name] = values
    return pa.RecordBatch.from_pydict(found)


def _parameters(combination: Combination, task: Task) -> dict[str, Any]:
    """Every second combination has other parameters than the usual ones, of those searched."""
    random = np.random.default_rng(int(combination.place[8:16], 16))
    if random.random() < 0.5:
        return {}
    searched = TABLES[task][combination.estimator].searched
    return {name: _drawn(each, random) for name, each in searched.items()}


def _drawn(each: Range, random: np.random.Generator) -> Any:
    if isinstance(each, Choice):
        return each.values[random.integers(len(each.values))]
    low, high = (math.log(each.low), math.log(each.high)) if each.is_log else (each.low, each.high)
    value = low + (high - low) * random.random()
    value = math.exp(value) if each.is_log else value
    return round(value) if isinstance(each, Whole) else value


def _usable(table: pa.Table, chosen: Preparation) -> pa.Table:
    """Without records that lack what the preparation drops: a package refuses them by name."""
    dropped = [name for name, each in chosen.columns.items() if each.missing == "drop"]
    is_there = np.ones(table.num_rows, bool)
    for name in dropped:
        is_there &= table.column(name).is_valid().to_numpy()
    return table.filter(pa.array(is_there))


def _mismatches(found: list[Any], expected: Any) -> int:
    if expected.dtype.kind in "OU":
        return int((np.array(found, object) != expected.astype(object)).sum())
    numbers = np.array(found, float)
    size = np.maximum(np.abs(expected), np.median(np.abs(expected)))
    return int((np.abs(numbers - expected) > APART * np.maximum(size, 1.0)).sum())


def _reason(error: PackageError) -> str:
    kind = type(error).__name__
    step = re.search(r"in (?:the step \S+ \()?(\w+)\)?, exported", str(error))
    return (
        f"{kind}: {step[1]}: {str(error.hint).partition('.')[0]}"
        if step
        else f"{kind}: {str(error)[:80]}"
    )
