"""What uses cost together, and the least noise that a cost allows.

- Two datasets are neighbours when one has one record more; all numbers hold for both directions.
- `pld` composes privacy loss distributions, rounded up: never below the exact epsilon, and above
  it by little. `rdp` composes Renyi divergences: faster and looser.
- A mechanism with an (epsilon, delta) of its own counts as the worst one that has these two: in
  `pld` by its two-point distribution, in `rdp` as epsilon^2 / 2 of zero-concentrated privacy or by
  plain addition, whichever is less; its delta is taken off the delta of all.
- The least noise is found within 0.2 % and on the safe side: the cost of the answer is allowed.

Sources: Koskela et al. 2020 (arXiv 1906.03049) and Doroshenko et al. 2022 (arXiv 2207.04380) for
`pld`; Mironov et al. 2019 (arXiv 1908.10530) for `rdp`; Bun and Steinke 2016 (arXiv 1605.02065),
Proposition 1.4. Computed by the library dp-accounting.
"""

from __future__ import annotations

import functools
import math
from typing import TYPE_CHECKING, Any

import msgspec

from shoal.errors import RequirementError
from shoal.train._private._spent import Bounded, Guarantee, SampledGaussian

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from shoal.train._private._spent import AccountantName

_LEAST_NOISE, _MOST_NOISE = 0.05, 1e4
_PRECISION = 1.002
_FINEST_LOSS, _MOST_LOSS = 1e-4, 1e5
_LOSSES = 50_000
"""About how many steps of loss lie between 0 and epsilon where epsilon is large."""
_SMALL_RATE = 0.1
_WHOLE_ORDERS = (*range(2, 65), 96, 128, 192, 256, 512, 1024)
_BROKEN_ORDERS = tuple(1 + tenths / 10 for tenths in range(1, 100) if tenths % 10)


def epsilon_of(
    guarantees: Sequence[Guarantee], delta: float, accountant: AccountantName = "pld"
) -> float:
    """Gives the epsilon of several uses together.

    Args:
        guarantees: One for each use; none costs nothing.
        delta: The chance with which epsilon may not hold.
        accountant: `pld` or `rdp`.

    Returns:
        The epsilon; infinite where the uses need more delta.

    Raises:
        RequirementError: dp-accounting is not installed.
    """
    return _epsilon(tuple(guarantees), delta, accountant)


@functools.lru_cache(maxsize=256)
def _epsilon(guarantees: tuple[Guarantee, ...], delta: float, accountant: AccountantName) -> float:
    if not guarantees:
        return 0.0
    if accountant == "rdp":
        careful = _by_divergences(guarantees, delta, _orders(guarantees))
        # The library gives 0 where a divergence is lost in rounding: nothing is known then.
        return careful if careful > 0 else math.inf
    loose = _by_divergences(guarantees, delta, _WHOLE_ORDERS)
    step = max(_FINEST_LOSS, min(loose, _MOST_LOSS) / _LOSSES)
    losses = functools.reduce(
        lambda one, other: one.compose(other), [_losses(each, step) for each in guarantees]
    )
    return float(losses.get_epsilon_for_delta(delta))


@functools.lru_cache(maxsize=64)
def least_noise(
    before: tuple[Guarantee, ...],
    training: SampledGaussian,
    delta: float,
    limit: float,
    accountant: AccountantName = "pld",
) -> float | None:
    """Finds the smallest noise multiplier with which sums, and uses before, cost at most `limit`.

    Args:
        before: The guarantees of the uses before.
        training: The sums; their own noise multiplier does not matter.
        delta: The chance with which epsilon may not hold.
        limit: The epsilon that is allowed.
        accountant: `pld` or `rdp`.

    Returns:
        The multiplier, or None where no noise of at most 10,000 suffices.
    """

    def uses(noise: float) -> list[Guarantee]:
        return [*before, msgspec.structs.replace(training, noise_multiplier=noise)]

    guess = _first(lambda noise: _by_divergences(uses(noise), delta, _WHOLE_ORDERS) <= limit, 1.0)
    return _first(
        lambda noise: epsilon_of(uses(noise), delta, accountant) <= limit,
        _MOST_NOISE if guess is None else guess,
        near=guess is not None,
    )


def _first(suffices: Callable[[float], bool], start: float, *, near: bool = False) -> float | None:
    """The first noise that suffices, found from a place that may be near.

    Goes out from there by factors and then halves what lies between; it never looks far beyond
    the answer, where sums of tiny divergences are lost in rounding.
    """
    factor = 1.1 if near else 2.0
    low = high = start
    while not suffices(high):
        low, high = high, high * factor
        if high > _MOST_NOISE:
            return None
    while low == high and low > _LEAST_NOISE:
        low = max(_LEAST_NOISE, high / factor)
        high = low if suffices(low) else high
    while high > low * _PRECISION:
        middle = math.sqrt(low * high)
        low, high = (low, middle) if suffices(middle) else (middle, high)
    return high


@functools.lru_cache(maxsize=64)
def _losses(guarantee: Guarantee, step: float) -> Any:
    """The distribution of the privacy loss of one use."""
    distributions = _library().pld.privacy_loss_distribution
    if isinstance(guarantee, Bounded):
        parameters = _library().pld.common.DifferentialPrivacyParameters(
            guarantee.epsilon, guarantee.delta
        )
        return distributions.from_privacy_parameters(parameters, value_discretization_interval=step)
    once = distributions.from_gaussian_mechanism(
        guarantee.noise_multiplier,
        sampling_prob=guarantee.sampling_rate,
        value_discretization_interval=step,
    )
    return once.self_compose(guarantee.steps)


def _by_divergences(
    guarantees: Sequence[Guarantee], delta: float, orders: Sequence[float]
) -> float:
    bounded = [each for each in guarantees if isinstance(each, Bounded)]
    left = delta - sum(each.delta for each in bounded)
    if left <= 0:
        return math.inf
    library = _library()
    accountant = library.rdp.RdpAccountant(orders)
    for each in guarantees:
        if isinstance(each, SampledGaussian):
            accountant.compose(_event(library, each), each.steps)
    added = float(accountant.get_epsilon(left)) + math.fsum(each.epsilon for each in bounded)
    for one in bounded:
        accountant.compose(library.ZCDpEvent(one.epsilon**2 / 2))
    return min(added, float(accountant.get_epsilon(left)))


def _orders(guarantees: Sequence[Guarantee]) -> Sequence[float]:
    """The orders of divergence; broken ones only where the library's series for them converges."""
    rates = [each.sampling_rate for each in guarantees if isinstance(each, SampledGaussian)]
    is_small = all(rate <= _SMALL_RATE or rate == 1 for rate in rates)
    return (*_BROKEN_ORDERS, *_WHOLE_ORDERS) if is_small else _WHOLE_ORDERS


def _event(library: Any, guarantee: SampledGaussian) -> Any:
    gaussian = library.GaussianDpEvent(guarantee.noise_multiplier)
    return library.PoissonSampledDpEvent(guarantee.sampling_rate, gaussian)


def library_name() -> str:
    """What computes the costs, with its version."""
    from importlib.metadata import version

    return f"dp-accounting {version('dp-accounting')}"


@functools.cache
def _library() -> Any:
    try:
        import dp_accounting
    except ImportError as error:
        message = "accounting for privacy needs the package dp-accounting"
        raise RequirementError(message, hint="pip install 'shoal[train]'") from error
    return dp_accounting
