"""A membership attack: was this record among those a model was trained on?

- For each seed there are records anew, and several models, each trained on a random half of them.
  One model is attacked; the others show how sure a model is of a record that it was trained on,
  and of one that it was not. The attacker says "member" where the attacked model is nearer to the
  first.
- The advantage is the rate of members said to be members minus that of others said to be. Its
  bounds are those of Clopper and Pearson for both rates, 95 % together, over the records of all
  seeds.

Source: Carlini et al. 2022, "Membership Inference Attacks From First Principles"
(arXiv 2112.03570), with one variance for all records, so that the likelier side is the nearer one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.stats import beta

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

COLUMNS = 20


@dataclass(frozen=True)
class Advantage:
    """What an attack reaches, with bounds."""

    lower: float
    found: float
    upper: float


def records(count: int, seed: int) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Rows and classes with so much chance in them that an ordinary model learns it by heart."""
    draw = np.random.default_rng(seed)
    rows = draw.normal(size=(count, COLUMNS))
    truth = rows @ draw.normal(size=COLUMNS) / np.sqrt(COLUMNS)
    return rows.clip(-3, 3), (truth + draw.normal(size=count) > 0).astype(np.int64)


def advantage(make: Callable[[], Any], *, seeds: int, models: int, count: int) -> Advantage:
    """Attacks one model for each seed."""
    said: dict[bool, list[NDArray[np.bool_]]] = {True: [], False: []}
    for seed in range(seeds):
        is_member, guess = _attack(make, models=models, count=count, seed=seed)
        for side in (True, False):
            said[side].append(guess[is_member == side])
    hits, alarms = (np.concatenate(said[side]) for side in (True, False))
    (hit_low, hit_high), (alarm_low, alarm_high) = _interval(hits), _interval(alarms)
    return Advantage(
        lower=hit_low - alarm_high,
        found=float(hits.mean() - alarms.mean()),
        upper=hit_high - alarm_low,
    )


def _attack(
    make: Callable[[], Any], *, models: int, count: int, seed: int
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Who was in the attacked model, and who is said to have been."""
    rows, classes = records(count, seed)
    draw = np.random.default_rng(seed)
    # Of each pair of models one has a record and the other has not: all are seen on both sides.
    halves = [draw.permutation(count) < count // 2 for _ in range(models)]
    members = np.stack([side for half in halves for side in (half, ~half)])
    sure = np.stack(
        [_sureness(make().fit(rows[has], classes[has]), rows, classes) for has in members]
    )
    others, seen = members[2:], sure[2:]
    inside = np.where(others, seen, 0).sum(axis=0) / others.sum(axis=0)
    outside = np.where(~others, seen, 0).sum(axis=0) / (~others).sum(axis=0)
    return members[0], np.abs(sure[0] - inside) < np.abs(sure[0] - outside)


def _sureness(model: Any, rows: Any, classes: NDArray[np.int64]) -> NDArray[np.float64]:
    shares = model.predict_proba(rows)[np.arange(len(classes)), classes].clip(1e-9, 1 - 1e-9)
    sureness: NDArray[np.float64] = np.log(shares / (1 - shares))
    return sureness


def _interval(said: NDArray[np.bool_], outside: float = 0.0125) -> tuple[float, float]:
    """Source: Clopper and Pearson 1934."""
    yes, count = int(said.sum()), len(said)
    low = beta.ppf(outside, yes, count - yes + 1) if yes else 0.0
    high = beta.ppf(1 - outside, yes + 1, count - yes) if yes < count else 1.0
    return float(low), float(high)
