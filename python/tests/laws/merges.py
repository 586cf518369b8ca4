"""The merges that obey the laws of `test_merge_laws`: one line enrols one.

A subject is a merge, the column or columns it reads, and a reference that answers the slow and
certain way, from all the rows at once. The reference of quantiles is all values, for a rank to be
looked up in.
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

from .metrics import LABELS, brier, calibrated, classified, logarithmic, ranked_pairs, regressed

if TYPE_CHECKING:
    from shoal.batch import Merge

ROWS = 20
KEYS = ("north", "south", None)
EDGES = (-1.5, 0.0, 0.5, 2.0)
BINS = 4
RANKS = (0.0, 0.1, 0.5, 0.9, 0.99, 1.0)

Columns = dict[str, list[Any]]
Reference = Callable[[Columns], dict[str, Any]]


@dataclass(frozen=True)
class Subject:
    """A merge and what it must answer."""

    merge: Merge
    reference: Reference


@dataclass(frozen=True)
class Ranked:
    """All values, in order, and the ranks whose values are asked for."""

    values: list[float]
    at: tuple[float, ...]


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
        "few": with_nulls(rng.integers(0, 4, ROWS), rng),
        "few_floats": pa.array(rng.choice([0.0, -0.0, 0.5, 1.0, math.inf, math.nan], ROWS)),
        "happened": with_nulls(rng.integers(0, 2, ROWS), rng),
        "probability": pa.array(rng.choice([0.0, 1e-9, 0.25, 0.5, 0.75, 1.0], ROWS)),
        "guess": pa.array(normal + rng.normal(size=ROWS)),
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


def ranked(columns: Columns) -> dict[str, Any]:
    values = sorted(present(columns["float"]))
    return {"quantiles_float": Ranked(values, RANKS) if values else None}


def different(values: list[Any]) -> int:
    return len({str(value) if is_nan(value) else value for value in values})


def ordered(columns: Columns, names: tuple[str, ...], *, largest: bool) -> list[dict[str, Any]]:
    """Gives all rows as `top` and `bottom` order them, 0.0 for -0.0."""
    rows = zip(*(columns[name] for name in names), strict=True)
    kept = [tuple(map(without_sign, row)) for row in rows if row[0] is not None]
    rest_first = sorted(kept, key=lambda row: [(value is None, value or "") for value in row[1:]])
    placed = sorted(rest_first, key=lambda row: place_of(row[0], largest=largest))
    return [dict(zip(names, row, strict=True)) for row in placed]


def without_sign(value: Any) -> Any:
    return value + 0.0 if isinstance(value, float) else value


def place_of(value: Any, *, largest: bool) -> tuple[bool, Any]:
    """Gives what sorts numbers in this direction, and NaN behind."""
    return (True, 0) if is_nan(value) else (False, -value if largest else value)


def is_nan(value: Any) -> bool:
    return isinstance(value, float) and math.isnan(value)


def best(columns: Columns) -> dict[str, Any]:
    return {"top": ordered(columns, ("few", "text", "prediction"), largest=True)[:3]}


def best_and_ties(columns: Columns) -> dict[str, Any]:
    rows = ordered(columns, ("few_floats", "text"), largest=False)
    last = [repr(row["few_floats"]) for row in rows[:2]][-1:]
    kept = [row for place, row in enumerate(rows) if place < 2 or repr(row["few_floats"]) in last]
    return {"bottom": kept}


def at_the_latest(columns: Columns) -> dict[str, Any]:
    pairs = [pair for pair in zip(columns["few"], columns["text"], strict=True) if None not in pair]
    return {"latest_text": max(pairs, default=(None, None))[1]}


def at_the_earliest(columns: Columns) -> dict[str, Any]:
    pairs = zip(columns["time"], columns["integer"], strict=True)
    kept = [pair for pair in pairs if None not in pair]
    return {"earliest_integer": min(kept, default=(None, None))[1]}


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
    Subject(batch.quantiles("float", RANKS), ranked),
    Subject(batch.distinct("few"), of("few", "distinct", different)),
    Subject(batch.distinct("special"), of("special", "distinct", different)),
    Subject(batch.distinct("text"), of("text", "distinct", different)),
    Subject(batch.distinct("time"), of("time", "distinct", different)),
    Subject(batch.top(3, "few", ("text", "prediction")), best),
    Subject(batch.bottom(2, "few_floats", ("text",), ties=True), best_and_ties),
    Subject(batch.latest("text", "few"), at_the_latest),
    Subject(batch.earliest("integer", "time"), at_the_earliest),
    Subject(batch.classification("truth", "prediction", labels=LABELS), classified),
    Subject(batch.log_loss("happened", "probability"), logarithmic),
    Subject(batch.brier_score("happened", "probability"), brier),
    Subject(batch.regression("close", "guess"), regressed),
    Subject(batch.ranking("happened", "guess", edges=EDGES), ranked_pairs(EDGES)),
    Subject(batch.calibration("happened", "probability", bins=BINS), calibrated(BINS)),
)
