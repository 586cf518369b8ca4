"""Columns that may tell a model what it could not know, or cannot use.

- Of each column the most telling suspicion is named: it equals the target, renames it, gives it
  away by being missing, or predicts it nearly perfectly alone.
- A column that numbers the records is one beside that, copies of records aside. Whole numbers do,
  if they repeat so rarely that numbers drawn from their range would hardly ever; text does, if
  nearly every one is different and has no space.
- Nothing here says what happened first: a date after the event looks like any other.

Source: S. Kaufman, S. Rosset, C. Perlich, "Leakage in data mining"; W. Feller, "An Introduction to
Probability Theory", the birthday problem and its Poisson limit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow.compute as pc
from scipy.stats import poisson

from shoal.errors import MissingColumnError
from shoal.train._look._coded import coded
from shoal.train._look._facts import Suspect
from shoal.train._look._leaks import copied, missing_tells
from shoal.train._look._power import power, trial_of
from shoal.train._look._read._records import records_of
from shoal.train._look._read._sample import Drawing
from shoal.train._look._settings import LookSettings
from shoal.train._look._targets import Target, target_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pyarrow as pa
    from numpy.typing import NDArray

    from shoal.train._look._coded import Coded

    Booleans = NDArray[np.bool_]

LEAST_RECORDS: Final = 20
DIFFERENT_SHARE: Final = 0.99
SPACE_SHARE: Final = 0.05
CHANCE: Final = 1e-6
MISSING_FROM: Final = 0.9
EXACT: Final = 2.0**53
RANKS: Final = {"equals_target": 0, "renames_target": 0, "identifier": 2}
LEAVE_OUT: Final = "Leave it out, unless it is known before the target is."


def suspects(
    records: pa.Table, target: str, *, settings: LookSettings | None = None
) -> tuple[Suspect, ...]:
    """Finds columns that may tell a model what it could not know, or cannot use.

    Args:
        records: What is known, and the target.
        target: The column to predict.
        settings: How; of more records than `sample_rows` a seeded sample is looked at.

    Returns:
        The suspects by strength: copies of the target first, what numbers the records last. Of a
        target that nothing can be compared with (one class, no value) only the last.

    Raises:
        MissingColumnError: there is no such target.
        InputError: the records have no row or column, or a column is there twice.
    """
    chosen = settings or LookSettings()
    with records_of(records) as found:
        if target not in found.schema.names:
            raise MissingColumnError(f"there is no column {target!r} to predict")
        drawing = Drawing(found.rows, found.schema, size=chosen.sample_rows, seed=chosen.seed)
        drawing.look(found.batches())
        drawn = drawing.drawn()
        columns = [coded(name, kind, drawn.column(name)) for name, kind in found.kinds.items()]
    goal = target_of(next(column for column in columns if column.name == target))
    others = [column for column in columns if column.name != target]
    usable = goal if isinstance(goal, Target) else None
    trial = None if usable is None else trial_of(usable, chosen.seed)
    powers = {each.name: None if trial is None else power(each, trial) for each in others}
    return suspects_of(others, usable, drawn.is_new, powers, chosen.suspicious)


def suspects_of(
    columns: Sequence[Coded],
    target: Target | None,
    is_new: Booleans,
    powers: dict[str, float | None],
    suspicious: float,
) -> tuple[Suspect, ...]:
    """Finds suspects among columns of a sample.

    Args:
        columns: All but the target.
        target: What is to be predicted; None where nothing can be.
        is_new: (records,) whether each is no copy of another one.
        powers: How well each column alone predicts it.
        suspicious: From which power on a column is a suspect.
    """
    found = [
        suspect
        for column in columns
        for suspect in (
            None if target is None else _telling(column, target, powers[column.name], suspicious),
            _numbering(column, is_new),
        )
        if suspect is not None
    ]
    return tuple(sorted(found, key=_rank))


def numbering(column: Coded, is_new: Booleans) -> float | None:
    """How surely a column numbers the records, from 0 to 1; None where it does not.

    Args:
        column: A column of the sample.
        is_new: (records,) whether each is no copy of another one: copies have one number.
    """
    known = int((column.known & is_new).sum())
    different = len(column.values)
    if known < LEAST_RECORDS or different < DIFFERENT_SHARE * known:
        return None
    if column.kind == "text":
        has_space = pc.match_substring(column.values, " ")
        share = (pc.sum(has_space).as_py() or 0) / different
        return different / known if share <= SPACE_SHARE else None
    if column.kind not in {"integer", "float"} or not _are_whole(column):
        return None
    numbers = column.numbers[column.known]
    width = float(numbers.max() - numbers.min()) + 1
    repeats = known - different
    expected = known * (known - 1) / 2 / width
    return different / known if poisson.cdf(repeats, expected) < CHANCE else None


def _rank(suspect: Suspect) -> tuple[int, float, str]:
    return RANKS.get(suspect.kind, 1), -suspect.strength, suspect.column


def _are_whole(column: Coded) -> bool:
    numbers = column.numbers[column.known]
    is_exact = np.isfinite(numbers) & (np.abs(numbers) < EXACT)
    return bool(is_exact.all() and (numbers == np.floor(numbers)).all())


def _numbering(column: Coded, is_new: Booleans) -> Suspect | None:
    strength = numbering(column, is_new)
    if strength is None:
        return None
    known = int((column.known & is_new).sum())
    return Suspect(
        column=column.name,
        kind="identifier",
        strength=strength,
        why=f"{len(column.values)} of its {known} values are different: it names the record.",
        advice="Leave it out: new records have new ones. It may serve to group or to join.",
    )


def _telling(
    column: Coded, target: Target, found: float | None, suspicious: float
) -> Suspect | None:
    kind = copied(column, target)
    if kind == "equals_target":
        why = "It equals the target in each record where both are known."
        return Suspect(column=column.name, kind=kind, strength=1.0, why=why, advice="Leave it out.")
    if kind == "renames_target":
        said = "rises or falls with" if target.task == "regression" else "goes one to one with"
        why = f"It {said} the target in each record where both are known."
        return Suspect(column=column.name, kind=kind, strength=1.0, why=why, advice=LEAVE_OUT)
    by_missing = _telling_by_missing(column, target)
    if by_missing is not None:
        return by_missing
    if found is None or found < suspicious:
        return None
    measure = "R squared of ranks" if target.task == "regression" else "2 AUC - 1"
    why = f"Alone it predicts the target nearly perfectly: {measure} is {found:.3f}."
    return Suspect(
        column=column.name, kind="predicts_target", strength=found, why=why, advice=LEAVE_OUT
    )


def _telling_by_missing(column: Coded, target: Target) -> Suspect | None:
    told = missing_tells(column, target)
    if told is None or max(told.strength, told.certainty) < MISSING_FROM:
        return None
    if told.certainty >= told.strength:
        where = "it is missing" if told.side == "missing" else "it has a value"
        share = "all" if told.certainty >= 1 else "nearly all"
        why = f"Of {told.records} records where {where}, {share} are {told.name[:40]!r}."
    else:
        why = f"Whether it is missing tells the target with a strength of {told.strength:.3f}."
    return Suspect(
        column=column.name,
        kind="missing_tells_target",
        strength=max(told.strength, told.certainty),
        why=why,
        advice="Find out when it is filled in; leave it out if that is after the target is known.",
    )
