"""Many doubles replaced by a few of the same exact sum, so that only a few are taken apart.

A block of doubles is cut at a power of two, `unit`, into what lies above and what is left:

- above: each value rounded to a multiple of `unit`. It is chosen so that no sum of these, in any
  order, has more than 2**53 units: adding them as doubles never rounds.
- left: what that rounding dropped, exactly a double again, and at most half a unit. It is cut the
  same way, until nothing is left or `WINDOWS` cuts were made.

Among subnormal numbers nothing rounds, so a unit below the smallest double does no harm.

A cut costs a handful of vector instructions per value. Values of one scale are gone after two or
three cuts; what is left of those that are not, the caller takes apart one by one.

Source: S. Rump, T. Ogita, S. Oishi, "Accurate floating-point summation I", algorithm 3.3
(ExtractVector). T. Dekker, "A floating-point technique for extending the available precision",
section 5 (products).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    Integers = NDArray[np.int64]
    Floats = NDArray[np.float64]
    Grouped = tuple[Floats, Integers]  # doubles, and the group of each

MANTISSA_BITS: Final = 53  # IEEE 754 binary64
# A block of this size, and what is made of it, stays in a processor's second cache; of many groups
# it must be larger, so that it gives far fewer doubles than it takes.
BLOCK_ROWS: Final = 8192
BLOCK_ROWS_PER_GROUP: Final = 64
# With fewer values per group, cutting costs as much as it saves. Not below 8, see `bits`.
FEWEST_PER_GROUP: Final = 8
WINDOWS: Final = 4
# Well within the range of a double, also times 2**51 units, a block's rows, or HALVES.
LARGEST: Final = 2.0**900
# The lowest bit of a product is 2**-106 of its size: still above the smallest double.
SMALLEST_PRODUCT: Final = 2.0**-900
HALVES: Final = 2.0**27 + 1  # splits 53 bits into 26 and 26 and a sign


def condense(values: Floats, group: Integers, groups: int) -> Grouped:
    """Gives doubles, and their groups, whose exact sum by group is that of `values`.

    Infinities, NaN and very large values come back as they are, with their whole block.
    """
    parts: list[Grouped] = []
    for rows in _blocks(len(values), groups):
        parts += _condense_block(values[rows], group[rows], groups)
    return _joined(parts)


def condense_products(
    left: Floats, right: Floats, *, group: Integers, groups: int
) -> Grouped | None:
    """Gives doubles, and their groups, whose exact sum by group is that of `left * right`.

    None where a product, or what rounding drops of it, may be no double: it is not finite, very
    large or very small.
    """
    parts: list[Grouped] = []
    for rows in _blocks(len(left), groups):
        part = left[rows]
        factors = part, (part if right is left else right[rows])
        product = _safe_product(*factors)
        if product is None:
            return None
        for doubles in (product, _dropped(product, *factors)):
            parts += _condense_block(doubles, group[rows], groups)
    return _joined(parts)


def _blocks(count: int, groups: int) -> Iterator[slice]:
    step = max(BLOCK_ROWS, BLOCK_ROWS_PER_GROUP * groups)
    return (slice(start, start + step) for start in range(0, count, step))


def _joined(parts: list[Grouped]) -> Grouped:
    if not parts:
        return np.zeros(0), np.zeros(0, np.int64)
    return np.concatenate([part for part, _ in parts]), np.concatenate([of for _, of in parts])


def _condense_block(values: Floats, group: Integers, groups: int) -> Iterator[Grouped]:
    largest = _largest(values)
    if len(values) < FEWEST_PER_GROUP * groups or not largest < LARGEST:
        yield values, group
        return
    every = np.arange(groups)
    # So wide may a part be that all of them add up to at most 2**53 units. It leaves at least three
    # bits, since a block has at least eight values: adding the anchor stays within its binade.
    bits = MANTISSA_BITS - (len(values) - 1).bit_length()
    for _ in range(WINDOWS):
        unit = math.frexp(largest)[1] - bits
        anchor = math.ldexp(1.5, unit + MANTISSA_BITS - 1)
        above = values + anchor
        above -= anchor
        yield _sums(above, group, groups), every
        values = np.subtract(values, above, out=above)
        largest = _largest(values)
        if largest == 0:
            return
    left = np.flatnonzero(values)
    yield values[left], group[left]


def _largest(values: Floats) -> float:
    """Gives the largest magnitude; NaN if there is one."""
    return float(max(values.max(), -values.min()))


def _sums(values: Floats, group: Integers, groups: int) -> Floats:
    """Adds values by group, in whatever order is fast: here no order rounds."""
    if groups == 1:
        return np.add.reduce(values, keepdims=True)
    return np.bincount(group, values, groups).astype(np.float64, copy=False)


def _safe_product(left: Floats, right: Floats) -> Floats | None:
    """Gives the rounded products, if all of them and all factors are in range."""
    with np.errstate(all="ignore"):
        product = left * right
    smallest = np.abs(product).min()
    if smallest < SMALLEST_PRODUCT:  # zeros are in range, too
        inexact = (left != 0) & (right != 0)
        smallest = np.abs(product).min(where=inexact, initial=np.inf)
    largest = max(map(_largest, (left, right, product)))
    return product if smallest >= SMALLEST_PRODUCT and largest < LARGEST else None


def _dropped(product: Floats, left: Floats, right: Floats) -> Floats:
    """Gives what rounding dropped of each product, exactly."""
    high, low = _halves(left)
    other_high, other_low = (high, low) if right is left else _halves(right)
    dropped = high * other_high
    dropped -= product
    dropped += high * other_low
    dropped += low * other_high
    dropped += low * other_low
    return dropped


def _halves(values: Floats) -> tuple[Floats, Floats]:
    """Splits each value into two of at most 26 bits and a sign."""
    scaled = values * HALVES
    high = scaled - (scaled - values)
    return high, values - high
