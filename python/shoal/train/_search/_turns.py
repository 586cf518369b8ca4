"""Whose turn it is: which estimator is tried next, and which candidate is given up.

- The turn goes to where an improvement costs least: the time that the last improvements of an
  estimator took, and what it would take to catch up with the best, at the speed it had so far. It
  is drawn with a chance in inverse proportion to that cost, so that none is forgotten.
- A candidate is given up when, after as many folds, half of those that were tried before did
  better.

Source: Wang, Wu, Weimer, Zhu, "FLAML: A Fast and Lightweight AutoML Library", MLSys 2021, section
4.2 (estimated cost for improvement); the median stopping rule of Golovin et al., "Google Vizier",
KDD 2017, section 3.2.2.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

# So many candidates are tried on all folds before one may be given up for being behind.
WARM_UP = 5
LEAST_SECONDS = 1e-6


class Attempt(NamedTuple):
    """What a candidate of an estimator came to.

    Attributes:
        seconds: How long it took.
        loss: How far it is from perfect, at least 0; None if it was not tested on all folds.
    """

    seconds: float
    loss: float | None


def whose_turn(history: Mapping[str, Sequence[Attempt]], random: np.random.Generator) -> str | None:
    """The estimator to try next; None where none has ever been tested on all folds.

    Args:
        history: By estimator, what was tried of it, in order.
        random: What the choice is drawn from.
    """
    best = {
        name: min(each.loss for each in attempts if each.loss is not None)
        for name, attempts in history.items()
        if any(each.loss is not None for each in attempts)
    }
    if not best:
        return None
    names = list(best)
    costs = [cost_of_improving(history[name], min(best.values())) for name in names]
    chances = 1 / np.asarray(costs)
    return names[int(random.choice(len(names), p=chances / chances.sum()))]


def cost_of_improving(attempts: Sequence[Attempt], least_loss: float) -> float:
    """Seconds until an estimator may be better than the best of all.

    Args:
        attempts: What was tried of it; one at least has a loss.
        least_loss: The loss of the best of all.
    """
    spent = sum(each.seconds for each in attempts)
    found_at, found_before, loss, loss_before = _last_two_bests(attempts)
    own = max(spent - found_at, found_at - found_before, LEAST_SECONDS)
    if loss <= least_loss:
        return own
    speed = (loss_before - loss) / max(spent - found_before, LEAST_SECONDS)
    return max(own, (loss - least_loss) / max(speed, LEAST_SECONDS))


def is_behind(scores: Sequence[float], others: Sequence[Sequence[float]]) -> bool:
    """Whether half of the others did better on as many folds.

    Args:
        scores: Of the first folds; greater is better.
        others: The scores of those that were tried before.
    """
    count = len(scores)
    whole = max((len(each) for each in others), default=0)
    if sum(len(each) == whole for each in others) < WARM_UP:
        return False
    means = [float(np.mean(each[:count])) for each in others if len(each) >= count]
    return float(np.mean(scores)) < float(np.median(means))


def _last_two_bests(attempts: Sequence[Attempt]) -> tuple[float, float, float, float]:
    """When the best and the one before it were found, and their losses."""
    spent, found_at, found_before = 0.0, 0.0, 0.0
    loss = loss_before = float("inf")
    for each in attempts:
        spent += each.seconds
        if each.loss is not None and each.loss < loss:
            # Twice the first loss is taken for the one before it.
            loss_before = loss if np.isfinite(loss) else 2 * each.loss
            found_before, found_at, loss = found_at, spent, each.loss
    return found_at, found_before, loss, loss_before
