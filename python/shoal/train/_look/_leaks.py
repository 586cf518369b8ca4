"""Three ways in which a column gives the target away: it equals it, it renames it, it is missing.

- A column equals the target if it does in each record where both are known. It renames it if each
  value goes with one value of the target and the other way round; of numbers, if one always rises
  or always falls with the other. A column that merely predicts well does neither.
- Whether a value is missing gives the target away if it tells it nearly perfectly, or if one class
  has nearly all records where it is missing (or all where it is there), more often than chance
  would have it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, NamedTuple

import numpy as np
from scipy.stats import hypergeom

from shoal.train._look._power import score

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from shoal.train._look._coded import Coded
    from shoal.train._look._targets import Target

    Integers = NDArray[np.int64]
    Booleans = NDArray[np.bool_]

LEAST_RECORDS: Final = 20
LEAST_VALUES: Final = 10
CHANCE: Final = 1e-6
TWO: Final = 2


class Told(NamedTuple):
    """What a missing value tells of the target.

    Attributes:
        strength: How well, from 0 to 1.
        certainty: How sure one class is on one side, from 0 to 1; 0 where chance may do that.
        side: Of the certainty: where values are missing, or where they are not.
        name: Of the certainty: the class.
        records: Of the certainty: how many are on that side.
    """

    strength: float
    certainty: float = 0.0
    side: Literal["missing", "known"] = "missing"
    name: str = ""
    records: int = 0


def copied(column: Coded, target: Target) -> Literal["equals_target", "renames_target"] | None:
    """Whether a column is the target, as it is or renamed."""
    is_known = column.known[target.rows]
    codes, answers = column.codes[target.rows[is_known]], target.codes[is_known]
    if len(codes) < LEAST_RECORDS or not _go_one_to_one(codes, answers, target):
        return None
    return "equals_target" if _are_equal(column, target, is_known) else "renames_target"


def missing_tells(column: Coded, target: Target) -> Told | None:
    """What a missing value tells of the target; None where all values are there, or none is."""
    is_missing = ~column.known[target.rows]
    count = int(is_missing.sum())
    if not 0 < count < len(is_missing):
        return None
    if target.task == "regression":
        if min(count, len(is_missing) - count) < LEAST_RECORDS:
            return Told(0.0)
        area = score(is_missing[:, None].astype(float), target.ranks[:, None], is_number=False)
        return Told(abs(area))
    counts = np.zeros((TWO, len(target.classes)))
    np.add.at(counts, (is_missing.astype(int), target.codes), 1)
    sides = [_certain(counts, side, target) for side in (0, 1)]
    surest = max(sides, key=lambda told: told.certainty)
    shares = counts[1] / np.maximum(counts.sum(axis=0), 1)
    others = (count - counts[1]) / np.maximum(len(is_missing) - counts.sum(axis=0), 1)
    is_met = counts.sum(axis=0) >= LEAST_RECORDS
    strength = float(np.abs(shares - others)[is_met].max(initial=0.0))
    return surest._replace(strength=strength)


def _go_one_to_one(codes: Integers, answers: Integers, target: Target) -> bool:
    pairs = np.unique(np.stack([codes, answers], axis=1), axis=0)
    values = len(np.unique(codes))
    if not len(pairs) == values == len(np.unique(answers)) or values < TWO:
        return False
    if target.task == "regression" and values >= LEAST_VALUES:
        steps = np.diff(pairs[:, 1])
        return bool((steps > 0).all() or (steps < 0).all())
    return TWO * values <= len(codes)


def _are_equal(column: Coded, target: Target, is_known: Booleans) -> bool:
    rows = target.rows[is_known]
    other = target.column
    if column.is_ordered and other.is_ordered:
        same = column.kind == other.kind or {column.kind, other.kind} == {"integer", "float"}
        return same and bool((column.numbers[rows] == other.numbers[rows]).all())
    if column.is_ordered or other.is_ordered:
        return False
    return all(
        column.text(column.codes[row]) == other.text(other.codes[row])
        for row in rows[np.unique(column.codes[rows], return_index=True)[1]]
    )


def _certain(counts: NDArray[np.float64], side: int, target: Target) -> Told:
    """How sure the surest class is on one side, if there are more of it than by chance."""
    met, all_of = counts[side], counts.sum(axis=0)
    records, total = int(met.sum()), int(counts.sum())
    place = int(met.argmax())
    base = all_of[place] / total
    if records < LEAST_RECORDS or base >= 1:
        return Told(0.0)
    # Of so many columns and classes one may look so by chance: hence so small a chance.
    chance = hypergeom.sf(met[place] - 1, total, int(all_of[place]), records)
    certainty = (met[place] / records - base) / (1 - base) if chance <= CHANCE else 0.0
    name: Literal["missing", "known"] = "missing" if side else "known"
    return Told(0.0, max(0.0, float(certainty)), name, target.classes[place], records)
