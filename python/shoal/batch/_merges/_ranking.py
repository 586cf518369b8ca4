"""How well scores put records that came true above the others, from counts of scores in bins.

- Scores are counted by bin and truth: a state has one size however many records it holds.
- Records of one bin are ranked alike. What that can change is told beside each answer: the true
  area under the ROC curve lies within `roc_auc_error` of `roc_auc`, the true average precision
  between `average_precision_low` and `average_precision_high`. The bounds are never exceeded.
- Scores beyond the edges have a bin on either side. NaN is counted and ranked nowhere.
- Counts are whole numbers: the answer is the same under any cut.

Source: J. Hanley, B. McNeil, "The meaning and use of the area under a receiver operating
characteristic (ROC) curve"; scikit-learn, "Metrics and scoring", average precision.
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
from shoal.batch._merges._metrics import check_values
from shoal.batch._merges._sums import FLOAT_EXACTNESS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from shoal.batch._merges._contract import Exactness, Merge

    Floats = NDArray[np.float64]
    Integers = NDArray[np.int64]

# Of probabilities: bins of a thousandth.
UNIT_EDGES: Final = tuple(place / 1000 for place in range(1001))


@dataclass(frozen=True)
class Ranking:
    """The areas under the ROC and the precision-recall curve, and how far off they may be."""

    name: str
    truth: str
    score: str
    edges: tuple[float, ...] = UNIT_EDGES

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns compared."""
        return (self.truth, self.score)

    @property
    def state(self) -> pa.Schema:
        """Counts by bin: of what did not come true, of what did, and of NaN."""
        return pa.schema([("counts", pa.list_(pa.int64(), 2 * self._bins + 1))])

    @property
    def exactness(self) -> Exactness:
        """Within 1e-12 of what the binned scores have: counts are exact."""
        return FLOAT_EXACTNESS

    def bind(self, schema: pa.Schema) -> Merge:
        """Accepts booleans, integers and floats."""
        for column in self.columns:
            checked_type(schema, column, verb="ranked", accepts=is_number)
        return self

    def lift(self, batch: pa.RecordBatch, group: pa.Int32Array, groups: int) -> pa.RecordBatch:
        """Counts the records where neither is null.

        Raises:
            InvalidRequestError: A truth is neither 0 nor 1.
        """
        arrays, place = present(batch, self.columns, group)
        truth, score = (numbers(array).astype(np.float64) for array in arrays)
        check_values(self.truth, truth, (truth == 0) | (truth == 1), "0 or 1")
        is_nan = np.isnan(score)
        cell = np.searchsorted(self.edges, score, side="right") + self._bins * (truth == 1)
        cell[is_nan] = 2 * self._bins
        width = 2 * self._bins + 1
        counts = np.bincount(place * width + cell, minlength=groups * width)
        return self._table(counts.reshape(groups, width))

    def combine(self, states: pa.RecordBatch, group: pa.Int32Array, groups: int) -> pa.RecordBatch:
        """Adds counts."""
        counts = self._counts(states)
        totals = np.zeros((groups, counts.shape[1]), np.int64)
        np.add.at(totals, indices(group), counts)
        return self._table(totals)

    def finish(self, states: pa.RecordBatch) -> pa.RecordBatch:
        """Gives the areas; null where no record, or every record, came true."""
        counts = self._counts(states)
        # From the highest scores down, as the curves are drawn.
        others = counts[:, : self._bins][:, ::-1]
        positives = counts[:, self._bins : -1][:, ::-1]
        total, other = positives.sum(axis=1), others.sum(axis=1)
        is_one_sided = (total == 0) | (other == 0)
        fields = {
            "records": pa.array(total + other),
            "positives": pa.array(total),
            "nan": pa.array(counts[:, -1]),
        }
        for name, values in _areas(positives, others).items():
            fields[name] = pa.array(values, mask=is_one_sided)
        for name, values in _precisions(positives, others).items():
            fields[name] = pa.array(values, mask=total == 0)
        struct = pa.StructArray.from_arrays(list(fields.values()), names=list(fields))
        return pa.RecordBatch.from_pydict({self.name: struct})

    @property
    def _bins(self) -> int:
        return len(self.edges) + 1

    def _table(self, counts: Integers) -> pa.RecordBatch:
        flat = pa.array(counts.astype(np.int64).ravel())
        lists = pa.FixedSizeListArray.from_arrays(flat, counts.shape[1])
        return table_of({"counts": lists}, self.state)

    def _counts(self, states: pa.RecordBatch) -> Integers:
        flat: NDArray[Any] = states.column("counts").flatten().to_numpy(zero_copy_only=False)
        return flat.reshape(states.num_rows, 2 * self._bins + 1)


def _areas(positives: Integers, others: Integers) -> dict[str, Floats]:
    """Gives the share of pairs in the right order; a pair in one bin counts half."""
    above = np.cumsum(positives, axis=1) - positives
    pairs = np.maximum(positives.sum(axis=1), 1) * np.maximum(others.sum(axis=1), 1).astype(float)
    tied = positives * others.astype(float)
    right = others * above.astype(float) + tied / 2
    return {
        "roc_auc": right.sum(axis=1) / pairs,
        "roc_auc_error": tied.sum(axis=1) / 2 / pairs,
    }


def _precisions(positives: Integers, others: Integers) -> dict[str, Floats]:
    """Gives the average precision with every bin as one rank, and the least and most it may be.

    Of a bin with p positives, the k-th one has at least the precision (T + k) / (T + k + F), F with
    all others of the bin, and at most that of all p positives before any other. The least is
    concave in k, so the mean of its ends times p bounds the sum from below.
    """
    hits, misses = np.cumsum(positives, axis=1), np.cumsum(others, axis=1)
    first = np.minimum(hits - positives + 1, hits)
    whole = np.maximum(hits[:, -1], 1)
    last = _share(hits, hits + misses)
    least = (_share(first, first + misses) + last) / 2
    most = _share(hits, hits + misses - others)
    named = {
        "average_precision": last,
        "average_precision_low": least,
        "average_precision_high": most,
    }
    return {name: (positives * part).sum(axis=1) / whole for name, part in named.items()}


def _share(part: Integers, whole: Integers) -> Floats:
    share: Floats = part / np.maximum(whole, 1)
    return share
