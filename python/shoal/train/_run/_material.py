"""What a run learns from, and what it is measured on: one cut, made before anything is looked at.

- The cut follows the folds of the search: by class, by group or by time; what is held out is never
  learned from, and no choice is made on it.
- Records that lack what `missing = "drop"` asks for are in neither part: a package refuses them.
- The same configuration and dataset give the same cut.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import pyarrow as pa

from shoal.errors import InvalidRequestError
from shoal.train._prepare._frames import frame_of, kept
from shoal.train._prepare._infer import preparation_of
from shoal.train._search._folds import cut_by, cut_columns, held_out
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
    search, target = configuration.search, configuration.target
    answers = target_of(records, target, task=search.task)
    task = task_of(answers)
    by = cut_columns(records, search.folds)
    cut = held_out(search.folds, by, answers, task, configuration.held_out)
    if task == "classification":
        _check_classes(answers[cut.learn], answers[cut.test])
    learned = records.take(pa.array(cut.learn))
    preparation = prepared(learned, configuration)
    tested = records.take(pa.array(cut.test))
    tested = tested.filter(pa.array(kept(tested, preparation)))
    if tested.num_rows < LEAST_HELD_OUT:
        message = (
            f"{tested.num_rows} of {records.num_rows} records would be held out, "
            f"expected at least {LEAST_HELD_OUT}: a package is proved on them"
        )
        raise InvalidRequestError(message, hint="Collect more records, or raise `held_out`.")
    learned = learned.filter(pa.array(kept(learned, preparation)))
    return Material(learned, tested, preparation, task)


def prepared(records: pa.Table, configuration: Configuration) -> Preparation:
    """What columns look like, where the configuration does not say what they are.

    Raises:
        InputError: a column is named that is not there, or of a type that nothing is made of.
    """
    without = [*configuration.without, *cut_by(configuration.search.folds)]
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


def _check_classes(learned: NDArray[Any], tested: NDArray[Any]) -> None:
    known = set(learned.tolist())
    if len(known) == 1:
        raise InvalidRequestError(f"the target has one class only, {learned[0]!r}, to learn from")
    if unknown := sorted(set(tested.tolist()) - known):
        message = f"class {unknown[0]!r} is among the held-out records only"
        raise InvalidRequestError(message, hint="Collect more of it, or leave it out.")
