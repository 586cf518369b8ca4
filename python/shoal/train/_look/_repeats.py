"""Records that equal others, and records that contradict others; of any number, in bounded memory.

- Records are compared by marks (`_marks.py`): columns that number them are not compared, and the
  target apart from the others. Two records contradict each other if they are equal but for it.
- Up to `MOST_MARKS` different records all are compared. Of more, those of the smallest marks:
  equal records have equal marks, so either all copies of one are among them or none, and the share
  of marks says by what to scale. It is the same for any order of the records.
- How many pairs would be equal by chance follows from how often each column repeats itself, if
  columns said nothing of each other: a table of few categories repeats without any mistake.

Source: P. Flajolet, "On adaptive sampling"; E. Simpson, "Measurement of diversity".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
import pyarrow as pa

from shoal.train._look._facts import Repeats
from shoal.train._look._read._marks import marks_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from shoal.train._look._coded import Coded

    Marks = NDArray[np.uint64]
    Integers = NDArray[np.int64]

MOST_MARKS: Final = 1_000_000
WAITING_ROWS: Final = 1 << 17
LEAST_HIGHEST: Final = 1 << 40
MOST_EXAMPLES: Final = 10
NO_ROW: Final = np.iinfo(np.int64).max
TWO: Final = 2


class Met(NamedTuple):
    """Different records that were met, in the order of their marks once they are gathered.

    Attributes:
        marks: The mark of each.
        answers: The mark of its target.
        counts: How often it was met.
        first: The first row that holds it.
        second: The second one, `NO_ROW` where there is none.
    """

    marks: Marks
    answers: Marks
    counts: Integers
    first: Integers
    second: Integers

    def where(self, stays: NDArray[np.bool_] | Integers) -> Met:
        """Some of them, or all in another order."""
        return Met(
            self.marks[stays],
            self.answers[stays],
            self.counts[stays],
            self.first[stays],
            self.second[stays],
        )


class Repeating:
    """Takes records as they pass, and finds those that are equal."""

    def __init__(
        self, compared: Sequence[str], target: str | None, limit: int = MOST_MARKS
    ) -> None:
        """Takes which columns are compared, the target, and how many records are remembered."""
        self._compared = list(compared)
        self._target = target
        self._limit = limit
        self._highest = (1 << 64) - 1
        self._met = [_met(np.zeros(0, np.uint64), np.zeros(0, np.uint64), np.zeros(0, np.int64))]
        self._unknown = marks_of([pa.nulls(1)], 1)[0]

    def look(self, batch: pa.RecordBatch, rows: Integers) -> None:
        """Takes more records, and which rows they are."""
        marks = marks_of([batch.column(name) for name in self._compared], batch.num_rows)
        answers = np.full(batch.num_rows, self._unknown)
        if self._target is not None:
            answers = marks_of([batch.column(self._target)], batch.num_rows)
        new = _met(marks, answers, rows)
        self._met.append(new.where(marks <= np.uint64(self._highest)))
        waiting = sum(len(each.marks) for each in self._met[1:])
        if waiting > max(WAITING_ROWS, len(self._met[0].marks)):
            self._gather()

    def repeats(self, ignored: Sequence[str], by_chance: float) -> Repeats:
        """What was found.

        Args:
            ignored: Columns that were not compared.
            by_chance: How probable it is that two records are equal but for the target by chance.
        """
        met = self._gather()
        if not len(met.marks):
            return Repeats(share=0.0, ignored=tuple(ignored))
        share = (self._highest + 1) / (1 << 64)
        start = np.flatnonzero(_begins(met.marks))
        groups = np.add.reduceat(met.counts, start).astype(float)
        records = float(groups.sum()) / share
        torn = self._torn(met, start)
        again = met.where(met.counts >= TWO)
        return Repeats(
            share=share,
            ignored=tuple(ignored),
            repeated=round(float((met.counts - 1).sum()) / share),
            contradictory=round(float(torn.counts.sum()) / share),
            pairs=float((groups * (groups - 1) / 2).sum()) / share,
            pairs_by_chance=records * (records - 1) / 2 * by_chance,
            examples=_examples(again.first, again.second),
            contradictions=_contradictions(torn),
        )

    def _torn(self, met: Met, start: Integers) -> Met:
        """Records that are equal to others whose target is another one."""
        is_known = met.answers != self._unknown
        answers = np.add.reduceat(is_known.astype(np.int64), start)
        sizes = np.diff(np.r_[start, len(met.marks)])
        return met.where(is_known & np.repeat(answers >= TWO, sizes))

    def _gather(self) -> Met:
        """Makes one of equal records; of too many, remembers those of the smallest marks."""
        met = _gathered(Met(*(np.concatenate(each) for each in zip(*self._met, strict=True))))
        while len(met.marks) > self._limit:
            self._highest //= 2
            # Below, records are all alike, and only their targets differ: nothing is to be told.
            is_hopeless = self._highest < LEAST_HIGHEST
            met = met.where(met.marks <= np.uint64(0 if is_hopeless else self._highest))
        self._met = [met]
        return met


def _met(marks: Marks, answers: Marks, rows: Integers) -> Met:
    size = len(marks)
    return Met(marks, answers, np.ones(size, np.int64), rows, np.full(size, NO_ROW))


def _gathered(met: Met) -> Met:
    """Makes one of equal records, in the order of marks."""
    if not len(met.marks):
        return met
    order = np.lexsort((met.first, met.answers, met.marks))
    met = met.where(order)
    is_new = _begins(met.marks) | _begins(met.answers)
    start = np.flatnonzero(is_new)
    # The second row of a record is the second of one part, or the first of the next one.
    later = np.where(np.r_[~is_new[1:], False], np.r_[met.first[1:], NO_ROW], NO_ROW)
    return Met(
        met.marks[start],
        met.answers[start],
        np.add.reduceat(met.counts, start),
        met.first[start],
        np.minimum.reduceat(np.minimum(met.second, later), start),
    )


def _begins(marks: Marks) -> NDArray[np.bool_]:
    """Where another mark begins."""
    begins: NDArray[np.bool_] = np.r_[True, marks[1:] != marks[:-1]]
    return begins


def _contradictions(torn: Met) -> tuple[tuple[int, int], ...]:
    is_pair = torn.marks[1:] == torn.marks[:-1]
    one, other = torn.first[:-1][is_pair], torn.first[1:][is_pair]
    return _examples(np.minimum(one, other), np.maximum(one, other))


def chance_of(columns: Sequence[Coded]) -> float:
    """How probable it is that two records are equal, if columns said nothing of each other."""
    chance = 1.0
    for column in columns:
        counts = np.r_[column.counts(), int((~column.known).sum())].astype(float)
        size = float(counts.sum())
        if size >= TWO:
            chance *= float((counts * (counts - 1)).sum()) / (size * (size - 1))
    return chance


def _examples(first: Integers, second: Integers) -> tuple[tuple[int, int], ...]:
    order = np.lexsort((second, first))[:MOST_EXAMPLES]
    return tuple((int(first[place]), int(second[place])) for place in order)
