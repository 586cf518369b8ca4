"""The accountant against what others have published.

Each table says how far a published number may be off: by half of its last digit where it was
rounded, or by what its own method leaves open.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import dp_accounting
import pytest

from shoal.train._private._accountant import epsilon_of, least_noise
from shoal.train._private._spent import Bounded, SampledGaussian

if TYPE_CHECKING:
    from shoal.train._private._spent import AccountantName

MNIST_RATE = 256 / 60_000


def classic_epsilon(gaussian: SampledGaussian, delta: float) -> float:
    """Renyi divergences become (epsilon, delta) as the publications of 2016 to 2019 did it.

    Source: Mironov 2017 (arXiv 1702.07476), Proposition 3. Newer conversions give less.
    """
    orders = [1 + tenths / 10 for tenths in range(1, 100)] + list(range(12, 64))
    accountant = dp_accounting.rdp.RdpAccountant(orders)
    once = dp_accounting.GaussianDpEvent(gaussian.noise_multiplier)
    accountant.compose(
        dp_accounting.PoissonSampledDpEvent(gaussian.sampling_rate, once), gaussian.steps
    )
    divergences = zip(accountant._orders, accountant._rdp, strict=True)
    return min(float(rdp - math.log(delta) / (order - 1)) for order, rdp in divergences)


@pytest.mark.parametrize(
    ("noise", "epochs", "published"), [(1.3, 15, 1.19), (1.1, 60, 3.01), (0.7, 45, 7.10)]
)
def test_the_table_of_the_tutorial_of_tensorflow_privacy(
    noise: float, epochs: int, published: float
) -> None:
    """MNIST, 60,000 records, batches of 256, delta 1e-5; rounded to two digits.

    Source: tensorflow/privacy, tutorials/README.md of 2019, "Select Parameters".
    """
    training = SampledGaussian(noise, MNIST_RATE, epochs * 60_000 // 256)
    assert classic_epsilon(training, 1e-5) == pytest.approx(published, abs=0.005)
    ours = [epsilon_of([training], 1e-5, accountant) for accountant in ("pld", "rdp")]
    assert ours[0] < ours[1] < published


def test_the_number_of_the_paper_that_introduced_dp_sgd() -> None:
    """Rate 0.01, noise 4, delta 1e-5, 10,000 steps: (1.26, 1e-5); rounded to two digits.

    Source: Abadi et al. 2016 (arXiv 1607.00133), section 3.2.
    """
    training = SampledGaussian(4.0, 0.01, 10_000)
    assert classic_epsilon(training, 1e-5) == pytest.approx(1.26, abs=0.005)
    assert epsilon_of([training], 1e-5, "rdp") < 1.26


@pytest.mark.parametrize(
    ("training", "delta", "published"),
    [
        (SampledGaussian(1.3, 150 / 60_000, 15 * 400), 1e-5, 0.7242234026109595),
        (SampledGaussian(1.0, 100 / 100_000, 30 * 1000), 1e-7, 1.4154988495444845),
    ],
)
def test_the_values_of_compute_dp_sgd_privacy(
    training: SampledGaussian, delta: float, published: float
) -> None:
    """Renyi divergences with the conversion of today; the source compares seven places.

    15 epochs of 60,000 records in batches of 150, and 30 of 100,000 in batches of 100.

    Source: tensorflow/privacy, privacy/analysis/compute_dp_sgd_privacy_test.py.
    """
    assert epsilon_of([training], delta, "rdp") == pytest.approx(published, abs=5e-8)


def test_the_values_of_the_fourier_accountant() -> None:
    """Rate 0.01, noise 4, 10,000 steps: delta 4.2434840e-06 at epsilon 1, one record more or less.

    Both are numerical bounds of one exact number. Ours rounds privacy losses up, so it may not be
    below; above, it stays within what 0.1 % of epsilon changes.

    Source: DPBayes/PLD-Accountant, README.md with `ncomp = 1e4`, `get_delta_R`; the method is
    Koskela et al. 2020 (arXiv 1906.03049).
    """
    published_delta = 4.243484012034273e-06
    training = SampledGaussian(4.0, 0.01, 10_000)
    assert 1.0 <= epsilon_of([training], published_delta) <= 1.001


def test_the_gaussian_mechanism_agrees_with_its_formula() -> None:
    """Source: Balle and Wang 2018 (arXiv 1805.06530), Theorem 8."""
    for noise in (0.7, 1.0, 5.0):
        exact = dp_accounting.get_epsilon_gaussian(noise, 1e-6)
        assert exact <= epsilon_of([SampledGaussian(noise)], 1e-6) <= exact * 1.001


def test_the_two_accountants_are_in_order_and_uses_add_up() -> None:
    training, choice = SampledGaussian(2.0, 0.05, 500), Bounded(0.25)
    alone = epsilon_of([training], 1e-5)
    both = epsilon_of([training, choice], 1e-5)
    assert alone < both <= alone + 0.25
    assert both <= epsilon_of([training, choice], 1e-5, "rdp")
    assert epsilon_of([choice], 1e-5) == pytest.approx(0.25, abs=1e-3)
    assert epsilon_of([], 1e-5) == 0.0


def test_a_delta_of_its_own_is_taken_off() -> None:
    assert epsilon_of([Bounded(0.1, 1e-5)], 1e-6) == math.inf
    assert epsilon_of([Bounded(0.1, 1e-5)], 1e-6, "rdp") == math.inf
    assert epsilon_of([Bounded(0.1, 1e-7)], 1e-6) <= 0.101


@pytest.mark.parametrize("accountant", ["pld", "rdp"])
@pytest.mark.parametrize("limit", [0.3, 3.0, 50.0])
def test_the_least_noise_is_allowed_and_hardly_more(limit: float, accountant: str) -> None:
    name: AccountantName = "pld" if accountant == "pld" else "rdp"
    noise = least_noise((), SampledGaussian(1.0, 0.1, 200), 1e-5, limit, name)
    assert noise is not None
    assert epsilon_of([SampledGaussian(noise, 0.1, 200)], 1e-5, name) <= limit
    assert epsilon_of([SampledGaussian(noise / 1.003, 0.1, 200)], 1e-5, name) > limit


def test_no_noise_suffices_for_next_to_nothing() -> None:
    assert least_noise((), SampledGaussian(1.0, 1.0, 10**6), 1e-9, 1e-3) is None
