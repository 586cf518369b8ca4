"""Reads truths and answers into arrays, or says which record cannot be measured, and why.

- A missing truth, label, probability or number is refused by column and row: nothing is dropped.
- What is infinite or NaN, a probability outside 0 to 1, a record whose probabilities do not add up
  to 1, and a label that the task does not have are refused in the same way.
- Probabilities may be off by `TOLERANCE`, as those of 32 bits are.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from shoal.errors import (
    DtypeError,
    InvalidRequestError,
    MissingColumnError,
    NullError,
    ShapeError,
)
from shoal.evaluate._task import Classification

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from shoal.evaluate._task import Regression, Settings, Task

    Floats = NDArray[np.float64]
    Integers = NDArray[np.int64]

TOLERANCE: Final = 1e-3
# The squares of larger errors, summed, would be beyond a double.
LARGEST: Final = 1e140


@dataclass(frozen=True)
class LabelRows:
    """Records of a classifier.

    Attributes:
        task: The labels.
        truth: `(records,)` the place of each true label.
        answer: `(records,)` the place of each answered label.
        scores: `(records, labels)` probabilities or scores; None where there are none.
        are_probabilities: Whether the scores are probabilities.
        weights: `(records,)`.
    """

    task: Classification
    truth: Integers
    answer: Integers
    scores: Floats | None
    are_probabilities: bool
    weights: Floats

    def take(self, rows: Integers) -> LabelRows:
        """Gives some of the records."""
        return replace(
            self,
            truth=self.truth[rows],
            answer=self.answer[rows],
            scores=None if self.scores is None else self.scores[rows],
            weights=self.weights[rows],
        )

    @property
    def strata(self) -> Integers:
        """The groups whose sizes stay the same in every replicate: the true labels."""
        return self.truth


@dataclass(frozen=True)
class NumberRows:
    """Records of a regressor: true and answered numbers, and weights."""

    task: Regression
    truth: Floats
    answer: Floats
    weights: Floats

    def take(self, rows: Integers) -> NumberRows:
        """Gives some of the records."""
        return replace(
            self, truth=self.truth[rows], answer=self.answer[rows], weights=self.weights[rows]
        )

    @property
    def strata(self) -> Integers:
        """One group: numbers are drawn from all records."""
        return np.zeros(len(self.truth), np.int64)


Rows = LabelRows | NumberRows


def read_rows(
    truth: object,
    answers: pa.RecordBatch | pa.Table,
    *,
    task: Task,
    records: pa.RecordBatch | pa.Table | None,
    settings: Settings,
) -> Rows:
    """Reads what is measured.

    Raises:
        InputError: A column is missing, of a wrong type, or holds what cannot be measured.
    """
    true = _array(truth)
    check_rows("the answers have", len(answers), len(true))
    if not len(true):
        raise InvalidRequestError("there are no records, so there is nothing to measure")
    weights = _weights(records, settings.weight, len(true))
    if isinstance(task, Classification):
        scores, are_probabilities = _scores(answers, task)
        return LabelRows(
            task=task,
            truth=_places(true, task, "the truth"),
            answer=_places(column_of(answers, task.answer), task, f"column {task.answer!r}"),
            scores=scores,
            are_probabilities=are_probabilities,
            weights=weights,
        )
    answered = column_of(answers, task.answer)
    return NumberRows(
        task=task,
        truth=_numbers(true, "the truth"),
        answer=_numbers(answered, f"column {task.answer!r}"),
        weights=weights,
    )


def column_of(table: pa.RecordBatch | pa.Table, name: str) -> pa.Array:
    """Gives a column as one array, dictionaries unpacked.

    Raises:
        MissingColumnError: There is no such column.
    """
    if name not in table.schema.names:
        names = ", ".join(map(repr, table.schema.names)) or "none"
        raise MissingColumnError(f"there is no column {name!r}, only {names}")
    return _array(table.column(name))


def check_rows(what: str, found: int, expected: int) -> None:
    """Refuses columns of another length than the truth.

    Raises:
        ShapeError: The lengths differ.
    """
    if found != expected:
        raise ShapeError(f"{what} {found} records, the truth has {expected}")


def _array(values: object) -> pa.Array:
    try:
        array = values if isinstance(values, pa.Array | pa.ChunkedArray) else pa.array(values)
    except (pa.ArrowException, TypeError) as cause:
        raise DtypeError(f"the truth is no column of one type: {cause}") from cause
    if isinstance(array, pa.ChunkedArray):
        array = array.combine_chunks()
    if isinstance(array, pa.ChunkedArray):  # of several chunks beyond 2 GiB, or of none
        array = pa.concat_arrays(array.chunks) if array.num_chunks else pa.array([], array.type)
    return array.dictionary_decode() if pa.types.is_dictionary(array.type) else array


def _refuse_nulls(array: pa.Array, what: str) -> None:
    if array.null_count:
        row = pc.index(array.is_null(), value=True).as_py()
        raise NullError(
            f"{what} is missing in {array.null_count} of {len(array)} records, first in row {row}",
            hint="measure the records that have it, and say how many were left out",
        )


def _places(array: pa.Array, task: Classification, what: str) -> Integers:
    """Gives the place of each label."""
    _refuse_nulls(array, what)
    try:
        labels = pa.array(list(task.labels)).cast(array.type)
        same = labels.to_pylist() == list(task.labels)
    except (pa.ArrowException, TypeError):
        same = False
    if not same:
        raise DtypeError(
            f"{what} is {array.type}, the labels are {list(task.labels)!r}",
            hint="give the labels in the type of the column",
        )
    places = pc.index_in(array, value_set=labels)
    if places.null_count:
        row = pc.index(places.is_null(), value=True).as_py()
        raise InvalidRequestError(
            f"{what} holds {array[row].as_py()!r} in row {row}, "
            f"expected one of the labels {list(task.labels)!r}"
        )
    found: NDArray[Any] = places.to_numpy(zero_copy_only=False)
    return found.astype(np.int64)


def _numbers(array: pa.Array, what: str) -> Floats:
    """Gives finite doubles."""
    kinds = pa.types
    if not (kinds.is_integer(array.type) or kinds.is_floating(array.type)):
        raise DtypeError(f"{what} is {array.type}, expected numbers")
    _refuse_nulls(array, what)
    values: Floats = array.to_numpy(zero_copy_only=False).astype(np.float64)
    _refuse(values, np.isfinite(values), what, "a finite number")
    _refuse(values, np.abs(values) <= LARGEST, what, f"numbers up to {LARGEST:g}")
    return values


def _refuse(values: Floats, is_right: Any, what: str, expected: str) -> None:
    if not is_right.all():
        row = int(np.argmin(is_right))
        count = int(len(is_right) - is_right.sum())
        raise InvalidRequestError(
            f"{what} holds {values[row].tolist()} in row {row}, expected {expected} "
            f"({count} of {len(is_right)} records are wrong)"
        )


def _scores(answers: pa.RecordBatch | pa.Table, task: Classification) -> tuple[Floats | None, bool]:
    """Gives `(records, labels)` scores, and whether they are probabilities."""
    names = answers.schema.names
    if task.probabilities in names:
        return _probabilities(column_of(answers, task.probabilities), task), True
    if task.scores in names:
        return _widened(column_of(answers, task.scores), task, task.scores, total=0.0), False
    return None, False


def _probabilities(array: pa.Array, task: Classification) -> Floats:
    what = f"column {task.probabilities!r}"
    values = _widened(array, task, task.probabilities, total=1.0)
    is_share = ((values >= -TOLERANCE) & (values <= 1 + TOLERANCE)).all(axis=1)
    _refuse(values, is_share, what, "probabilities from 0 to 1")
    sums = values.sum(axis=1)
    _refuse(values, np.abs(sums - 1) <= TOLERANCE, what, "probabilities that add up to 1")
    return np.clip(values, 0.0, 1.0)


def _widened(array: pa.Array, task: Classification, name: str, *, total: float) -> Floats:
    """Gives one score per label; one number of two labels is that of the positive one."""
    what, size = f"column {name!r}", len(task.labels)
    values = _matrix(array, what)
    if values.shape[1] == 1 and task.is_binary:
        both = np.empty((len(values), size))
        both[:, task.positive_place] = values[:, 0]
        both[:, 1 - task.positive_place] = total - values[:, 0]
        return both
    if values.shape[1] != size:
        raise ShapeError(
            f"{what} has {values.shape[1]} numbers per record, there are {size} labels"
        )
    return values


def _matrix(array: pa.Array, what: str) -> Floats:
    _refuse_nulls(array, what)
    if isinstance(array, pa.ExtensionArray):
        array = array.storage
    kinds = pa.types
    if kinds.is_list(array.type) or kinds.is_large_list(array.type):
        lengths = np.unique(array.value_lengths().to_numpy(zero_copy_only=False))
        if len(lengths) != 1:
            raise ShapeError(f"{what} has {lengths.tolist()} numbers per record, expected as many")
        flat, width = array.flatten(), int(lengths[0])
    elif kinds.is_fixed_size_list(array.type):
        flat, width = array.flatten(), array.type.list_size
    else:
        flat, width = array, 1
    return _finite_rows(flat, width, what)


def _finite_rows(flat: pa.Array, width: int, what: str) -> Floats:
    if not pa.types.is_floating(flat.type) and not pa.types.is_integer(flat.type):
        raise DtypeError(f"{what} holds {flat.type}, expected numbers")
    if flat.null_count:
        row = pc.index(flat.is_null(), value=True).as_py() // width
        raise NullError(f"{what} misses a number in row {row}")
    values: Floats = flat.to_numpy(zero_copy_only=False).astype(np.float64).reshape(-1, width)
    _refuse(values, np.isfinite(values).all(axis=1), what, "finite numbers")
    return values


def _weights(records: pa.RecordBatch | pa.Table | None, name: str | None, count: int) -> Floats:
    if records is not None:
        check_rows("records= has", len(records), count)
    if name is None:
        return np.ones(count)
    if records is None:
        raise InvalidRequestError(
            f"the weight {name!r} is a column of the records, and there are none",
            hint="give records=, a table with a row for each truth",
        )
    what = f"column {name!r}"
    weights = _numbers(column_of(records, name), what)
    _refuse(weights, weights >= 0, what, "a weight from 0 up")
    if not weights.any():
        raise InvalidRequestError(f"{what} weighs every record 0, so there is nothing to measure")
    return weights
