"""Choosing one of several privately: models, thresholds, places on a scale.

- The exponential mechanism, as report-noisy-max with Gumbel noise: of the candidates one is drawn,
  the better the likelier, and only which one is told.
- The candidates are public: they do not depend on the records.
- `sensitivity` is the most that one record more or less changes any score, and it is stated by the
  caller: nothing can check it. A count of records has 1; an accuracy has none that is known to
  everybody, so count the right answers instead.
- Where one record more never lowers a score (or never raises one), `is_monotone` halves the noise.

Sources: McSherry and Talwar 2007, "Mechanism Design via Differential Privacy"; Dwork and Roth 2014,
"The Algorithmic Foundations of Differential Privacy", 3.3 and 3.4.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from shoal.errors import InvalidRequestError
from shoal.train._private._randomness import SeededRandomness, SystemRandomness, gumbels
from shoal.train._private._spent import Bounded, Use

if TYPE_CHECKING:
    from collections.abc import Sequence

    from shoal.train._private._account import Account
    from shoal.train._private._randomness import Floats, Randomness

THRESHOLDS = tuple(hundredths / 100 for hundredths in range(1, 100))


def choose_privately(  # noqa: PLR0913 - each changes what is promised
    account: Account,
    scores: Sequence[float] | Floats,
    *,
    epsilon: float,
    sensitivity: float,
    purpose: str = "selection",
    is_monotone: bool = False,
    seed: int | None = None,
) -> int:
    """Chooses the candidate with a high score, and spends `epsilon` on it.

    Args:
        account: What is spent from.
        scores: One for each candidate; higher is better.
        epsilon: What the choice may cost.
        sensitivity: The most that one record changes any score.
        purpose: What for, in the record of what was spent.
        is_monotone: Whether one record more changes all scores in one direction, if any.
        seed: For tests: with it nothing is private.

    Returns:
        The place of the chosen candidate.

    Raises:
        InvalidRequestError: there are no scores, one is not finite, or the sensitivity is not
            above 0.
        BudgetError: the budget does not allow it.
    """
    values = np.asarray(scores, np.float64)
    if values.ndim != 1 or not len(values) or not np.isfinite(values).all():
        raise InvalidRequestError("the scores are none, or not all finite, expected at least one")
    if not sensitivity > 0:
        message = f"sensitivity is {sensitivity}, expected more than 0"
        raise InvalidRequestError(message)
    account.spend(
        Use(
            purpose=purpose,
            mechanism="exponential mechanism, as report-noisy-max with Gumbel noise",
            guarantee=Bounded(epsilon),
            parameters={"sensitivity": sensitivity, "candidates": len(values)},
        )
    )
    sharpness = epsilon / sensitivity if is_monotone else epsilon / (2 * sensitivity)
    noise = gumbels(len(values), randomness_of(account, seed))
    return int(np.argmax(values * sharpness + noise))


def choose_threshold_privately(  # noqa: PLR0913 - each changes what is promised
    account: Account,
    probabilities: Floats,
    is_positive: Any,
    *,
    epsilon: float,
    positive_weight: float = 1.0,
    seed: int | None = None,
) -> float:
    """Chooses from which probability on a record counts as positive.

    The score of a threshold is how many records it gets right, each positive one counted
    `positive_weight` times. It is chosen among 0.01, 0.02 ... 0.99.

    Args:
        account: What is spent from; the records must be among those it was opened for.
        probabilities: Of being positive, by a model that is private itself; one dimension.
        is_positive: Whether each record is.
        epsilon: What the choice may cost.
        positive_weight: What one positive record counts; stated, not computed from the records.
        seed: For tests: with it nothing is private.

    Returns:
        The threshold.
    """
    shares, positive = np.asarray(probabilities, np.float64), np.asarray(is_positive, bool)
    if shares.ndim != 1 or shares.shape != positive.shape:
        message = f"{shares.shape} probabilities for {positive.shape} records, expected one each"
        raise InvalidRequestError(message)
    scores = [
        positive_weight * np.count_nonzero(positive & (shares >= threshold))
        + np.count_nonzero(~positive & (shares < threshold))
        for threshold in THRESHOLDS
    ]
    place = choose_privately(
        account,
        scores,
        epsilon=epsilon,
        sensitivity=max(1.0, positive_weight),
        purpose="threshold",
        is_monotone=True,
        seed=seed,
    )
    return THRESHOLDS[place]


def randomness_of(account: Account, seed: int | None) -> Randomness:
    """The system's randomness, or that of a seed, which the account then remembers."""
    if seed is None:
        return SystemRandomness()
    account.take_seeded()
    return SeededRandomness(seed)
