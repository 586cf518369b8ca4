"""Whether predicted probabilities are the shares that come true, bin by bin.

- The unit interval is cut into bins of one width: `edge <= probability < next edge`, the last also
  its upper edge. A bin holds how many records it got, how many of them came true, and the exact sum
  of their probabilities.
- The expected calibration error is the mean distance of probability and share, bins weighted by
  their records. It is made from exact differences: a well calibrated model keeps its digits.
- NaN is counted and part of no bin.

Source: M. Naeini, G. Cooper, M. Hauskrecht, "Obtaining well calibrated probabilities using Bayesian
binning"; C. Guo, G. Pleiss, Y. Sun, K. Weinberger, "On calibration of modern neural networks".
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
from shoal.batch._merges._exact import ExactSums, shift, state_fields, subtract, terms_of_integers
from shoal.batch._merges._metrics import check_values
from shoal.batch._merges._sums import FLOAT_EXACTNESS, summed
from shoal.errors import InvalidRequestError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from shoal.batch._merges._contract import Exactness, Merge

    Floats = NDArray[np.float64]
    Integers = NDArray[np.int64]

SUM: Final = "sum"


@dataclass(frozen=True)
class Calibration:
    """The reliability table of a probability, and its expected calibration error, as one struct."""

    name: str
    truth: str
    probability: str
    bins: int

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns compared."""
        return (self.truth, self.probability)

    @property
    def state(self) -> pa.Schema:
        """By bin: records, those that came true, an exact sum of probabilities; and NaN."""
        fields = [("records", pa.int64()), ("positives", pa.int64())]
        fields += [(field.name, field.type) for field in state_fields(SUM)]
        lists = [pa.field(name, pa.list_(found, self.bins)) for name, found in fields]
        return pa.schema([pa.field("nan", pa.int64()), *lists])

    @property
    def exactness(self) -> Exactness:
        """Within 1e-12: counts and sums are exact."""
        return FLOAT_EXACTNESS

    def bind(self, schema: pa.Schema) -> Merge:
        """Accepts booleans, integers and floats."""
        for column in self.columns:
            checked_type(schema, column, verb="calibrated", accepts=is_number)
        return self

    def lift(self, batch: pa.RecordBatch, group: pa.Int32Array, groups: int) -> pa.RecordBatch:
        """Counts and sums where neither is null.

        Raises:
            InvalidRequestError: A truth is neither 0 nor 1, or a probability not from 0 to 1.
        """
        arrays, place = present(batch, self.columns, group)
        truth, probability = (numbers(array).astype(np.float64) for array in arrays)
        check_values(self.truth, truth, (truth == 0) | (truth == 1), "0 or 1")
        is_nan = np.isnan(probability)
        is_share = is_nan | ((probability >= 0) & (probability <= 1))
        check_values(self.probability, probability, is_share, "a probability from 0 to 1")
        nan = np.bincount(place[is_nan], minlength=groups)
        truth, probability, place = truth[~is_nan], probability[~is_nan], place[~is_nan]
        cell = place * self.bins + bin_of(probability, self.bins)
        size = groups * self.bins
        columns = summed(SUM, probability, group=cell, groups=size)
        columns["records"] = pa.array(np.bincount(cell, minlength=size))
        columns["positives"] = pa.array(np.bincount(cell[truth == 1], minlength=size))
        return self._table(columns, nan)

    def combine(self, states: pa.RecordBatch, group: pa.Int32Array, groups: int) -> pa.RecordBatch:
        """Adds counts and sums, bin by bin."""
        flat, place = self._flat(states), indices(group)
        cell = (place[:, None] * self.bins + np.arange(self.bins)).ravel()
        size = groups * self.bins
        sums = ExactSums.of_columns(flat, SUM, group=cell, groups=size)
        columns = sums.columns(SUM)
        for name in ("records", "positives"):
            columns[name] = pa.array(_added(flat.column(name), cell, size))
        return self._table(columns, _added(states.column("nan"), place, groups))

    def finish(self, states: pa.RecordBatch) -> pa.RecordBatch:
        """Divides; null of no record, and in a bin without any."""
        flat = self._flat(states)
        records, positives = (_integers(flat.column(name)) for name in ("records", "positives"))
        cells = np.arange(len(records))
        sums = ExactSums.of_columns(flat, SUM, group=cells, groups=len(records))
        hits = ExactSums.of_terms(terms_of_integers(positives), cells, len(records))
        gap = subtract((sums.digits, sums.limb), (hits.digits, hits.limb)).floats()
        totals = records.reshape(-1, self.bins).sum(axis=1)
        error = np.abs(gap).reshape(-1, self.bins).sum(axis=1) / np.maximum(totals, 1)
        mantissa, exponent = sums.scaled()
        divisor, is_empty = np.maximum(records, 1), records == 0
        fields = {
            "records": pa.array(totals),
            "nan": states.column("nan"),
            "expected_calibration_error": pa.array(error, mask=totals == 0),
            "bin_records": self._lists(pa.array(records)),
            "mean_probability": self._lists(
                pa.array(shift(mantissa / divisor, exponent), mask=is_empty)
            ),
            "share": self._lists(pa.array(positives / divisor, mask=is_empty)),
        }
        struct = pa.StructArray.from_arrays(list(fields.values()), names=list(fields))
        return pa.RecordBatch.from_pydict({self.name: struct})

    def _lists(self, flat: pa.Array) -> pa.Array:
        return pa.FixedSizeListArray.from_arrays(flat, self.bins)

    def _table(self, columns: dict[str, pa.Array], nan: Integers) -> pa.RecordBatch:
        lists = {name: self._lists(column) for name, column in columns.items()}
        return table_of({"nan": pa.array(nan), **lists}, self.state)

    def _flat(self, states: pa.RecordBatch) -> pa.RecordBatch:
        """Gives one row per state and bin."""
        names = [field.name for field in self.state][1:]
        return pa.RecordBatch.from_arrays([states.column(name).flatten() for name in names], names)


def check_bins(bins: object) -> None:
    """Refuses what cuts nothing into bins.

    Raises:
        InvalidRequestError: `bins` is no whole number from 1 up.
    """
    if isinstance(bins, bool) or not isinstance(bins, int) or bins < 1:
        raise InvalidRequestError(f"bins is {bins!r}, expected a whole number from 1 up")


def bin_of(probability: Floats, bins: int) -> Integers:
    """Gives the bin of each probability, the same as among `bins + 1` evenly spaced edges."""
    edges = np.arange(1, bins) / bins
    found: Integers = np.searchsorted(edges, probability, side="right").astype(np.int64)
    return found


def _integers(column: pa.Array) -> Integers:
    values: NDArray[Any] = column.to_numpy(zero_copy_only=False)
    return values.astype(np.int64)


def _added(column: pa.Array, group: Integers, groups: int) -> Integers:
    totals = np.zeros(groups, np.int64)
    np.add.at(totals, group, _integers(column))
    return totals
