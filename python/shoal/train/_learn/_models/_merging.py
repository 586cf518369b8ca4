"""The weighted mean of what the shards of a step give."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    Array = NDArray[Any]


def total(parts: Iterable[Array]) -> Array:
    """The sum of arrays in their order, with what rounding drops carried along.

    Source: Neumaier 1974, "Rundungsfehleranalyse einiger Verfahren zur Summation endlicher
    Summen"; the dropped part by Knuth's TwoSum.
    """
    first, *others = parts
    found, rest = np.array(first, np.float64), np.zeros(np.shape(first))
    for part in others:
        after = found + part
        carried = after - found
        rest += (found - (after - carried)) + (part - carried)
        found = after
    return np.asarray(found + rest)


def weighted_mean(values: Iterable[Array], weights: Iterable[float]) -> Array:
    """The mean of arrays, each with its weight."""
    known = list(weights)
    products = [value * weight for value, weight in zip(values, known, strict=True)]
    return total(products) / sum(known)
