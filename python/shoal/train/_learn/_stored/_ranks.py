"""Exact order statistics of columns on disk, of any number of records, in bounded memory.

A single-precision number has 32 bits. Turned so that they sort as whole numbers do, each pass
counts the next bits of those numbers whose first bits are known: after three passes all bits of the
number of a rank are. A pass holds a few thousand counts for each rank that is asked for.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from numpy.typing import NDArray

    Array = NDArray[Any]
    Key = tuple[int, int]  # a column, and the first bits of its numbers

# How many bits each pass finds.
PASSES: Final = (12, 10, 10)
WIDTH: Final = 32
SIGN: Final = np.uint32(1 << 31)


class Rank(NamedTuple):
    """The number of a column below which so many others of it lie."""

    column: int
    place: int


def ranked(
    ranks: Sequence[Rank],
    blocks: Callable[[], Iterable[Array]],
    answers: Callable[[Callable[[Array], list[Array]], Iterable[Array]], Iterable[list[Array]]],
) -> dict[Rank, float]:
    """Finds the numbers of some ranks.

    Args:
        ranks: Which; each below the number of known values of its column.
        blocks: Gives all records, from the first on: (rows, columns) FP32, NaN where missing.
        answers: Maps a function over blocks, in order.

    Returns:
        The number of each rank.
    """
    known = {rank: (0, rank.place) for rank in ranks}  # first bits; how many of these lie below
    shift = WIDTH
    for bits in PASSES if ranks else ():
        shift -= bits
        keys = sorted({(rank.column, prefix) for rank, (prefix, _) in known.items()})
        counts: dict[Key, Array] = dict.fromkeys(keys, np.zeros(1 << bits, np.int64))
        for found in answers(_Counting(keys, shift, bits).counts, blocks()):
            counts = {key: counts[key] + found[number] for number, key in enumerate(keys)}
        for rank, (prefix, below) in known.items():
            upto = np.cumsum(counts[rank.column, prefix])
            digit = int(np.searchsorted(upto, below, side="right"))
            before = int(upto[digit - 1]) if digit else 0
            known[rank] = (prefix << bits | digit, below - before)
    return {rank: _number(prefix) for rank, (prefix, _) in known.items()}


@dataclass(frozen=True)
class _Counting:
    """Counts the next bits of the numbers with certain first bits."""

    keys: list[Key]
    shift: int
    bits: int

    def counts(self, block: Array) -> list[Array]:
        """Of each key, in a block."""
        found: list[Array] = []
        sorting: dict[int, Array] = {}
        for column, prefix in self.keys:
            if column not in sorting:
                sorting[column] = _sorting(block[:, column])
            values = sorting[column] >> np.uint32(self.shift)
            of_prefix = values[values >> np.uint32(self.bits) == prefix]
            digits = of_prefix & np.uint32((1 << self.bits) - 1)
            found.append(np.bincount(digits, minlength=1 << self.bits))
        return found


def _sorting(values: Array) -> Array:
    """Bits that sort as the numbers do; those of NaN come last."""
    bits = np.ascontiguousarray(values).view(np.uint32)
    return np.where(bits & SIGN, ~bits, bits | SIGN)


def _number(sorting: int) -> float:
    bits = np.uint32(sorting)
    turned = bits ^ SIGN if bits & SIGN else ~bits
    return float(turned.view(np.float32)) + 0.0
