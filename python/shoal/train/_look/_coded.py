"""A column of the sample as codes and numbers, which is all that measures need.

- Codes stand in the order of the values: what depends on order alone needs no more, and infinite
  values and dates of any year are no trouble.
- Numbers are what has a size: dates as seconds since 1970-01-01, true as 1, text by its length.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from shoal.train._look._totals import moment_text

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from shoal.train._look._facts import LookKind

    Integers = NDArray[np.int64]
    Floats = NDArray[np.float64]
    Booleans = NDArray[np.bool_]

DAY_S: Final = 86_400
MICROSECONDS: Final = 1e6
UNKNOWN: Final = -1
INFINITE: Final = "\N{INFINITY}"


@dataclass(frozen=True)
class Coded:
    """A column of the sample.

    Attributes:
        name: Its name.
        kind: What its values are.
        codes: (records,) equal values have equal codes, in their order; -1 where one is missing.
        numbers: (records,) the values as numbers; NaN where one is missing.
        values: (values,) the value of each code.
    """

    name: str
    kind: LookKind
    codes: Integers
    numbers: Floats
    values: pa.Array

    @property
    def known(self) -> Booleans:
        """(records,) where there is a value."""
        known: Booleans = self.codes != UNKNOWN
        return known

    @property
    def is_ordered(self) -> bool:
        """Whether its values have an order that means something."""
        return self.kind in {"integer", "float", "boolean", "date", "datetime"}

    def text(self, code: int) -> str:
        """A value as text."""
        value = self.values[code]
        if self.kind in {"date", "datetime"}:
            kind = value.type
            whole = value.cast(pa.int32() if kind == pa.date32() else pa.int64())
            return moment_text(whole.as_py(), kind)
        if self.kind == "boolean":
            return str(value.as_py()).lower()
        if self.kind == "float":
            return _text_of(value.as_py())
        return str(value.as_py())

    def counts(self) -> Integers:
        """(values,) how many records have each value."""
        found: Integers = np.bincount(self.codes[self.known], minlength=len(self.values))
        return found.astype(np.int64)


def _text_of(number: float) -> str:
    if math.isinf(number):
        return INFINITE if number > 0 else f"-{INFINITE}"
    return f"{number:g}"


def coded(name: str, kind: LookKind, values: pa.Array) -> Coded:
    """A column as codes and numbers."""
    rows = len(values)
    codes, numbers = np.full(rows, UNKNOWN, np.int64), np.full(rows, np.nan)
    if kind in {"empty", "other"} or values.null_count == rows:
        return Coded(name, kind, codes, numbers, values.slice(0, 0))
    known = values.is_valid().to_numpy(zero_copy_only=False)
    present = values.drop_null()
    if pa.types.is_string(values.type):
        codes[known], different = _codes_of_texts(present)
        numbers[known] = pc.utf8_length(present).to_numpy(zero_copy_only=False)
        return Coded(name, kind, codes, numbers, different)
    plain = _plain(present)
    found, inverse = np.unique(plain, return_inverse=True)
    codes[known] = inverse
    numbers[known] = _scaled(plain, present.type)
    return Coded(name, kind, codes, numbers, pa.array(found).cast(present.type))


def _codes_of_texts(values: pa.Array) -> tuple[Integers, pa.Array]:
    encoded = values.dictionary_encode()
    order = pc.sort_indices(encoded.dictionary).to_numpy(zero_copy_only=False)
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order))
    return place[encoded.indices.to_numpy(zero_copy_only=False)], encoded.dictionary.take(
        pa.array(order)
    )


def _plain(values: pa.Array) -> NDArray[Any]:
    """Values as numpy sorts them."""
    if pa.types.is_date(values.type):
        values = values.cast(pa.int32())
    elif pa.types.is_timestamp(values.type):
        values = values.cast(pa.int64())
    plain: NDArray[Any] = values.to_numpy(zero_copy_only=False)
    return plain


def _scaled(plain: NDArray[Any], kind: pa.DataType) -> Floats:
    numbers: Floats = plain.astype(np.float64)
    if pa.types.is_date(kind):
        return numbers * DAY_S
    return numbers / MICROSECONDS if pa.types.is_timestamp(kind) else numbers
