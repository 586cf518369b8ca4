"""Rows that are nobody's: made from the signature of a model, and the same each time.

- No record has a part in them: neither values nor ranges nor how often something is there. A text
  may be a word that the model's own file holds, such as a category that it knows.
- For law 1: numbers of one size, small whole numbers, short texts; variable dimensions get one
  length. A model that refuses them needs a real example: the law is never passed by not asking.
- For golden rows: every second one has numbers of many sizes, known words, and null where a column
  takes it, so that the steps before a model have something to do. Where the file says that other
  words are refused, every row has known ones.
- Only the raw numbers of PCG64 are drawn, which no version of numpy may change.

Source: NEP 19 of numpy, https://numpy.org/neps/nep-0019-rng-policy.html
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from shoal.errors import InputError, ModelError, UnsupportedModelError
from shoal.package._rows import Rows
from shoal.values import Dtype, schema_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from shoal.package._rows import Array
    from shoal.runtime import Model
    from shoal.values import Column

ROWS = 16
LENGTH = 8
_SEED = 21
_SIZES = (-1.0, 4.0)
"""The powers of ten between which the sizes of numbers lie."""
_LARGEST_WHOLE = 2**20
_NULL_EVERY = 4
_MOST_WORDS = 6


class Words(NamedTuple):
    """What a column of text may hold.

    Attributes:
        known: Words that the model's own file holds.
        is_sentence: Whether a text is several of them, or one.
        refuses_others: Whether the model does not answer to any other.
    """

    known: tuple[str, ...]
    is_sentence: bool
    refuses_others: bool = False


def plain_rows(model: Model, *, length: int = LENGTH) -> Rows:
    """Rows that fit the model's inputs and that the model answers.

    Args:
        model: The model.
        length: What variable dimensions are.

    Raises:
        UnsupportedModelError: the model refuses them.
    """
    draws, columns = _Draws(), model.signature.inputs
    values = tuple(_plain(column, _shape(column, length), draws) for column in columns)
    rows = Rows(columns, values, tuple(np.zeros(ROWS, dtype=bool) for _ in columns))
    try:
        model.predict(rows.to_batch())
    except (InputError, ModelError) as error:
        message = f"the model refuses made-up rows: {error}"
        hint = "Give example=...: a few real rows prove that answers do not depend on the batch."
        raise UnsupportedModelError(message, hint=hint) from error
    return rows


def varied_rows(columns: tuple[Column, ...], words: Mapping[str, Words]) -> Rows:
    """Rows that fit the columns; whether a model answers them is not known.

    Args:
        columns: The inputs of a model.
        words: What the model's own file holds, by the name of a column of text.
    """
    draws, rows = _Draws(), np.arange(ROWS)
    values, missing = [], []
    for place, column in enumerate(columns):
        shape = _shape(column, LENGTH)
        each, known = _plain(column, shape, draws), words.get(column.name)
        changed = slice(None) if known is not None and known.refuses_others else slice(1, None, 2)
        each[changed] = _varied(column, shape, known, draws)[changed]
        values.append(each)
        missing.append(((rows + place) % _NULL_EVERY == 1) & column.nullable)
    return Rows(columns, tuple(values), tuple(missing))


def row_bytes(column: Column) -> int:
    """About how many bytes one value of a column has."""
    return 8 * int(np.prod(_shape(column, LENGTH), dtype=np.int64))


class _Draws:
    """Numbers between 0 and 1 that are the same in every version of numpy."""

    def __init__(self) -> None:
        self._raw = np.random.PCG64(_SEED)

    def uniform(self, shape: tuple[int, ...]) -> Array:
        """Numbers of 53 bits, from 0 to below 1."""
        raw = self._raw.random_raw(int(np.prod(shape, dtype=np.int64)))
        numbers: Array = (raw >> np.uint64(11)).astype(np.float64) * 2.0**-53
        return numbers.reshape(shape)

    def below(self, limit: int, shape: tuple[int, ...]) -> Array:
        """Whole numbers from 0 to below the limit."""
        return (self.uniform(shape) * limit).astype(np.int64)


def _plain(column: Column, shape: tuple[int, ...], draws: _Draws) -> Array:
    if column.dtype is Dtype.BYTES:
        return _texts(shape, lambda: f"text {draws.below(1000, (1,))[0]}")
    dtype = _dtype(column)
    if dtype.kind == "f":
        # Sums of three, with deviation 1: near enough to a normal distribution.
        sums: Array = 2.0 * (draws.uniform((3, *shape)) - 0.5).sum(axis=0)
        return sums.astype(dtype)
    return draws.below(2, shape).astype(dtype)


def _varied(column: Column, shape: tuple[int, ...], words: Words | None, draws: _Draws) -> Array:
    if column.dtype is Dtype.BYTES:
        return _plain(column, shape, draws) if words is None else _known(words, shape, draws)
    dtype = _dtype(column)
    if dtype.kind == "b":
        return _plain(column, shape, draws)
    low, high = _SIZES
    numbers = 10.0 ** (low + (high - low) * draws.uniform(shape))
    if dtype.kind == "f":
        return np.minimum(numbers.round(3), float(np.finfo(dtype).max)).astype(dtype)
    return (numbers.astype(np.int64) % min(_LARGEST_WHOLE, np.iinfo(dtype).max)).astype(dtype)


def _known(words: Words, shape: tuple[int, ...], draws: _Draws) -> Array:
    def text() -> str:
        count = 1 + int(draws.below(_MOST_WORDS, (1,))[0]) if words.is_sentence else 1
        return " ".join(words.known[at] for at in draws.below(len(words.known), (count,)))

    return _texts(shape, text)


def _texts(shape: tuple[int, ...], draw: Any) -> Array:
    texts = np.empty(shape, dtype=object)
    texts.ravel()[:] = [draw().encode() for _ in range(texts.size)]
    return texts


def _shape(column: Column, length: int) -> tuple[int, ...]:
    return (ROWS, *(length if size == -1 else size for size in column.shape))


def _dtype(column: Column) -> np.dtype[Any]:
    kind = schema_of([column]).field(0).type
    while hasattr(kind, "value_type"):
        kind = kind.value_type
    dtype: np.dtype[Any] = np.dtype(kind.to_pandas_dtype())
    return dtype
