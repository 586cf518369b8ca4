"""What is to be predicted, as classes or as ranks of numbers; or why nothing can be.

- Text, true-and-false values and whole numbers of few values are classes, other numbers are not.
- Records whose target is missing are left out; so are infinite targets.
- Numbers are predicted by their ranks: no value, however far out, decides a score alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from scipy.stats import rankdata

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from shoal.train._look._coded import Coded
    from shoal.train._look._facts import LookTask

    Integers = NDArray[np.int64]
    Floats = NDArray[np.float64]

MOST_WHOLE_CLASSES: Final = 20
MOST_CLASSES: Final = 100
SHOWN_CHARACTERS: Final = 40


@dataclass(frozen=True)
class Target:
    """What is to be predicted.

    Attributes:
        name: The column.
        task: Whether it is a class or a number.
        rows: (known,) the records of the sample whose target is known.
        classes: The names of classes; none of a number.
        codes: (known,) the class of each record; of a number, the code of its value.
        ranks: (known,) of a number: its rank among all, from 0 to 1; of a class, its code.
        column: The column itself.
    """

    name: str
    task: LookTask
    rows: Integers
    classes: tuple[str, ...]
    codes: Integers
    ranks: Floats
    column: Coded


def target_of(column: Coded) -> Target | str:
    """The target in a column; why there is none, in words, where nothing can be predicted."""
    reason = _unusable(column)
    if reason is not None:
        return f"The target {column.name!r} {reason}: no column is compared with it."
    is_number = column.kind == "float" or (
        column.kind == "integer" and len(column.values) > MOST_WHOLE_CLASSES
    )
    if is_number:
        rows = np.flatnonzero(np.isfinite(column.numbers))
        ranks = rankdata(column.codes[rows]) / len(rows)
        return Target(column.name, "regression", rows, (), column.codes[rows], ranks, column)
    rows = np.flatnonzero(column.known)
    codes = column.codes[rows]
    classes = tuple(column.text(code) for code in range(len(column.values)))
    return Target(column.name, "classification", rows, classes, codes, codes.astype(float), column)


def _unusable(column: Coded) -> str | None:
    if column.kind in {"date", "datetime", "other"}:
        return "is neither a number nor a class"
    if not len(column.values):
        return "has no value in any record"
    if len(column.values) == 1:
        return f"has one value only, {column.text(0)[:SHOWN_CHARACTERS]!r}"
    if len(np.unique(column.codes[np.isfinite(column.numbers)])) <= 1:
        return "has one finite value only"
    if not column.is_ordered and len(column.values) > MOST_CLASSES:
        return f"is text of {len(column.values)} different values, too many for classes"
    return None
