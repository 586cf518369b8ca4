"""How near predicted numbers are to the true ones, from exact sums.

- The error of a record is `prediction - truth`, held exactly, as two doubles: the rounded
  difference and what rounding dropped. Sums of it, of its size and of its square are exact too.
- Answers are the same under any cut, within a few roundings of the true ones, also where errors
  cancel and where R2 is near 0.
- NaN where a value is NaN or infinite, or an error lies beyond the range of a double.

Source: D. Knuth, "The Art of Computer Programming", volume 2, section 4.2.2, theorem B (TwoSum).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa

from shoal.batch._merges._columns import (
    checked_type,
    indices,
    is_number,
    numbers,
    present,
    table_of,
)
from shoal.batch._merges._exact import ExactSums, shift, state_fields, subtract
from shoal.batch._merges._sums import (
    FLOAT_EXACTNESS,
    as_doubles,
    one_by_one,
    spread_of,
    summed,
    summed_products,
    times_counts,
)
from shoal.errors import DtypeError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from shoal.batch._merges._contract import Exactness, Merge

    Floats = NDArray[np.float64]
    Integers = NDArray[np.int64]
    Scaled = tuple[Floats, Integers]  # a mantissa, and the exponent of the 2 it is multiplied by

# Of errors, their sizes, their squares; of truths, and their squares.
SUMS: Final = ("error", "size", "square", "truth", "truth_square")


@dataclass(frozen=True)
class Regression:
    """Metrics of predicted numbers, as one struct of float64 beside the number of records."""

    name: str
    truth: str
    prediction: str

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns compared."""
        return (self.truth, self.prediction)

    @property
    def state(self) -> pa.Schema:
        """How many records, their largest error, and the exact sums."""
        sums = [field for prefix in SUMS for field in state_fields(prefix)]
        return pa.schema([("count", pa.int64()), ("largest", pa.float64()), *sums])

    @property
    def exactness(self) -> Exactness:
        """Within 1e-12 of each metric, in fact a few roundings of a double."""
        return FLOAT_EXACTNESS

    def bind(self, schema: pa.Schema) -> Merge:
        """Accepts booleans, integers and floats."""
        for column in self.columns:
            checked_type(schema, column, verb="compared as numbers", accepts=is_number)
        return self

    def lift(self, batch: pa.RecordBatch, group: pa.Int32Array, groups: int) -> pa.RecordBatch:
        """Sums errors where neither is null.

        Raises:
            DtypeError: An integer is beyond 2**53, where not every one is a double.
        """
        arrays, place = present(batch, self.columns, group)
        truth, prediction = map(_doubles, self.columns, arrays)
        columns = _error_sums(truth, prediction, place, groups)
        columns |= summed("truth", truth, group=place, groups=groups)
        columns |= summed_products("truth_square", (truth, truth), group=place, groups=groups)
        columns["count"] = pa.array(np.bincount(place, minlength=groups))
        return table_of(columns, self.state)

    def combine(self, states: pa.RecordBatch, group: pa.Int32Array, groups: int) -> pa.RecordBatch:
        """Adds sums and counts, and compares the largest errors."""
        place = indices(group)
        counts = np.zeros(groups, np.int64)
        np.add.at(counts, place, states.column("count").to_numpy(zero_copy_only=False))
        sizes = states.column("largest").to_numpy(zero_copy_only=False)
        columns = {"count": pa.array(counts), "largest": _largest(sizes, place, groups)}
        for prefix in SUMS:
            sums = ExactSums.of_columns(states, prefix, group=place, groups=groups)
            columns |= sums.columns(prefix)
        return table_of(columns, self.state)

    def finish(self, states: pa.RecordBatch) -> pa.RecordBatch:
        """Divides; null of no record."""
        counts = states.column("count").to_numpy(zero_copy_only=False).astype(np.int64)
        sums = {prefix: one_by_one(states, prefix) for prefix in SUMS}
        square = _mean(sums["square"], counts)
        explained, is_constant = _explained(sums, counts)
        metrics = {
            "bias": shift(*_mean(sums["error"], counts)),
            "mean_absolute_error": shift(*_mean(sums["size"], counts)),
            "mean_squared_error": shift(*square),
            "root_mean_squared_error": _root(*square),
            "max_error": states.column("largest").to_numpy(zero_copy_only=False),
            "r2": explained,
        }
        is_special = np.any([part.special != 0 for part in sums.values()], axis=0)
        null = dict.fromkeys(metrics, counts == 0) | {"r2": is_constant & ~is_special}
        fields = {"records": states.column("count")}
        for name, values in metrics.items():
            fields[name] = pa.array(np.where(is_special, np.nan, values), mask=null[name])
        struct = pa.StructArray.from_arrays(list(fields.values()), names=list(fields))
        return pa.RecordBatch.from_pydict({self.name: struct})


def _doubles(column: str, array: pa.Array) -> Floats:
    values: NDArray[Any] = as_doubles(numbers(array))
    if values.dtype.kind != "f":
        raise DtypeError(
            f"column {column!r} is {array.type} and holds integers beyond 2**53",
            hint="cast the column to float64 if its last digits do not matter",
        )
    return values


def _error_sums(
    truth: Floats, prediction: Floats, group: Integers, groups: int
) -> dict[str, pa.Array]:
    """Sums the errors, their sizes and their squares, exactly."""
    error, dropped = _difference(prediction, truth)
    # Few differences round: only those have a second part.
    rounded = np.flatnonzero(dropped)
    main, rest, group_of_rest = error[rounded], dropped[rounded], group[rounded]
    both = np.concatenate([group, group_of_rest])
    columns = summed("error", np.concatenate([error, rest]), group=both, groups=groups)
    sizes = np.concatenate([np.abs(error), np.copysign(1.0, main) * rest])
    columns |= summed("size", sizes, group=both, groups=groups)
    # (main + rest)**2, as main * main + main * (2 * rest) + rest * rest
    factors = np.concatenate([error, main, rest]), np.concatenate([error, 2 * rest, rest])
    all_three = np.concatenate([both, group_of_rest])
    columns |= summed_products("square", factors, group=all_three, groups=groups)
    columns["largest"] = _largest(np.abs(error), group, groups)
    return columns


def _difference(left: Floats, right: Floats) -> tuple[Floats, Floats]:
    """Gives `left - right` rounded, and what rounding dropped, exactly."""
    with np.errstate(invalid="ignore", over="ignore"):
        difference = left - right
        subtracted = left - difference
        dropped = (left - (difference + subtracted)) + (subtracted - right)
    return difference, np.where(np.isfinite(difference), dropped, 0.0)


def _largest(sizes: Floats, group: Integers, groups: int) -> pa.Array:
    largest = np.zeros(groups)
    with np.errstate(invalid="ignore"):
        np.maximum.at(largest, group, sizes)
    return pa.array(largest)


def _mean(sums: ExactSums, counts: Integers) -> Scaled:
    mantissa, exponent = sums.scaled()
    return mantissa / np.maximum(counts, 1), exponent


def _root(mantissa: Floats, exponent: Integers) -> Floats:
    """Gives the square root, also of what is no double itself."""
    odd = exponent % 2
    return shift(np.sqrt(np.ldexp(mantissa, odd.astype(np.int32))), exponent // 2)


def _explained(sums: dict[str, ExactSums], counts: Integers) -> tuple[Floats, NDArray[np.bool_]]:
    """Gives R2, the share of the truth's variance that is no error, and where there is none.

    The difference is taken before anything is rounded: R2 may be near 0.
    """
    spread = spread_of(counts, sums["truth"], sums["truth_square"])
    errors, limb = times_counts(counts, sums["square"])
    top, top_exponent = subtract((spread.digits, spread.limb), (errors, limb)).scaled()
    bottom, bottom_exponent = spread.scaled()
    is_constant = bottom == 0
    ratio = top / np.where(is_constant, 1.0, bottom)
    return shift(ratio, top_exponent - bottom_exponent), is_constant
