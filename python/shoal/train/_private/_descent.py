"""Stochastic gradient descent over Poisson samples: private, or the same without noise.

- A step takes each record with the same chance, sums the gradients, each clipped, adds noise, and
  divides by the number of records that is expected. A sample may be empty; the step is still made.
- The sum does not depend on the size of micro-batches or on the number of workers: micro-batches
  are added in order with their rounding carried along, so two cuts agree within 1e-12 of the sum's
  norm, or of the clip where that is larger.
- Momentum, weight decay and the learning rate only see noisy sums.
- One step holds one micro-batch for each worker, some sums, and the places of its sample.

Source: Abadi et al. 2016, "Deep Learning with Differential Privacy" (arXiv 1607.00133).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np

from shoal import batch
from shoal.train._private._randomness import cut, gaussians, noisy, sample

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from shoal.train._private._network import Network
    from shoal.train._private._randomness import Floats, Randomness

Clipping: TypeAlias = Literal["record", "sum"]
MOST_ROWS = 1024
"""Of a micro-batch. Summing more at once would round more than the noise pays for."""
_ROUNDED = 1e-9
"""By how much a computed norm may be off, relative to it; far above what doubles do."""


@dataclass(frozen=True)
class Descent:
    """How parameters are learned.

    Attributes:
        steps: How many.
        rate: The chance of each record to be in the sample of a step.
        learning_rate: How far a step goes along the mean gradient.
        momentum: How much of the last step is in the next.
        decay: The share of the parameters that is added to the gradient.
        clip_norm: The most that a gradient may have; None for no clipping.
        clipping: Whether the gradient of each record is clipped, or the mean of a sample.
        noise_multiplier: Standard deviation of the noise over `clip_norm`; None for no noise.
        microbatch_records: How many records are worked at once; at most 1024.
        workers: How many micro-batches are worked at a time.
    """

    steps: int
    rate: float
    learning_rate: float
    momentum: float = 0.0
    decay: float = 0.0
    clip_norm: float | None = None
    clipping: Clipping = "record"
    noise_multiplier: float | None = None
    microbatch_records: int = 256
    workers: int = 1


@dataclass(frozen=True)
class Records:
    """What is learned from: rows (records, inputs) and targets (records, outputs)."""

    rows: Floats
    targets: Floats

    def __len__(self) -> int:
        return len(self.rows)


def start(network: Network, randomness: Randomness) -> Floats:
    """Parameters before the first step: zeros in the last layer, else random as He et al. have it.

    Source: He et al. 2015, "Delving Deep into Rectifiers" (arXiv 1502.01852), equation 10.
    """
    parameters = np.zeros(network.size)
    for weights, _ in network.layers(parameters)[:-1]:
        scale = math.sqrt(2.0 / len(weights))
        weights[:] = gaussians(weights.size, randomness).reshape(weights.shape) * scale
    return parameters


def descend(network: Network, records: Records, descent: Descent, randomness: Randomness) -> Floats:
    """Learns the parameters of a network.

    Args:
        network: Its form.
        records: What it learns from.
        descent: How.
        randomness: Where the start, the samples and the noise come from.

    Returns:
        The parameters after the last step.
    """
    parameters = start(network, randomness)
    velocity = np.zeros(network.size)
    expected = descent.rate * len(records)
    for _ in range(descent.steps):
        places = sample(len(records), descent.rate, randomness)
        total = gradient_sum(network, parameters, records, places, descent)
        if descent.noise_multiplier is not None and descent.clip_norm is not None:
            total = noisy(
                total,
                reach=reach(descent.clip_norm, len(records)),
                noise_multiplier=descent.noise_multiplier,
                randomness=randomness,
            )
        gradient = _clipped(total / expected, descent) + descent.decay * parameters
        velocity = descent.momentum * velocity + gradient
        parameters = parameters - descent.learning_rate * velocity
    return parameters


def gradient_sum(
    network: Network,
    parameters: Floats,
    records: Records,
    places: NDArray[np.intp],
    descent: Descent,
) -> Floats:
    """The sum of the gradients of the records at some places, clipped as the descent says."""
    clip = descent.clip_norm if descent.clipping == "record" else None

    def work(part: NDArray[np.intp]) -> Floats:
        return network.clipped_sum(parameters, records.rows[part], records.targets[part], clip)

    total, rest = np.zeros(network.size), np.zeros(network.size)
    parts = cut(places, descent.microbatch_records)
    for summed in batch.process(parts, work, workers=batch.threads(descent.workers)):
        after = total + summed
        carried = after - total
        rest += (total - (after - carried)) + (summed - carried)
        total = after
    return total + rest


def reach(clip_norm: float, records: int) -> float:
    """The most that one record changes a computed sum: its clip, and all that is rounded.

    A micro-batch of m rows is summed with an error of at most m units of rounding for each row,
    and a neighbour may be cut into micro-batches at other places.
    """
    summing = 2 * (MOST_ROWS + 2) * 2.0**-53 * records
    return clip_norm * (1.0 + _ROUNDED + summing)


def _clipped(gradient: Floats, descent: Descent) -> Floats:
    if descent.clipping != "sum" or descent.clip_norm is None:
        return gradient
    norm = float(np.linalg.norm(gradient))
    return gradient if norm <= descent.clip_norm else gradient * (descent.clip_norm / norm)
