"""Where noise and samples come from, and how noise is added.

- The system's own source (`os.urandom`) by default: nobody can compute the noise again. A seed is
  for tests; what was made with one is marked as not private.
- A sum and its noise are rounded to one grid, a power of two far below the noise, and added
  exactly. So which numbers can come out does not depend on the records, which is what the known
  attacks on floating-point noise read. What rounding adds to the reach of a record is paid for by
  more noise.
- The noise itself is computed in doubles: on the grid its distribution is a Gaussian to about
  fifteen digits, and it ends at 9.4 standard deviations (a chance of 1e-19 for each number). It is
  not a discrete Gaussian with a proof for every bit, and how long it takes is not hidden.
- A Gaussian mechanism asks for its numbers at once, so they do not depend on how a sum was cut.

Sources: Mironov 2012, "On Significance of the Least Significant Bits for Differential Privacy";
Jin et al. 2022 (arXiv 2112.05307); Google's differential privacy team, "Secure Noise Generation",
2020, for the grid; Casacuberta et al. 2022 (arXiv 2207.10635) for the reach of rounded sums.
"""

from __future__ import annotations

import math
import os
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from collections.abc import Iterator

Floats: TypeAlias = NDArray[np.float64]
Bits: TypeAlias = NDArray[np.uint64]

_GRID_BITS = 34
"""The grid is about 2^-34 of the noise: sums below 2^19 times the noise still add exactly."""
_CHUNK = 65_536
_ALL = 2**64


class Randomness(Protocol):
    """A source of random bits."""

    name: Literal["system", "seeded"]

    def bits(self, count: int) -> Bits:
        """So many words of 64 random bits."""
        ...


class SystemRandomness:
    """The system's source of secrets."""

    name: Literal["system", "seeded"] = "system"

    def bits(self, count: int) -> Bits:
        """So many words of 64 random bits."""
        return np.frombuffer(os.urandom(8 * count), np.uint64)


class SeededRandomness:
    """Bits that a seed gives again and again: for tests."""

    name: Literal["system", "seeded"] = "seeded"

    def __init__(self, seed: int) -> None:
        self._generator = np.random.default_rng(seed)

    def bits(self, count: int) -> Bits:
        """So many words of 64 random bits."""
        return self._generator.integers(0, _ALL, size=count, dtype=np.uint64)


def sample(records: int, rate: float, randomness: Randomness) -> NDArray[np.intp]:
    """Takes each record with the same chance, on its own; often none where the chance is small.

    Args:
        records: How many records there are.
        rate: The chance of each; rounded down to a multiple of 2^-64.
        randomness: The source of bits.

    Returns:
        The places of those taken, in order.
    """
    if rate >= 1:
        return np.arange(records)
    below = np.uint64(int(rate * _ALL))
    chunks = [
        start + np.flatnonzero(randomness.bits(min(_CHUNK, records - start)) < below)
        for start in range(0, records, _CHUNK)
    ]
    return np.concatenate(chunks) if chunks else np.arange(0)


def uniforms(count: int, randomness: Randomness) -> Floats:
    """Numbers above 0 and at most 1, as fine as doubles are near 0."""
    return (randomness.bits(count).astype(np.float64) + 1.0) / _ALL


def gaussians(count: int, randomness: Randomness) -> Floats:
    """Standard normal numbers, by the transform of Box and Muller."""
    pairs = (count + 1) // 2
    radius = np.sqrt(-2.0 * np.log(uniforms(pairs, randomness)))
    angle = 2.0 * math.pi * uniforms(pairs, randomness)
    return np.concatenate([radius * np.cos(angle), radius * np.sin(angle)])[:count]


def gumbels(count: int, randomness: Randomness) -> Floats:
    """Standard Gumbel numbers: the largest of scores with them is drawn as e^score says."""
    inner = np.minimum(uniforms(count, randomness), np.nextafter(1.0, 0.0))
    return -np.log(-np.log(inner))


def noisy(
    total: Floats, *, reach: float, noise_multiplier: float, randomness: Randomness
) -> Floats:
    """Adds Gaussian noise to a sum.

    Args:
        total: The sum, one dimension.
        reach: The most that one record can change the sum, in the Euclidean norm, with what
            rounding adds while it is summed.
        noise_multiplier: The noise's standard deviation over that.
        randomness: The source of bits.

    Returns:
        Multiples of one power of two, which depends on the arguments but not on the sum.
    """
    grid = 2.0 ** (math.floor(math.log2(reach * noise_multiplier)) - _GRID_BITS)
    deviation = noise_multiplier * (reach + grid * math.sqrt(len(total)))
    noise = gaussians(len(total), randomness) * deviation
    rounded: Floats = np.rint(total / grid) * grid + np.rint(noise / grid) * grid
    return rounded


def cut(places: NDArray[np.intp], rows: int) -> Iterator[NDArray[np.intp]]:
    """Cuts what was sampled into micro-batches."""
    return (places[start : start + rows] for start in range(0, len(places), rows))
