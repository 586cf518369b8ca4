"""How a look at data is made."""

from __future__ import annotations

import math
from typing import Final

import msgspec

from shoal.errors import InvalidRequestError

MOST_SAMPLE_ROWS: Final = 1_000_000


class LookSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a look at data is made.

    Attributes:
        sample_rows: Of so many records all is looked at that needs them in memory; of fewer, where
            records are very wide.
        seed: What the sample and the folds follow from.
        suspicious: From this predictive power on, from 0 to 1, a column alone is a suspect.

    Raises:
        InvalidRequestError: a number is out of its range.
    """

    sample_rows: int = 20_000
    seed: int = 0
    suspicious: float = 0.98

    def __post_init__(self) -> None:
        ranges = {
            "sample_rows": (self.sample_rows, 1, MOST_SAMPLE_ROWS),
            "seed": (self.seed, 0, 2**32 - 1),
            "suspicious": (self.suspicious, 0, 1),
        }
        for name, (value, least, most) in ranges.items():
            if not (math.isfinite(value) and least <= value <= most):
                message = f"{name} is {value}, expected {least} to {most}"
                raise InvalidRequestError(message)
