"""Which records are used for what: each for one thing only.

- Learning and evaluation have a part always; preparation where bounds, categories or scales have
  to be found, choice where models are compared or a threshold is chosen.
- Each record is drawn into a part on its own, whatever it says, so that one record more moves no
  other. So every part may spend the whole budget: see `Account.part`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np

from shoal.errors import InvalidRequestError
from shoal.train._private._records._settings import PrivateCategorical, is_unknown

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from shoal.train._private._account import Account
    from shoal.train._private._randomness import Randomness
    from shoal.train._private._records._settings import PrivateSettings

PartName: TypeAlias = Literal["learning", "evaluation", "preparation", "choice"]

_DRAW_BITS = 53


@dataclass(frozen=True)
class Part:
    """Some of the records, and what may be spent on them.

    Attributes:
        account: Of these records.
        places: Which they are.
    """

    account: Account
    places: NDArray[np.intp]


Parts: TypeAlias = dict[PartName, Part]
"""Learning and evaluation, and those that are needed."""


def parts_of(account: Account, settings: PrivateSettings, randomness: Randomness) -> Parts:
    """Draws every record into a part.

    Raises:
        InvalidRequestError: there are so few records that a part has none.
    """
    shares: dict[PartName, float] = {"evaluation": settings.evaluation_share}
    if is_prepared(settings):
        shares["preparation"] = settings.choice_share
    if len(settings.candidates) > 1 or settings.threshold:
        shares["choice"] = settings.choice_share
    names: list[PartName] = [*shares, "learning"]
    drawn = (randomness.bits(account.records) >> np.uint64(64 - _DRAW_BITS)) / 2.0**_DRAW_BITS
    numbers = np.searchsorted(np.cumsum(list(shares.values())), drawn, side="right")
    return {name: _part(account, name, numbers == at) for at, name in enumerate(names)}


def is_prepared(settings: PrivateSettings) -> bool:
    """Whether something about the columns has to be found in records."""
    has_numbers = any(
        not isinstance(column, PrivateCategorical) for column in settings.columns.values()
    )
    is_scaled = settings.scale == "noisy" and has_numbers
    return is_scaled or any(map(is_unknown, settings.columns.values()))


def _part(account: Account, name: PartName, is_in: NDArray[np.bool_]) -> Part:
    places = np.flatnonzero(is_in)
    if not len(places):
        message = f"of {account.records} records none is left for {name}, expected at least one"
        raise InvalidRequestError(message, hint="Train on more records.")
    return Part(account.part(name, records=len(places)), places)
