"""How records are cut into folds: by class, by group or by time, and the same for each candidate.

- Stratified: each fold has the classes in the same shares.
- Grouped: the records of a group (a customer, a patient) are in one fold.
- By time: what is tested is later than all that was learned from; equal moments stay together.
- What is held out of a search is cut by the same rules, before the folds.
- Equal records in two folds would be learned and then tested: they are counted, and said.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import msgspec
import numpy as np
import pandas as pd
from pandas.api.types import is_datetime64_any_dtype, is_numeric_dtype
from sklearn.model_selection import (
    GroupKFold,
    GroupShuffleSplit,
    KFold,
    ShuffleSplit,
    StratifiedGroupKFold,
    StratifiedKFold,
    StratifiedShuffleSplit,
)

from shoal.errors import DtypeError, InvalidRequestError, NullError

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa
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


def cut_by(folds: Folds) -> list[str]:
    """The columns that records are cut by."""
    return [name for name in (folds.group, folds.time) if name is not None]


def cut_columns(records: pa.Table, folds: Folds) -> pd.DataFrame:
    """The columns that records are cut by, as a frame.

    Raises:
        InvalidRequestError: there is no such column.
    """
    for name in cut_by(folds):
        if name not in records.column_names:
            raise InvalidRequestError(f"there is no column {name!r} to cut folds by")
    found: pd.DataFrame = records.select(cut_by(folds)).to_pandas(date_as_object=False)
    return found


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
        InvalidRequestError: there are too few records, groups, moments, or records of a class.
        DtypeError: the column of the time is none.
        NullError: a record has no time.
    """
    _check(folds, frame, target, task)
    if folds.time is not None:
        return list(_by_time(folds, frame[folds.time]))
    groups = None if folds.group is None else pd.factorize(frame[folds.group])[0]
    splitter = _splitter(folds, "stratified" if task == "classification" else "plain")
    rows = np.arange(len(frame))
    return [Fold(learn, test) for learn, test in splitter.split(rows, target, groups)]


def held_out(
    folds: Folds, frame: pd.DataFrame, target: NDArray[Any], task: Task, share: float
) -> Fold:
    """One cut: what is learned from, and the share of records that is not.

    Args:
        folds: By which rule; how many folds there are plays no part.
        frame: The columns of the group and the time.
        target: (rows,) what is to be predicted.
        task: Whether that is a class.
        share: Which share of the records, or of the groups, is held out.

    Raises:
        InvalidRequestError: there are too few records, groups, moments, or records of a class.
        DtypeError: the column of the time is none.
        NullError: a record has no time.
    """
    _check_columns(folds, frame)
    if folds.time is not None:
        order, moments = _ordered(folds.time, frame[folds.time])
        place = _boundary(moments, round(len(moments) * (1 - share)))
        if not 0 < place < len(moments):
            raise InvalidRequestError(f"the moments of {folds.time!r} cannot be cut in two")
        return Fold(order[:place], order[place:])
    rows = np.arange(len(frame))
    if folds.group is not None:
        groups = pd.factorize(frame[folds.group])[0]
        if len(np.unique(groups)) < LEAST_FOLDS:
            raise InvalidRequestError(f"{folds.group!r} has one group only, which cannot be cut")
        splitter = GroupShuffleSplit(1, test_size=share, random_state=0)
        learn, test = next(splitter.split(rows, target, groups))
        return Fold(np.sort(learn), np.sort(test))
    if task == "classification":
        _check_classes(target, LEAST_FOLDS, "parts")
        _check_many(target, len(frame), share)
    kind = StratifiedShuffleSplit if task == "classification" else ShuffleSplit
    learn, test = next(kind(1, test_size=share, random_state=0).split(rows, target))
    return Fold(np.sort(learn), np.sort(test))


def _by_time(folds: Folds, column: pd.Series[Any]) -> Iterator[Fold]:
    """Each part is tested by what all the parts before it have taught."""
    name = str(folds.time)
    order, moments = _ordered(name, column)
    size = len(moments) // (folds.count + 1)
    places = [len(moments) - size * number for number in range(folds.count, 0, -1)]
    bounds = [_boundary(moments, place) for place in places] + [len(moments)]
    if bounds[0] == 0 or any(first == last for first, last in pairwise(bounds)):
        different = len(np.unique(moments))
        message = f"{different} different moments of {name!r} are too few for {folds.count} folds"
        raise InvalidRequestError(message, hint="Use fewer folds, or a finer time.")
    for first, last in pairwise(bounds):
        yield Fold(order[:first], order[first:last])


def _ordered(name: str, column: pd.Series[Any]) -> tuple[NDArray[np.int64], NDArray[Any]]:
    """The order of records in time, and their moments in it."""
    if column.isna().any():
        row = int(np.flatnonzero(column.isna())[0])
        message = f"the time {name!r} is missing in row {row}"
        raise NullError(message, hint="Leave out records whose time is not known.")
    if not (is_numeric_dtype(column) or is_datetime64_any_dtype(column)):
        message = f"the time {name!r} is {column.dtype}, expected moments or numbers"
        raise DtypeError(message, hint="Collect it as a date, or give numbers that rise with time.")
    moments = column.to_numpy() if is_numeric_dtype(column) else column.astype("int64").to_numpy()
    order = np.argsort(moments, kind="stable")
    return order, moments[order]


def _boundary(moments: NDArray[Any], place: int) -> int:
    """The place, or before it, where a moment begins that none before it equals."""
    if place >= len(moments):
        return len(moments)
    return int(np.searchsorted(moments, moments[place], side="left"))


def repeated(frame: pd.DataFrame, folds: list[Fold]) -> int:
    """How many tested records are equal to one that was learned from, in the first fold."""
    marks = pd.util.hash_pandas_object(frame, index=False).to_numpy()
    return int(np.isin(marks[folds[0].test], marks[folds[0].learn]).sum())


def _splitter(folds: Folds, kind: Literal["stratified", "plain"]) -> Any:
    if folds.group is not None:
        return (StratifiedGroupKFold if kind == "stratified" else GroupKFold)(
            folds.count, shuffle=True, random_state=0
        )
    plain = StratifiedKFold if kind == "stratified" else KFold
    return plain(folds.count, shuffle=True, random_state=0)


def _check(folds: Folds, frame: pd.DataFrame, target: NDArray[Any], task: Task) -> None:
    if folds.count < LEAST_FOLDS:
        raise InvalidRequestError(f"{folds.count} folds were asked for, expected 2 or more")
    _check_columns(folds, frame)
    if len(frame) < 2 * folds.count:
        raise InvalidRequestError(f"{len(frame)} records are too few for {folds.count} folds")
    if folds.group is not None and (found := frame[folds.group].nunique()) < folds.count:
        raise InvalidRequestError(f"{found} groups are too few for {folds.count} folds")
    if task == "classification":
        _check_classes(target, 1 if folds.time is not None else folds.count, "folds")


def _check_columns(folds: Folds, frame: pd.DataFrame) -> None:
    if folds.group is not None and folds.time is not None:
        raise InvalidRequestError("folds are cut by group or by time, not by both")
    for name in (folds.group, folds.time):
        if name is not None and name not in frame.columns:
            raise InvalidRequestError(f"there is no column {name!r} to cut folds by")


def _check_classes(target: NDArray[Any], least: int, what: str) -> None:
    names, counts = np.unique(target, return_counts=True)
    if len(names) < 2:  # noqa: PLR2004 - one class is none
        raise InvalidRequestError(f"the target has one class only, {str(names[0])!r}")
    rarest = int(counts.argmin())
    if counts[rarest] < least:
        message = f"class {str(names[rarest])!r} has {counts[rarest]} records for {least} {what}"
        hint = "Gather more of it, join it with another class, or predict a number."
        raise InvalidRequestError(message, hint=hint)


def _check_many(target: NDArray[Any], records: int, share: float) -> None:
    classes, tested = len(np.unique(target)), round(records * share)
    if classes > min(tested, records - tested):
        message = f"{classes} classes are too many for {tested} held-out records of {records}"
        hint = "Collect more records, join classes, or predict a number: task = 'regression'."
        raise InvalidRequestError(message, hint=hint)
