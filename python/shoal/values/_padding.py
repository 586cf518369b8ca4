"""How a record of variable length is padded, so that records of different lengths share a batch.

- A length is rounded up, always, alone as in company: to a multiple, to the next length of a list,
  or, where nothing is said, to one of four steps in each power of two (5 6 7 8 10 12 14 16 20 ...).
- A length of 0, and one beyond the last of a list, stays as it is.
- The server rounds by the same rules (`crates/shoal-server/src/padding.rs`).
"""

from __future__ import annotations

import itertools
from typing import Literal

import msgspec

from shoal.errors import InvalidRequestError

LENGTH_LIMIT = 2**31 - 1
LENGTHS_LIMIT = 1024


class Padding(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """The rule by which an input column is padded along its one variable dimension.

    Attributes:
        value: What to fill with: a number, a text for BYTES, "NaN" for floats. A flag becomes 0
            or 1.
        at: The end that is filled.
        multiple_of: Lengths are rounded up to multiples of this; not together with `lengths`.
        lengths: Lengths are rounded up to the next of these, which ascend.

    Raises:
        InvalidRequestError: `lengths` does not ascend, a length is not in 1..2**31 - 1, there are
            more than 1024 of them, or both ways of rounding are given.
    """

    value: int | float | str
    at: Literal["end", "start"] = "end"
    multiple_of: int | None = None
    lengths: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        if isinstance(self.value, bool):
            msgspec.structs.force_setattr(self, "value", int(self.value))
        if self.lengths is not None:
            msgspec.structs.force_setattr(self, "lengths", tuple(self.lengths))
        if self.at not in {"end", "start"}:
            raise InvalidRequestError(f"padding at {self.at!r}, expected 'end' or 'start'")
        self._check_lengths()

    def _check_lengths(self) -> None:
        if self.multiple_of is not None and self.lengths is not None:
            raise InvalidRequestError(
                "padding has both multiple_of and lengths, expected at most one of them"
            )
        known = self.lengths if self.lengths is not None else (self.multiple_of or 1,)
        if self.multiple_of == 0 or not 1 <= len(known) <= LENGTHS_LIMIT:
            raise InvalidRequestError(
                f"padding rounds to {len(known)} lengths or to multiples of {self.multiple_of}, "
                f"expected 1 to {LENGTHS_LIMIT} lengths, or multiples of at least 1"
            )
        if any(not 1 <= each <= LENGTH_LIMIT for each in known):
            raise InvalidRequestError(f"padding has a length outside of 1..{LENGTH_LIMIT}")
        if any(one >= other for one, other in itertools.pairwise(known)):
            raise InvalidRequestError("the lengths of padding do not ascend")

    def rounded(self, length: int) -> int:
        """The length to which a record of this length is padded; never less than it."""
        if length <= 0:
            return length
        if self.lengths is not None:
            return next((each for each in self.lengths if each >= length), length)
        step = self.multiple_of or max((1 << (length - 1).bit_length()) // 8, 1)
        return -(-length // step) * step
