"""Which columns are missing in the same records: pairs that do so more often than by chance.

Of many columns with missing values the ones that miss most are compared.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
from scipy.stats import chi2

from shoal.train._look._facts import MissingTogether

if TYPE_CHECKING:
    from collections.abc import Sequence

    from shoal.train._look._coded import Coded

MOST_COLUMNS: Final = 400
MOST_PAIRS: Final = 200
LEAST_CORRELATION: Final = 0.3
CHANCE: Final = 1e-3


def missing_together(columns: Sequence[Coded]) -> tuple[MissingTogether, ...]:
    """Pairs of columns that are missing together, the strongest first."""
    with_gaps = [each for each in columns if 0 < int(each.known.sum()) < len(each.codes)]
    with_gaps.sort(key=lambda each: (int(each.known.sum()), each.name))
    compared = with_gaps[:MOST_COLUMNS]
    if len(compared) < 2:  # noqa: PLR2004 - a pair
        return ()
    absent = np.stack([~each.known for each in compared], axis=1).astype(np.float64)
    size = len(absent)
    both, shares = absent.T @ absent, absent.mean(axis=0)
    by_chance = size * np.outer(shares, shares)
    spread = np.sqrt(shares * (1 - shares))
    phi = (both - by_chance) / (size * np.outer(spread, spread))
    pairs = np.triu(np.ones_like(phi, dtype=bool), 1)
    enough = chi2.isf(CHANCE / pairs.sum(), 1)
    found = np.argwhere(pairs & (phi >= LEAST_CORRELATION) & (size * phi**2 >= enough))
    told = [
        MissingTogether(
            columns=(compared[one].name, compared[other].name),
            records=int(both[one, other]),
            by_chance=float(by_chance[one, other]),
            correlation=min(1.0, float(phi[one, other])),
        )
        for one, other in found
    ]
    return tuple(sorted(told, key=lambda pair: (-pair.correlation, pair.columns))[:MOST_PAIRS])
