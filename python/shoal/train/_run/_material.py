"""What a run learns from, and what it is measured on: one cut, made before anything is looked at.

- The cut follows the folds of the search: by class, by group or by time; what is held out is never
  learned from, and no choice is made on it.
- Records that lack what `missing = "drop"` asks for are in neither part: a package refuses them.
- The same configuration and dataset give the same cut.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import numpy as np
import pyarrow as pa

from shoal.errors import InvalidRequestError
from shoal.train._prepare._frames import frame_of, kept
from shoal.train._prepare._infer import preparation_of
from shoal.train._search._folds import folds_of
from shoal.train._search._search import target_of, task_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from shoal.train._estimators._table import Task
    from shoal.train._prepare._description import Preparation
    from shoal.train._run._configuration import Configuration

# A package is proved on held-out records, and needs so many.
LEAST_HELD_OUT = 200


class Material(NamedTuple):
    """Records of a run.

    Attributes:
        learned: Those that are learned from, with the target.
        held_out: Those that the model is measured on.
        preparation: What is done with their columns.
        task: Whether a class or a number is predicted.
    """

    learned: pa.Table
    held_out: pa.Table
    preparation: Preparation
    task: Task


def material_of(records: pa.Table, configuration: Configuration) -> Material:
    """Cuts records.

    Raises:
        InputError: the target, a column or the number of records does not allow it.
    """
    search = configuration.search
    answers = target_of(records, configuration.target, task=search.task)
    task = task_of(answers)
    learn, test = _cut(records, answers, configuration)
    if len(test) < LEAST_HELD_OUT:
        message = (
            f"{len(test)} of {records.num_rows} records would be held out, "
            f"expected at least {LEAST_HELD_OUT}: a package is proved on them"
        )
        raise InvalidRequestError(message, hint="Collect more records, or raise `held_out`.")
    learned, held_out = records.take(pa.array(learn)), records.take(pa.array(test))
    preparation = prepared(learned, configuration)
    return Material(
        learned.filter(pa.array(kept(learned, preparation))),
        held_out.filter(pa.array(kept(held_out, preparation))),
        preparation,
        task,
    )


def prepared(records: pa.Table, configuration: Configuration) -> Preparation:
    """What columns look like, where the configuration does not say what they are.

    Raises:
        InputError: a column is named that is not there, or of a type that nothing is made of.
    """
    folds = configuration.search.folds
    without = [*configuration.without, *(name for name in (folds.group, folds.time) if name)]
    for name in (*without, *configuration.columns):
        if name not in records.column_names:
            there = ", ".join(records.column_names)
            raise InvalidRequestError(f"there is no column {name!r}; there are {there}")
    told = configuration.columns
    found = preparation_of(records, configuration.target, without=[*without, *told])
    columns = {
        name: told.get(name) or found.columns[name]
        for name in records.column_names
        if name in told or name in found.columns
    }
    if not columns:
        raise InvalidRequestError("no column says anything: each is missing, constant or a key")
    return msgspec.structs.replace(
        found, columns=columns, polynomial=configuration.polynomial, select=configuration.select
    )


def by_name(material: Material, target: str) -> tuple[Any, NDArray[Any]]:
    """Columns and target of what is learned from, as estimators take them."""
    frame = frame_of(material.learned, material.preparation)
    return frame, target_of(material.learned, target, task=material.task)


def _cut(
    records: pa.Table, answers: NDArray[Any], configuration: Configuration
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    folds = configuration.search.folds
    by = [name for name in (folds.group, folds.time) if name is not None]
    for name in by:
        if name not in records.column_names:
            raise InvalidRequestError(f"there is no column {name!r} to cut folds by")
    # k folds by class or group; by time the first part is never tested.
    parts = round(1 / configuration.held_out)
    count = parts if folds.time is None else max(parts - 1, 2)
    frame = records.select(by or [configuration.target]).to_pandas()
    cut = msgspec.structs.replace(folds, count=count)
    found = folds_of(cut, frame, answers, task_of(answers))[-1]
    return np.sort(found.learn), np.sort(found.test)
