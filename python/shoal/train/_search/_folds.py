"""How records are cut into folds: by class, by group or by time, and the same for each candidate.

- Stratified: each fold has the classes in the same shares.
- Grouped: the records of a group (a customer, a patient) are in one fold.
- By time: what is tested is later than all that was learned from.
- Equal records in two folds would be learned and then tested: they are counted, and said.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import msgspec
import numpy as np
import pandas as pd
from sklearn.model_selection import (
    GroupKFold,
    KFold,
    StratifiedGroupKFold,
    StratifiedKFold,
    TimeSeriesSplit,
)

from shoal.errors import InvalidRequestError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from shoal.train._estimators._table import Task

LEAST_FOLDS = 2


class Folds(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How records are cut.

    Attributes:
        count: How many folds.
        group: The column whose equal values stay together.
        time: The column by whose order records are cut; none of `group` then.
    """

    count: int = 5
    group: str | None = None
    time: str | None = None


class Fold(NamedTuple):
    """Rows to learn from, and rows to test with."""

    learn: NDArray[np.int64]
    test: NDArray[np.int64]


def folds_of(folds: Folds, frame: pd.DataFrame, target: NDArray[Any], task: Task) -> list[Fold]:
    """The folds of records.

    Args:
        folds: How they are cut.
        frame: All columns, those of the group and the time among them.
        target: (rows,) what is to be predicted.
        task: Whether that is a class.

    Raises:
        InvalidRequestError: there are too few records, groups, or records of a class.
    """
    _check(folds, frame, target, task)
    groups = None if folds.group is None else pd.factorize(frame[folds.group])[0]
    order = np.arange(len(frame))
    if folds.time is not None:
        order = np.argsort(frame[folds.time].to_numpy(), kind="stable")
    splitter = _splitter(folds, "stratified" if task == "classification" else "plain")
    pairs = splitter.split(order, target, groups)
    return [Fold(order[learn], order[test]) for learn, test in pairs]


def repeated(frame: pd.DataFrame, folds: list[Fold]) -> int:
    """How many tested records are equal to one that was learned from, in the first fold."""
    marks = pd.util.hash_pandas_object(frame, index=False).to_numpy()
    return int(np.isin(marks[folds[0].test], marks[folds[0].learn]).sum())


def _splitter(folds: Folds, kind: Literal["stratified", "plain"]) -> Any:
    if folds.time is not None:
        return TimeSeriesSplit(folds.count)
    if folds.group is not None:
        return (StratifiedGroupKFold if kind == "stratified" else GroupKFold)(
            folds.count, shuffle=True, random_state=0
        )
    plain = StratifiedKFold if kind == "stratified" else KFold
    return plain(folds.count, shuffle=True, random_state=0)


def _check(folds: Folds, frame: pd.DataFrame, target: NDArray[Any], task: Task) -> None:
    if folds.count < LEAST_FOLDS:
        raise InvalidRequestError(f"{folds.count} folds were asked for, expected 2 or more")
    if folds.group is not None and folds.time is not None:
        raise InvalidRequestError("folds are cut by group or by time, not by both")
    for name in (folds.group, folds.time):
        if name is not None and name not in frame.columns:
            raise InvalidRequestError(f"there is no column {name!r} to cut folds by")
    if len(frame) < 2 * folds.count:
        raise InvalidRequestError(f"{len(frame)} records are too few for {folds.count} folds")
    if folds.group is not None and (found := frame[folds.group].nunique()) < folds.count:
        raise InvalidRequestError(f"{found} groups are too few for {folds.count} folds")
    if task == "classification":
        _check_classes(folds, target)


def _check_classes(folds: Folds, target: NDArray[Any]) -> None:
    names, counts = np.unique(target, return_counts=True)
    if len(names) < 2:  # noqa: PLR2004 - one class is none
        raise InvalidRequestError(f"the target has one class only, {str(names[0])!r}")
    rarest = int(counts.argmin())
    if counts[rarest] < folds.count and folds.time is None:
        message = (
            f"class {str(names[rarest])!r} has {counts[rarest]} records for {folds.count} folds"
        )
        hint = "Gather more of it, join it with another class, or use fewer folds."
        raise InvalidRequestError(message, hint=hint)
