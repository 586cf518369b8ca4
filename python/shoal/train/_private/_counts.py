"""Counts of records with noise, each record in one cell: confusion matrices, histograms.

- The noise of a cell is a discrete Laplace number, drawn from whole random numbers only: its
  distribution is exact, and no floating-point number is in it that could tell more.
- A record changes one count by one, so all cells together cost what one costs.
- Counts may come out below 0: cutting them there would shift every sum. That they are of so many
  records is public, so `settled` may move them to the nearest ones that can be.

Sources: Canonne, Kamath, Steinke 2020, "The Discrete Gaussian for Differential Privacy" (arXiv
2004.00010), algorithms 1 and 2; Duchi et al. 2008, "Efficient Projections onto the l1-Ball for
Learning in High Dimensions", figure 1, for `settled`.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from shoal.errors import BudgetError
from shoal.train._private._choice import randomness_of
from shoal.train._private._spent import Bounded, Use

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from shoal.train._private._account import Account
    from shoal.train._private._randomness import Floats, Randomness

    Integers = NDArray[np.int64]

PARTS_OF_EPSILON = 1024
"""An epsilon of counts is a multiple of one over this, so that whole numbers suffice."""
_WORDS = 256
_WORD_BITS = 64


def private_counts(
    account: Account,
    counts: Any,
    *,
    epsilon: float | None = None,
    purpose: str = "counts",
    seed: int | None = None,
) -> tuple[Integers, float]:
    """Gives counts with noise.

    Args:
        account: What is spent from.
        counts: Whole numbers of any shape; each record is counted in one of them at most.
        epsilon: What they may cost, rounded down to 1/1024; None for all that is left.
        purpose: What for, in the record of what was spent.
        seed: For tests: with it nothing is private.

    Returns:
        Counts of the same shape, and the epsilon that they cost by themselves.

    Raises:
        BudgetError: the budget does not allow it.
    """
    exact = np.asarray(counts, np.int64)
    steps = _steps_left(account) if epsilon is None else math.floor(epsilon * PARTS_OF_EPSILON)
    if steps < 1:
        limit = account.budget.epsilon if epsilon is None else epsilon
        message = f"of epsilon {limit:.4g}, less than 1/{PARTS_OF_EPSILON} is left for {purpose}"
        raise BudgetError(message, hint="Spend less before, or take a larger epsilon.")
    cost = steps / PARTS_OF_EPSILON
    account.spend(
        Use(
            purpose=purpose,
            mechanism="discrete Laplace noise on counts, each record in one of them",
            guarantee=Bounded(cost),
            parameters={"cells": exact.size, "sensitivity": 1},
        )
    )
    draw = _Draw(randomness_of(account, seed))
    noise = [draw.laplace(steps) for _ in range(exact.size)]
    return exact + np.asarray(noise, np.int64).reshape(exact.shape), cost


def settled(counts: Any, records: int) -> Floats:
    """The nearest counts that can be: none below 0, and as many together as there are records.

    Args:
        counts: (..., cells) counts with noise.
        records: How many records were counted.
    """
    values = np.asarray(counts, np.float64)
    ordered = -np.sort(-values, axis=-1)
    surplus = (np.cumsum(ordered, axis=-1) - records) / np.arange(1, values.shape[-1] + 1)
    kept = (ordered > surplus).sum(axis=-1, keepdims=True)
    moved: Floats = np.maximum(values - np.take_along_axis(surplus, kept - 1, axis=-1), 0.0)
    return moved


def laplaces(epsilon: float, shape: tuple[int, ...], generator: np.random.Generator) -> Floats:
    """Noise as `private_counts` adds it, for simulations: it protects nobody."""
    chance = -math.expm1(-epsilon)
    return (generator.geometric(chance, shape) - generator.geometric(chance, shape)).astype(
        np.float64
    )


def noise_variance(epsilon: float) -> float:
    """Of the noise of one count."""
    return 2 * math.exp(-epsilon) / math.expm1(-epsilon) ** 2


def _steps_left(account: Account) -> int:
    """The largest epsilon that the account allows, in parts of 1/1024."""
    low, high = 0, math.floor(account.budget.epsilon * PARTS_OF_EPSILON)
    while low < high:
        middle = (low + high + 1) // 2
        suffices = account.epsilon_with(Bounded(middle / PARTS_OF_EPSILON))
        if suffices <= account.budget.epsilon:
            low = middle
        else:
            high = middle - 1
    return low


class _Draw:
    """Exact draws from whole random numbers."""

    def __init__(self, randomness: Randomness) -> None:
        self._randomness = randomness
        self._words: list[int] = []

    def laplace(self, steps: int) -> int:
        """A whole number z with chance proportional to e^(-|z| epsilon), epsilon steps / 1024."""
        while True:
            below = self._below(PARTS_OF_EPSILON)
            if not self._happens(below, PARTS_OF_EPSILON):
                continue
            rounds = 0
            while self._happens(1, 1):
                rounds += 1
            size = (below + PARTS_OF_EPSILON * rounds) // steps
            is_negative = self._below(2) == 1
            if size or not is_negative:
                return -size if is_negative else size

    def _happens(self, numerator: int, denominator: int) -> bool:
        """Happens with chance e^(-numerator / denominator); the exponent is 0 to -1."""
        turn = 1
        while self._below(denominator * turn) < numerator:
            turn += 1
        return turn % 2 == 1

    def _below(self, limit: int) -> int:
        """A whole number from 0 to below a limit, each as likely."""
        bits = (limit - 1).bit_length()
        while True:
            if not self._words:
                self._words = self._randomness.bits(_WORDS).tolist()
            found = self._words.pop() >> (_WORD_BITS - bits)
            if found < limit:
                return found
