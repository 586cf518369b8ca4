"""A micro-batch as it is stored.

- Names become codes in the order in which a column first has them. A column with very many
  different names is refused: it is a key, or a text.
- Messages count records from 0, over all micro-batches.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from shoal.errors import DtypeError, InvalidRequestError, NullError
from shoal.train._prepare._frames import kept, numbers_of, seconds_of, texts_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from shoal.train._learn._stored._layout import Layout
    from shoal.train._prepare._description import Preparation

    Array = NDArray[Any]

MOST_NAMES = 100_000
MOST_CLASSES = 1_000


class Named(NamedTuple):
    """A column of names: (rows,) places in a list of them."""

    places: Array
    names: list[str]


class Block(NamedTuple):
    """A micro-batch, without records that are dropped.

    Attributes:
        numbers: (rows, numbers) FP32, NaN where missing.
        seconds: (rows, dates).
        categories: One for each column of names.
        target: Numbers, or the names of classes.
    """

    numbers: Array
    seconds: Array
    categories: list[Named]
    target: Array | Named


class Encoder:
    """Makes blocks of micro-batches; several threads may."""

    def __init__(self, preparation: Preparation, layout: Layout, target: str) -> None:
        """Takes what is to be learned from."""
        self._preparation = preparation
        self._layout = layout
        self._target = target

    def __call__(self, numbered: tuple[int, pa.RecordBatch]) -> Block:
        """Gives the block of a micro-batch, and of the number of its first record.

        Raises:
            DtypeError: a column is not of the kind that is said, or a number is infinite.
            NullError: the target is missing, or a date that must not be.
        """
        first, records = numbered
        target = _target(records.column(self._target), self._target, first)
        numbers, seconds = self._numbers(records, first), self._seconds(records, first)
        is_kept = kept(pa.Table.from_batches([records]), self._preparation)
        if not is_kept.all():
            records = records.filter(pa.array(is_kept))
            numbers, seconds, target = numbers[is_kept], seconds[is_kept], _taken(target, is_kept)
        return Block(
            numbers,
            seconds,
            [_named(texts_of(name, records.column(name))) for name in self._layout.categories],
            target,
        )

    def _numbers(self, records: pa.RecordBatch, first: int) -> Array:
        found = np.empty((records.num_rows, len(self._layout.numbers)), np.float32)
        for place, name in enumerate(self._layout.numbers):
            found[:, place] = numbers_of(name, records.column(name), first_row=first)
        found[np.isnan(found)] = np.nan  # of all the numbers that are none, one
        return found

    def _seconds(self, records: pa.RecordBatch, first: int) -> Array:
        found = np.empty((records.num_rows, len(self._layout.dates)), np.int64)
        for place, (name, date) in enumerate(self._layout.dates.items()):
            found[:, place] = seconds_of(name, records.column(name), date, first_row=first)
        return found


class Codes:
    """The names of one column, each with its place in the order in which they came.

    Attributes:
        names: In that order.
    """

    def __init__(self, label: str, most: int, hint: str) -> None:
        """Takes what the column is called, and how many names it may have."""
        self.names: dict[str, int] = {}
        self._label, self._most, self._hint = label, most, hint

    def take(self, named: Named) -> Array:
        """(rows,) codes.

        Raises:
            InvalidRequestError: there are too many names.
        """
        known = self.names
        codes = np.array([known.setdefault(name, len(known)) for name in named.names], np.int32)
        if len(known) > self._most:
            message = f"{self._label} has more than {self._most} different values"
            raise InvalidRequestError(message, hint=self._hint)
        found: Array = codes[named.places] if len(codes) else np.zeros(0, np.int32)
        return found


def is_number(kind: pa.DataType) -> bool:
    """Whether a target of a type is a number to predict; all others are classes."""
    return bool(pa.types.is_floating(kind))


def _target(values: pa.Array, name: str, first: int) -> Array | Named:
    is_missing = np.asarray(pc.is_null(values, nan_is_null=True))
    if is_missing.any():
        message = f"the target {name!r} is missing in row {first + int(is_missing.argmax())}"
        raise NullError(message, hint="Leave out records whose target is not known.")
    if not is_number(values.type):
        return _named(values)
    numbers = values.cast(pa.float64()).to_numpy(zero_copy_only=False)
    if (infinite := np.flatnonzero(np.isinf(numbers))).size:
        row = first + int(infinite[0])
        message = f"the target {name!r} is {numbers[infinite[0]]} in row {row}, expected a number"
        raise DtypeError(message, hint="Leave out records whose target is not known.")
    found: Array = numbers
    return found


def _named(values: pa.Array) -> Named:
    if pa.types.is_dictionary(values.type):  # it may hold names that no record has
        values = values.dictionary_decode()
    encoded = values.dictionary_encode()
    names = [str(name) for name in encoded.dictionary.to_pylist()]
    return Named(encoded.indices.to_numpy(zero_copy_only=False), names)


def _taken(target: Array | Named, is_kept: Array) -> Array | Named:
    if isinstance(target, Named):
        return Named(target.places[is_kept], target.names)
    return target[is_kept]
