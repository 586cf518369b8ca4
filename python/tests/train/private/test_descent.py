"""Gradients, samples and noise: each is what the promise of privacy takes it for."""

from __future__ import annotations

import math
import tracemalloc
from itertools import product
from typing import TYPE_CHECKING

import numpy as np
import pytest
from scipy import stats

from shoal.train._private._descent import Descent, Records, descend, gradient_sum, reach
from shoal.train._private._network import Network
from shoal.train._private._randomness import (
    SeededRandomness,
    SystemRandomness,
    gaussians,
    gumbels,
    noisy,
    sample,
)

if TYPE_CHECKING:
    from shoal.train._private._network import Loss
    from shoal.train._private._randomness import Floats

NETWORKS = [
    Network((5, 1), "logistic"),
    Network((5, 4, 1), "logistic"),
    Network((5, 3), "softmax"),
    Network((5, 7, 6, 3), "softmax"),
    Network((5, 1), "squared"),
    Network((5, 4, 1), "squared"),
]


def some_records(network: Network, count: int) -> Records:
    draw = np.random.default_rng(3)
    rows, outputs = draw.normal(size=(count, network.widths[0])), network.widths[-1]
    if network.loss == "softmax":
        return Records(rows, np.eye(outputs)[draw.integers(0, outputs, count)])
    return Records(rows, draw.integers(0, 2, (count, 1)).astype(float))


def loss_of(loss: Loss, outputs: Floats, targets: Floats) -> float:
    if loss == "squared":
        return float(((outputs - targets) ** 2).sum() / 2)
    if loss == "logistic":
        return float((np.log1p(np.exp(-outputs)) + (1 - targets) * outputs).sum())
    return float(np.log(np.exp(outputs).sum()) - (outputs * targets).sum())


@pytest.mark.parametrize("network", NETWORKS, ids=str)
def test_a_sum_of_clipped_gradients_is_that_of_numerical_ones(network: Network) -> None:
    records = some_records(network, 20)
    parameters = np.random.default_rng(1).normal(size=network.size)
    gradients, step = np.empty((len(records), network.size)), 1e-6
    for place, number in product(range(len(records)), range(network.size)):
        either = []
        for moved in (step, -step):
            point = parameters.copy()
            point[number] += moved
            outputs = network.outputs(point, records.rows[place : place + 1])[0]
            either.append(loss_of(network.loss, outputs, records.targets[place]))
        gradients[place, number] = (either[0] - either[1]) / (2 * step)
    norms = np.linalg.norm(gradients, axis=1)
    clip = float(np.median(norms))
    expected = (gradients * np.minimum(1, clip / norms)[:, None]).sum(axis=0)
    found = network.clipped_sum(parameters, records.rows, records.targets, clip)
    assert np.abs(found - expected).max() < 1e-7


@pytest.mark.parametrize("network", NETWORKS, ids=str)
def test_the_cut_and_the_workers_do_not_change_a_sum(network: Network) -> None:
    records = some_records(network, 700)
    parameters = np.random.default_rng(1).normal(size=network.size)
    sums = [
        gradient_sum(
            network,
            parameters,
            records,
            np.arange(700),
            Descent(1, 1.0, 0.1, clip_norm=1.0, microbatch_records=size, workers=workers),
        )
        for size, workers in [(1, 1), (7, 1), (7, 3), (256, 2), (1024, 1)]
    ]
    norm = float(np.linalg.norm(sums[0]))
    assert max(float(np.linalg.norm(one - sums[0])) for one in sums) <= 1e-12 * max(norm, 1.0)
    assert np.array_equal(sums[1], sums[2])


def test_the_cut_and_the_workers_do_not_change_what_is_learned() -> None:
    network = NETWORKS[1]
    records = some_records(network, 300)
    learned = [
        descend(
            network,
            records,
            Descent(
                steps=40,
                rate=0.2,
                learning_rate=0.1,
                clip_norm=1.0,
                noise_multiplier=1.0,
                microbatch_records=size,
                workers=workers,
            ),
            SeededRandomness(5),
        )
        for size, workers in [(1024, 1), (16, 2), (3, 1)]
    ]
    assert np.abs(learned[0] - learned[1]).max() < 1e-8
    assert np.abs(learned[0] - learned[2]).max() < 1e-8


def test_no_record_reaches_farther_than_its_clip() -> None:
    network = NETWORKS[3]
    records = some_records(network, 50)
    rows = records.rows.copy()
    rows[0] *= 1e6
    parameters = np.random.default_rng(1).normal(size=network.size)
    with_it = network.clipped_sum(parameters, rows, records.targets, 0.7)
    without = network.clipped_sum(parameters, rows[1:], records.targets[1:], 0.7)
    assert np.linalg.norm(with_it - without) <= reach(0.7, 50)


def test_a_gradient_that_is_not_finite_counts_as_nothing() -> None:
    network = NETWORKS[3]
    records = some_records(network, 50)
    rows = records.rows.copy()
    rows[7] = 1e300
    parameters = np.random.default_rng(1).normal(size=network.size)
    found = network.clipped_sum(parameters, rows, records.targets, 1.0)
    others = np.arange(50) != 7
    expected = network.clipped_sum(parameters, rows[others], records.targets[others], 1.0)
    assert np.allclose(found, expected, rtol=0, atol=1e-12)


def test_samples_take_each_record_on_its_own_and_may_be_empty() -> None:
    system = SystemRandomness()
    taken = np.zeros(50)
    sizes = []
    for _ in range(4000):
        places = sample(50, 0.02, system)
        taken[places] += 1
        sizes.append(len(places))
    expected = stats.binom.pmf(np.arange(6), 50, 0.02) * 4000
    found = np.bincount(sizes, minlength=6)[:6]
    assert stats.chisquare(found, expected * found.sum() / expected.sum()).pvalue > 1e-6
    assert stats.chisquare(taken).pvalue > 1e-6
    assert len(sample(200_000, 1.0, system)) == 200_000
    assert abs(len(sample(200_000, 0.5, system)) - 100_000) < 2_000


def test_an_empty_sample_is_a_step_of_noise() -> None:
    network = NETWORKS[0]
    records = some_records(network, 5)
    descent = Descent(20, 1e-9, 0.1, clip_norm=1.0, noise_multiplier=1.0)
    assert np.all(descend(network, records, descent, SystemRandomness()) != 0)
    total = gradient_sum(network, np.zeros(network.size), records, np.arange(0), descent)
    assert np.array_equal(total, np.zeros(network.size))


def test_noise_is_gaussian() -> None:
    drawn = gaussians(400_000, SystemRandomness())
    assert stats.kstest(drawn, "norm").pvalue > 1e-6
    assert abs(stats.kurtosis(drawn)) < 0.06
    assert stats.kstest(gumbels(100_000, SystemRandomness()), "gumbel_r").pvalue > 1e-6


def test_a_noisy_sum_lies_on_a_grid_that_does_not_depend_on_the_sum() -> None:
    for total in (np.zeros(1000), np.full(1000, math.pi), np.full(1000, -12345.678901234)):
        found = noisy(total, reach=0.3, noise_multiplier=1.7, randomness=SystemRandomness())
        grid = 2.0 ** (math.floor(math.log2(0.3 * 1.7)) - 34)
        assert np.array_equal(np.rint(found / grid) * grid, found)
        noise = found - total
        assert abs(noise.std() / (0.3 * 1.7) - 1) < 0.15
        assert abs(noise.mean()) < 0.12


def test_a_seed_repeats_and_the_system_does_not() -> None:
    one, other = SeededRandomness(1), SeededRandomness(1)
    assert np.array_equal(one.bits(10), other.bits(10))
    assert not np.array_equal(SystemRandomness().bits(10), SystemRandomness().bits(10))


def test_a_sum_holds_one_microbatch_and_no_gradient_of_a_record() -> None:
    network = Network((100, 200, 2), "softmax")
    records = Records(np.ones((20_000, 100)), np.eye(2)[np.arange(20_000) % 2])
    parameters = np.random.default_rng(1).normal(size=network.size)
    places, descent = np.arange(20_000), Descent(1, 1.0, 0.1, clip_norm=1.0)
    tracemalloc.start()
    gradient_sum(network, parameters, records, places, descent)
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # The gradients of one micro-batch, record by record, would be 42 MB; of all, 3.3 GB.
    assert peak_bytes < 8_000_000
