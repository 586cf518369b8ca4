"""How much noise a training needs, and whether it can learn anything with so much.

A training is refused where its noise, summed over all steps, would be larger than the sum of the
gradients even if all of them pointed the same way with the norm they are clipped to. The epsilon
at which the two are equal is the smallest that works, and the error says it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from shoal.errors import BudgetError, InvalidRequestError
from shoal.train._private._spent import SampledGaussian, Use

if TYPE_CHECKING:
    from collections.abc import Sequence

    from shoal.train._private._account import Account

_SMALLER = 0.995


@dataclass(frozen=True)
class Steps:
    """How often a training looks at the records.

    Attributes:
        rate: The chance of each record to be in a step.
        count: How many steps.
        expected: How many records a step has in the mean.
        parameters: How many numbers are learned, and get noise, in each step.
    """

    rate: float
    count: int
    expected: float
    parameters: int

    def with_noise(self, noise_multiplier: float) -> SampledGaussian:
        """The guarantee of the training with some noise."""
        return SampledGaussian(noise_multiplier, self.rate, self.count)

    @property
    def most_noise(self) -> float:
        """The noise multiplier above which noise outweighs all that could be learned."""
        return self.expected * math.sqrt(self.count / self.parameters)


def steps_of(*, records: int, batch_records: int, epochs: float, parameters: int) -> Steps:
    """Gives the steps in which each record is expected `epochs` times.

    Raises:
        InvalidRequestError: there are no epochs, or no records in a step.
    """
    if not epochs > 0:
        raise InvalidRequestError(f"epochs is {epochs}, expected more than 0")
    if batch_records < 1:
        raise InvalidRequestError(f"batch_records is {batch_records}, expected at least 1")
    rate = min(1.0, batch_records / records)
    return Steps(rate, max(1, round(epochs / rate)), rate * records, parameters)


def spend_on_training(
    account: Account, steps: Steps, epsilon: float | None, clip_norm: float
) -> float:
    """Spends what a training costs.

    Args:
        account: What is spent from.
        steps: How often the training looks at the records.
        epsilon: At most so much for the training alone; None for all that is left.
        clip_norm: The most a gradient may have, for the record of what was spent.

    Returns:
        The noise multiplier.

    Raises:
        BudgetError: the budget, or what is left of it, is too small to learn anything.
    """
    noise = account.noise_for(sampling_rate=steps.rate, steps=steps.count, epsilon=epsilon)
    if noise is None or noise > steps.most_noise:
        raise _too_small(account, steps, epsilon)
    account.spend(
        Use(
            purpose="training",
            mechanism="DP-SGD: Gaussian noise on sums of clipped gradients of Poisson samples",
            guarantee=steps.with_noise(noise),
            parameters={
                "clip_norm": clip_norm,
                "expected_batch_records": steps.expected,
                "parameters": steps.parameters,
            },
        )
    )
    return noise


def epsilon_of_each(account: Account, fits: Sequence[Steps]) -> float | None:
    """What each of several trainings of equal steps may cost, so that all of them fit.

    Args:
        account: What is spent from.
        fits: The steps of each; they differ in their parameters only.

    Returns:
        The epsilon of each by itself; None, which is all that is left, for a single one.

    Raises:
        BudgetError: what is left is too small for so many.
    """
    if len(fits) == 1:
        return None
    largest = max(fits, key=lambda steps: steps.parameters)
    noise = account.noise_for(sampling_rate=largest.rate, steps=largest.count * len(fits))
    if noise is None or noise / _SMALLER > largest.most_noise:
        raise _too_small_for_all(account, largest, len(fits))
    each = account.alone(largest.with_noise(noise))
    # What a training costs is rounded, and so is the noise that it takes for a cost.
    while not _fit(account, largest, len(fits), each):
        each *= _SMALLER
    return each


def _fit(account: Account, steps: Steps, count: int, epsilon: float) -> bool:
    """Whether so many trainings, each of which costs so much by itself, cost no more than is left.

    Raises:
        BudgetError: no noise suffices for so little.
    """
    noise = account.noise_for(sampling_rate=steps.rate, steps=steps.count, epsilon=epsilon)
    if noise is None:
        raise _too_small_for_all(account, steps, count)
    return account.epsilon_with(*[steps.with_noise(noise)] * count) <= account.budget.epsilon


def _too_small_for_all(account: Account, steps: Steps, count: int) -> BudgetError:
    least = steps.with_noise(steps.most_noise * _SMALLER**2)
    needed = account.epsilon_with(*[least] * count)
    message = (
        f"epsilon {account.budget.epsilon:.4g} is too small to train {count} models "
        f"({steps.count} steps of {steps.expected:.0f} records each, up to {steps.parameters} "
        f"parameters), expected at least {_up(needed)}"
    )
    return BudgetError(message, hint="Compare fewer models, or take a larger epsilon.")


def _too_small(account: Account, steps: Steps, epsilon: float | None) -> BudgetError:
    least = steps.with_noise(steps.most_noise)
    settings = f"{steps.count} steps of {steps.expected:.0f} records, {steps.parameters} parameters"
    spent = account.epsilon
    if epsilon is None and spent > 0:
        message = (
            f"of epsilon {account.budget.epsilon:.4g}, {spent:.4g} is spent, and what is left is "
            f"too small for one fit ({settings}), expected a budget of at least "
            f"{_up(account.epsilon_with(least))}"
        )
        hint = "Spend less before the training, compare fewer models, or learn fewer parameters."
        return BudgetError(message, hint=hint)
    alone = account.alone(least)
    message = (
        f"epsilon {account.budget.epsilon if epsilon is None else epsilon:.4g} is too small to "
        f"train ({settings}): noise would outweigh all gradients together, expected at least "
        f"{_up(alone)}"
    )
    return BudgetError(message, hint="Take more records, fewer parameters, or a larger epsilon.")


def _up(epsilon: float) -> str:
    """Rounded up to three digits, so that what the message says does work."""
    digits = 2 - math.floor(math.log10(epsilon)) if epsilon > 0 else 0
    return f"{math.ceil(epsilon * 1.004 * 10**digits) / 10**digits:.6g}"
