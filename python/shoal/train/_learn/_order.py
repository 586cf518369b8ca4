"""In which order records are learned from: decided by the seed and the number of records alone.

- Records are cut into runs that lie beside each other; each epoch draws runs in another order, and
  mixes the records of a step. A run is short where there are few records (one, below 8192), so that
  a step always has records from very many places: also where they are sorted by their target.
- A share of the runs is held out, the same in all epochs. Which they are is known once the records
  are counted, and before anything is learned of what they are like.
- A step takes whole runs, and is cut into shards. The last step of an epoch may be smaller.
- Neither the number of workers nor the cut of the source plays a part.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from shoal.errors import InvalidRequestError
from shoal.train._learn._stored._store import Range

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    Array = NDArray[Any]

# Reading so many records of 60 numbers at once is 30 kB, which a disk does at nearly full speed.
MOST_RUN_ROWS = 128
FEWEST_RUNS = 4096
# What the seed is for, so that no two choices follow from the same numbers.
HELD_OUT, EPOCH = 1, 2


class Step(NamedTuple):
    """What is read at once.

    Attributes:
        ranges: The records.
        seed: What mixes them.
    """

    ranges: list[Range]
    seed: tuple[int, ...]

    def mixed(self, records: Array) -> Array:
        """The records in the order of the step."""
        return records[np.random.default_rng(self.seed).permutation(len(records))]


@dataclass(frozen=True)
class Order:
    """The order of all records in all epochs.

    Attributes:
        rows: How many records there are.
        step_rows: How many a step has at most.
        held_out: The share of records that nothing is learned from.
        seed: What it follows from.

    Raises:
        InvalidRequestError: nothing would be learned from, or nothing held out.
    """

    rows: int
    step_rows: int
    held_out: float
    seed: int

    def __post_init__(self) -> None:
        held_out = len(self._parted[1])
        if held_out == self._runs or (self.held_out and not held_out):
            message = (
                f"held_out is {self.held_out} of {self.rows} records, expected a share that "
                "leaves some on both sides"
            )
            raise InvalidRequestError(message)

    @property
    def run_rows(self) -> int:
        """How many records lie beside each other."""
        return min(max(self.rows // FEWEST_RUNS, 1), MOST_RUN_ROWS, self.step_rows)

    @property
    def steps(self) -> int:
        """How many an epoch has."""
        return math.ceil(len(self._parted[0]) / self._step_runs)

    def epoch(self, number: int, *, first: int = 0) -> Iterator[Step]:
        """The steps of an epoch, from one of them on."""
        seed = (self.seed, EPOCH, number)
        runs = np.random.default_rng(seed).permutation(self._parted[0])
        for step in range(first, self.steps):
            start = step * self._step_runs
            chosen = runs[start : start + self._step_runs]
            yield Step([self._range(run) for run in chosen.tolist()], (*seed, step))

    def held_out_ranges(self) -> Iterator[list[Range]]:
        """What is held out, so much at once as a step has."""
        runs = self._parted[1].tolist()
        for start in range(0, len(runs), self._step_runs):
            yield [self._range(run) for run in runs[start : start + self._step_runs]]

    def is_learned(self, records: Range) -> Array:
        """(records,) whether each is learned from; the others are held out."""
        found: Array = self._is_learned[np.arange(*records) // self.run_rows]
        return found

    @property
    def _runs(self) -> int:
        return math.ceil(self.rows / self.run_rows)

    @property
    def _step_runs(self) -> int:
        return self.step_rows // self.run_rows

    @cached_property
    def _parted(self) -> tuple[Array, Array]:
        """Runs to learn from, and those held out."""
        runs = np.random.default_rng((self.seed, HELD_OUT)).permutation(self._runs)
        count = round(self.held_out * self._runs)
        return np.sort(runs[count:]), np.sort(runs[:count])

    @cached_property
    def _is_learned(self) -> Array:
        """(runs,)."""
        found = np.zeros(self._runs, np.bool_)
        found[self._parted[0]] = True
        return found

    def _range(self, run: int) -> Range:
        return Range(run * self.run_rows, min((run + 1) * self.run_rows, self.rows))


def shards_of(rows: int, shards: int) -> list[slice]:
    """A step's records as so many parts of nearly one size, none of them empty."""
    count = min(rows, shards)
    ends = [rows * number // count for number in range(count + 1)]
    return [slice(start, end) for start, end in pairwise(ends)]
