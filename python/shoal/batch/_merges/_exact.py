"""Sums without rounding: what makes a merge independent of how the data was cut.

A sum of doubles is held as a whole number in base 2**26, one row of digits per group, so that
adding never rounds, in any order, whatever cancels. Rules:

- digit `i` of a row stands for `digits[row, i] * 2 ** (26 * (limb + i))`;
- all digits of a row have the same sign and lie below 2**26 (one number, one form: equal sums
  have equal digits, however they came about);
- infinities and NaN cannot be summed as digits: three bits of `special` remember them.

A product of two 26-bit digits fits twice into 53 bits, hence the base. Numbers are rounded once,
when they are finished, to the nearest double (ties to even), as `math.fsum` does.

Long columns are condensed to few doubles first, see `_condense`.

Source: U. Kulisch, "Computer Arithmetic and Validity", section 8 (long accumulators).
"""

from __future__ import annotations

import functools
import itertools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa

from shoal.batch._merges._condense import MANTISSA_BITS
from shoal.errors import DtypeError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Integers = NDArray[np.int64]
    Floats = NDArray[np.float64]

BITS: Final = 26
BASE: Final = 1 << BITS
MASK: Final = BASE - 1
# IEEE 754 binary64: a sign, 11 bits of exponent, 52 bits of fraction.
SIGN_BIT: Final = 63
EXPONENT_MASK: Final = (1 << 11) - 1
FRACTION_BITS: Final = 52
FRACTION_MASK: Final = (1 << FRACTION_BITS) - 1
EXPONENT_BIAS: Final = 1023
LIMBS_BELOW_ONE: Final = 44  # 26 * 44 bits reach below the last bit of every double
# So many doubles are summed faster one by one than by the fixed cost of some fifty vector calls.
FEW: Final = 64
# np.bincount adds in doubles: 2**26 digits of 26 bits stay below 2**53, so every sum is exact.
EXACT_ROWS: Final = 1 << 26

POSITIVE_INFINITY: Final = 1
NEGATIVE_INFINITY: Final = 2
NOT_A_NUMBER: Final = 4


@dataclass(frozen=True)
class Terms:
    """Numbers as digits, one row each, not yet summed: digit j of row i has limb `limb[i] + j`."""

    digits: Integers
    limb: Integers


def terms_of_floats(values: Floats) -> Terms:
    """Gives the digits of finite doubles, exactly: three digits per number."""
    bits = values.view(np.int64)
    exponent = (bits >> FRACTION_BITS) & EXPONENT_MASK  # 0 for a subnormal number, which has no
    mantissa = bits & FRACTION_MASK  # leading one, and the exponent of 1
    mantissa |= np.minimum(exponent, 1) << FRACTION_BITS
    place = np.maximum(exponent, 1) + (LIMBS_BELOW_ONE * BITS - EXPONENT_BIAS - FRACTION_BITS)
    limb = place // BITS
    shift = place - limb * BITS
    low = (mantissa & MASK) << shift
    high = (low >> BITS) + ((mantissa >> BITS) << shift)
    # Stacked so that each place is contiguous, here and wherever digits are made.
    digits = np.stack([low & MASK, high & MASK, high >> BITS]).T
    digits *= 1 | (bits >> SIGN_BIT)[:, None]  # -1 where the sign bit is set
    return Terms(digits, limb - LIMBS_BELOW_ONE)


def terms_of_integers(values: NDArray[np.int64] | NDArray[np.uint64]) -> Terms:
    """Gives the digits of 64-bit integers, signed or not: three digits per number."""
    # The view keeps -2**63 right, whose magnitude no int64 holds.
    magnitude = np.abs(values).astype(np.int64).view(np.uint64)
    parts = [magnitude & np.uint64(MASK), magnitude >> np.uint64(BITS)]
    parts = [parts[0], parts[1] & np.uint64(MASK), magnitude >> np.uint64(2 * BITS)]
    digits = np.stack(parts).T.astype(np.int64)
    digits[values < 0] *= -1
    return Terms(digits, np.zeros(len(values), dtype=np.int64))


def multiply_digits(left: Integers, right: Integers) -> Integers:
    """Multiplies row by row: `(rows, a)` times `(rows, b)` digits give `(rows, a + b)`."""
    product = np.zeros((left.shape[1] + right.shape[1], len(left)), dtype=np.int64).T
    for i in range(left.shape[1]):
        for j in range(right.shape[1]):
            product[:, i + j] += left[:, i] * right[:, j]
    carry(product)
    return product


def multiply(left: Terms, right: Terms) -> Terms:
    """Multiplies numbers row by row, exactly, beyond the range of a double too."""
    return Terms(multiply_digits(left.digits, right.digits), left.limb + right.limb)


def carry(digits: Integers) -> None:
    """Brings all digits but the highest into [0, 2**26), in place; the highest keeps the sign."""
    for low, high in itertools.pairwise(digits.T):
        np.add(high, low >> BITS, out=high)
        np.bitwise_and(low, MASK, out=low)


def settle(digits: Integers) -> Integers:
    """Gives the one form of each row: carried, all digits of one sign. Needs a free top digit."""
    carry(digits)
    negative = digits[:, -1] < 0
    if negative.any():
        magnitude = -digits[negative]
        carry(magnitude)
        digits[negative] = -magnitude
    return digits


def specials_of(values: Floats) -> NDArray[np.int8]:
    """Gives the bits of what cannot be summed as digits; 0 for a finite number."""
    bits = np.isposinf(values) * POSITIVE_INFINITY + np.isneginf(values) * NEGATIVE_INFINITY
    joined: NDArray[np.int8] = (bits + np.isnan(values) * NOT_A_NUMBER).astype(np.int8)
    return joined


def any_special(bits: NDArray[np.int8], group: Integers, groups: int) -> NDArray[np.int8]:
    """Joins the bits of each group."""
    joined = np.zeros(groups, dtype=np.int8)
    for bit in (POSITIVE_INFINITY, NEGATIVE_INFINITY, NOT_A_NUMBER):
        met = group[(bits & bit) != 0]
        joined[met] |= np.int8(bit)
    return joined


def special_values(bits: NDArray[np.int8]) -> Floats:
    """Gives what a sum with these bits is: an infinity, NaN, or 0.0 where all was finite."""
    both = POSITIVE_INFINITY | NEGATIVE_INFINITY
    undefined = ((bits & NOT_A_NUMBER) != 0) | ((bits & both) == both)
    signed = np.where((bits & POSITIVE_INFINITY) != 0, np.inf, -np.inf)
    values: Floats = np.where(bits == 0, 0.0, np.where(undefined, np.nan, signed))
    return values


@dataclass(frozen=True)
class ExactSums:
    """One exact sum per group.

    Attributes:
        digits: `(groups, width)` int64, in the one form that `settle` gives.
        limb: Place of the first digit, the same for all groups.
        special: `(groups,)` int8 bits: what was met that is not finite.
    """

    digits: Integers
    limb: int
    special: NDArray[np.int8]

    @staticmethod
    def of_floats(values: Floats, group: Integers, groups: int) -> ExactSums:
        """Sums doubles by group."""
        if np.isfinite(values).all():
            return _sum_terms(terms_of_floats(values), group, groups)
        bits = specials_of(values)
        finite = np.where(bits == 0, values, 0.0)
        sums = _sum_terms(terms_of_floats(finite), group, groups)
        return ExactSums(sums.digits, sums.limb, any_special(bits, group, groups))

    @staticmethod
    def of_terms(terms: Terms, group: Integers, groups: int) -> ExactSums:
        """Sums exact numbers by group."""
        return _sum_terms(terms, group, groups)

    def with_special(self, special: NDArray[np.int8]) -> ExactSums:
        """Gives the same sums with other special bits."""
        return ExactSums(self.digits, self.limb, special)

    def columns(self, prefix: str) -> dict[str, pa.Array]:
        """Gives the sums as the columns of a state, zeros trimmed."""
        nonzero = self.digits != 0
        groups, width = self.digits.shape
        has_digits = nonzero.any(axis=1)
        first = nonzero.argmax(axis=1)
        last = (width - nonzero[:, ::-1].argmax(axis=1)) * has_digits
        place = np.arange(width)
        kept = (place >= first[:, None]) & (place < last[:, None])
        offsets = np.zeros(groups + 1, np.int32)
        np.cumsum(last - first, out=offsets[1:])
        digits = pa.ListArray.from_arrays(
            pa.array(offsets), pa.array(self.digits[kept].astype(np.int32))
        )
        limb = ((self.limb + first) * has_digits).astype(np.int32)
        return _named(prefix, pa.array(limb), digits, pa.array(self.special))

    @staticmethod
    def of_columns(
        states: pa.RecordBatch, prefix: str, *, group: Integers, groups: int
    ) -> ExactSums:
        """Sums states by group; `columns` of the result are states again."""
        limb, digits, special = (states.column(f.name) for f in state_fields(prefix))
        lengths = digits.value_lengths().to_numpy(zero_copy_only=False).astype(np.int64)
        flat = digits.flatten().to_numpy(zero_copy_only=False).astype(np.int64)
        start = np.repeat(np.cumsum(lengths) - lengths, lengths)
        place = np.repeat(limb.to_numpy(zero_copy_only=False).astype(np.int64), lengths)
        terms = Terms(flat[:, None], place + np.arange(len(flat)) - start)
        sums = _sum_terms(terms, np.repeat(group, lengths), groups)
        bits = special.to_numpy(zero_copy_only=False)
        return sums.with_special(any_special(bits, group, groups))

    def scaled(self) -> tuple[Floats, Integers]:
        """Gives `(mantissa, exponent)`, the finite part of each sum rounded once to 53 bits.

        The sum is `mantissa * 2.0 ** exponent`; kept apart because a sum may lie beyond the range
        of a double while the mean made from it does not.
        """
        padded = np.pad(np.abs(self.digits), ((0, 0), (3, 0)))
        nonzero = padded != 0
        top = padded.shape[1] - 1 - nonzero[:, ::-1].argmax(axis=1)
        top = np.maximum(top, 3)
        four = np.take_along_axis(padded, top[:, None] - np.arange(4), axis=1)
        is_lower_nonzero = nonzero.argmax(axis=1) < top - 3
        # One addition of two exact doubles rounds once. What lies lower only breaks a tie, and a
        # last bit set does that, since the result never reaches down to it.
        high = (four[:, 0] << BITS) | four[:, 1]
        low = (four[:, 2] << BITS) | four[:, 3] | (is_lower_nonzero & nonzero.any(axis=1))
        mantissa = high.astype(np.float64) * float(1 << (2 * BITS)) + low.astype(np.float64)
        sign = np.where((self.digits < 0).any(axis=1), -1.0, 1.0)
        return sign * mantissa, BITS * (self.limb + top.astype(np.int64) - 6)

    def floats(self) -> Floats:
        """Gives each sum as the nearest double; beyond the largest double it is an infinity."""
        mantissa, exponent = self.scaled()
        finite = shift(mantissa, exponent)
        values: Floats = np.where(self.special == 0, finite, special_values(self.special))
        return values

    def integers(self, label: str) -> Integers:
        """Gives each sum as int64; only for sums of integers.

        Raises:
            DtypeError: A sum lies beyond int64. The message names `label` and the sum.
        """
        wide = np.zeros((len(self.digits), max(4, self.limb + self.digits.shape[1])), np.int64)
        wide[:, self.limb : self.limb + self.digits.shape[1]] = self.digits
        # int64 holds two digits and 11 bits of a third, and one number more below zero.
        top = wide[:, 2]
        is_lowest = (top == -(1 << 11)) & (wide[:, :2] == 0).all(axis=1)
        fits = (wide[:, 3:] == 0).all(axis=1) & ((np.abs(top) < 1 << 11) | is_lowest)
        if not fits.all():
            row = wide[int(np.argmin(fits))]
            exact = sum(int(digit) << (BITS * place) for place, digit in enumerate(row))
            raise DtypeError(
                f"{label} is {exact}, beyond int64",
                hint="cast the column to float64 before summing it",
            )
        total: Integers = wide[:, 0] + (wide[:, 1] << BITS) + (top << (2 * BITS))
        return total


def sum_columns(
    prefix: str, values: Floats, *, group: Integers, groups: int
) -> dict[str, pa.Array]:
    """Gives the sums of doubles by group as the columns of a state.

    The same as `ExactSums.of_floats(...).columns(prefix)`, faster.
    """
    if max(len(values), groups) > FEW or not np.isfinite(values).all():
        return ExactSums.of_floats(values, group, groups).columns(prefix)
    totals = [0] * groups
    for value, place in zip(values.tolist(), group.tolist(), strict=True):
        fraction, exponent = math.frexp(value)
        mantissa = int(fraction * (1 << MANTISSA_BITS))
        totals[place] += mantissa << (exponent - MANTISSA_BITS + LIMBS_BELOW_ONE * BITS)
    numbers = list(map(_digits_of, totals))
    limb = pa.array([limb for limb, _ in numbers], pa.int32())
    digits = pa.array([digits for _, digits in numbers], pa.list_(pa.int32()))
    return _named(prefix, limb, digits, pa.array(np.zeros(groups, np.int8)))


def _digits_of(total: int) -> tuple[int, list[int]]:
    """Gives the limb and the digits of a number counted in the lowest bit of the lowest limb."""
    if total == 0:
        return 0, []
    limb = ((total & -total).bit_length() - 1) // BITS
    sign, rest = (-1 if total < 0 else 1), abs(total) >> (limb * BITS)
    digits = []
    while rest:
        digits.append(sign * (rest & MASK))
        rest >>= BITS
    return limb - LIMBS_BELOW_ONE, digits


def _named(prefix: str, *arrays: pa.Array) -> dict[str, pa.Array]:
    names = (field.name for field in state_fields(prefix))
    return dict(zip(names, arrays, strict=True))


@functools.cache
def state_fields(prefix: str) -> tuple[pa.Field, ...]:
    """Gives the columns that hold an exact sum: `limb`, `digits` and `special`."""
    return (
        pa.field(f"{prefix}_limb", pa.int32()),
        pa.field(f"{prefix}_digits", pa.list_(pa.int32())),
        pa.field(f"{prefix}_special", pa.int8()),
    )


def shift(mantissa: Floats, exponent: Integers) -> Floats:
    """Gives `mantissa * 2.0 ** exponent`, an infinity beyond the range of a double."""
    with np.errstate(over="ignore", under="ignore"):
        shifted: Floats = np.ldexp(mantissa, np.clip(exponent, -(2**20), 2**20).astype(np.int32))
    return shifted


def subtract(left: tuple[Integers, int], right: tuple[Integers, int]) -> ExactSums:
    """Gives `left - right` row by row; each is digits and the limb of the first digit."""
    limb = min(left[1], right[1])
    width = max(left[0].shape[1] + left[1], right[0].shape[1] + right[1]) - limb + 1
    digits = np.zeros((len(left[0]), width), dtype=np.int64)
    for sign, (part, place) in ((1, left), (-1, right)):
        digits[:, place - limb : place - limb + part.shape[1]] += sign * part
    return ExactSums(settle(digits), limb, np.zeros(len(digits), dtype=np.int8))


def _sum_terms(terms: Terms, group: Integers, groups: int) -> ExactSums:
    """Adds up digits by group and limb, in slices small enough for exact doubles."""
    present = (terms.digits != 0).any(axis=1)
    limbs, digits = terms.limb, terms.digits
    if not present.all():
        limbs, digits, group = limbs[present], digits[present], group[present]
    lowest = int(limbs.min()) if len(limbs) else 0
    highest = int(limbs.max()) if len(limbs) else 0
    width = highest - lowest + digits.shape[1] + 2  # two digits above hold every carry
    total = np.zeros(width * groups, dtype=np.int64)
    for start in range(0, len(digits), EXACT_ROWS):
        rows = slice(start, start + EXACT_ROWS)
        cell = (limbs[rows] - lowest) * groups + group[rows]
        for place in range(digits.shape[1]):
            sums = np.bincount(cell, digits[rows, place], len(total) - place * groups)
            total[place * groups :] += sums.astype(np.int64)
    settled = settle(total.reshape(width, groups).T)
    return ExactSums(settled, lowest, np.zeros(groups, dtype=np.int8))
