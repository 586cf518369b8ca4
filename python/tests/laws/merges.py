"""The merges that obey the laws of `test_merge_laws`: one line enrols one.

A subject is a merge, the column or columns it reads, and a reference that answers the slow and
certain way, from all the rows at once.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from shoal import batch

if TYPE_CHECKING:
    from shoal.batch import Merge

ROWS = 20
KEYS = ("north", "south", None)
EDGES = (-1.5, 0.0, 0.5, 2.0)
LABELS = ("cat", "dog", "fish")

Columns = dict[str, list[Any]]
Reference = Callable[[Columns], dict[str, Any]]


@dataclass(frozen=True)
class Subject:
    """A merge and what it must answer."""

    merge: Merge
    reference: Reference


def draw_rows(seed: int) -> pa.RecordBatch:
    """Gives rows that are hard to merge: cancelling, huge, subnormal, close together, null."""
    rng = np.random.default_rng(seed)
    normal = rng.normal(size=ROWS)
    half = rng.normal(size=ROWS // 2) * 10.0 ** rng.integers(-300, 300, ROWS // 2)
    columns = {
        "key": pa.array([KEYS[i] for i in rng.integers(0, len(KEYS), ROWS)]),
        "float": with_nulls(normal, rng),
        "cancelling": pa.array(rng.permutation(np.concatenate([half, -half])) + normal),
        "huge": pa.array(np.copysign(1.7e308, normal)),
        "subnormal": pa.array(rng.integers(-9, 9, ROWS) * 5e-324),
        "close": pa.array(1e9 + rng.integers(0, 9, ROWS) * 2.0**-23),
        "special": pa.array(rng.choice([1.0, -0.0, math.inf, -math.inf, math.nan], ROWS)),
        "float32": pa.array(normal.astype(np.float32)),
        "integer": with_nulls(rng.integers(-(2**58), 2**58, ROWS), rng),
        "unsigned": pa.array(rng.integers(0, 2**64, ROWS, dtype=np.uint64)),
        "boolean": with_nulls(normal > 0, rng),
        "text": with_nulls(
            rng.choice(["a", "B", "\N{LATIN SMALL LETTER E WITH ACUTE}", ""], ROWS), rng
        ),
        "time": pa.array(rng.integers(0, 10**15, ROWS), pa.timestamp("us", "UTC")),
        "weight": with_nulls(rng.random(ROWS), rng),
        "truth": with_nulls(rng.choice([*LABELS, "bird"], ROWS), rng),
        "prediction": pa.array(rng.choice(LABELS, ROWS)),
        "nothing": pa.nulls(ROWS),
    }
    return pa.RecordBatch.from_pydict(columns)


def with_nulls(values: np.ndarray[Any, Any], rng: np.random.Generator) -> pa.Array:
    return pa.array(values, mask=rng.random(len(values)) < 0.2)


def present(values: list[Any]) -> list[Any]:
    return [value for value in values if value is not None]


def exact_variance(values: list[Any]) -> float | None:
    if len(values) < 2:
        return None
    exact = list(map(Fraction, values))
    mean = sum(exact) / len(exact)
    return float(sum((value - mean) ** 2 for value in exact) / (len(exact) - 1))


def exact_weighted_mean(columns: Columns) -> float | None:
    pairs = zip(columns["cancelling"], columns["weight"], strict=True)
    exact = [(Fraction(value), Fraction(weight)) for value, weight in pairs if weight is not None]
    total = sum(weight for _, weight in exact)
    return float(sum(value * weight for value, weight in exact) / total) if total else None


def special_sum(values: list[float]) -> float:
    with np.errstate(invalid="ignore"):  # infinities of both signs are NaN
        return float(np.sum(values)) + 0.0


def counts_in_bins(values: list[Any]) -> dict[str, Any]:
    inside = np.histogram(values, EDGES)[0].tolist()
    below = sum(value < EDGES[0] for value in values)
    above = sum(value > EDGES[-1] for value in values)
    outside = {"histogram_float_below": below, "histogram_float_above": above}
    return {"histogram_float": inside, **outside, "histogram_float_nan": 0}


def counted_pairs(columns: Columns) -> dict[str, Any]:
    pairs = list(zip(columns["truth"], columns["prediction"], strict=True))
    matrix = [[pairs.count((truth, guess)) for guess in LABELS] for truth in LABELS]
    other = sum(truth is not None and truth not in LABELS for truth, _ in pairs)
    return {"confusion_matrix": matrix, "confusion_matrix_other": other}


def of(column: str, name: str, answer: Callable[[list[Any]], Any]) -> Reference:
    """Answers from the values of one column that are not null."""
    return lambda columns: {f"{name}_{column}": answer(present(columns[column]))}


def mean_of(values: list[Any]) -> float | None:
    return float(sum(map(Fraction, values)) / len(values)) if values else None


def smallest(values: list[Any]) -> Any:
    return min(values, default=None)


def largest(values: list[Any]) -> Any:
    return max(values, default=None)


ENROLLED = (
    Subject(batch.count(), lambda columns: {"count": len(columns["key"])}),
    Subject(batch.count("float"), of("float", "count", len)),
    Subject(batch.nulls("text"), lambda c: {"nulls_text": c["text"].count(None)}),
    Subject(batch.sum("float"), of("float", "sum", math.fsum)),
    Subject(batch.sum("cancelling"), of("cancelling", "sum", math.fsum)),
    Subject(batch.sum("subnormal"), of("subnormal", "sum", math.fsum)),
    Subject(batch.sum("special"), of("special", "sum", special_sum)),
    Subject(batch.sum("float32"), of("float32", "sum", math.fsum)),
    Subject(batch.sum("integer"), of("integer", "sum", sum)),
    Subject(batch.sum("boolean"), of("boolean", "sum", sum)),
    Subject(batch.sum("nothing"), of("nothing", "sum", sum)),
    Subject(batch.mean("float"), of("float", "mean", mean_of)),
    Subject(batch.mean("huge"), of("huge", "mean", mean_of)),
    Subject(batch.mean("unsigned"), of("unsigned", "mean", mean_of)),
    Subject(
        batch.mean("cancelling", weight="weight"),
        lambda columns: {"mean_cancelling": exact_weighted_mean(columns)},
    ),
    Subject(batch.variance("float"), of("float", "variance", exact_variance)),
    Subject(batch.variance("close"), of("close", "variance", exact_variance)),
    Subject(batch.variance("integer"), of("integer", "variance", exact_variance)),
    Subject(batch.min("float"), of("float", "min", smallest)),
    Subject(batch.max("integer"), of("integer", "max", largest)),
    Subject(batch.max("unsigned"), of("unsigned", "max", largest)),
    Subject(batch.min("text"), of("text", "min", smallest)),
    Subject(batch.max("time"), of("time", "max", largest)),
    Subject(batch.histogram("float", edges=EDGES), lambda c: counts_in_bins(present(c["float"]))),
    Subject(batch.confusion_matrix("truth", "prediction", labels=LABELS), counted_pairs),
)
