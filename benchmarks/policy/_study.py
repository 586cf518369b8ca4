"""Shoal's policy against every fixed delay at equal goodput, case by case.

A closed loop that is answered sooner asks sooner, so a better policy carries a higher rate, and the
strangers beside it queue for longer. Latencies are comparable at the same goodput only: for every
fixed delay, the closed clients of Shoal are slowed down or sped up until its goodput is that of the
fixed delay, and then the latencies are compared. The worst of all delays counts: it is the
comparison with the delay that would have been best for this very load, which nobody knows
beforehand.
"""

from __future__ import annotations

import itertools
import json
import subprocess
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import msgspec

from benchmarks.policy._cases import Case, play

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

DELAYS = (0.0, 0.02, 0.05, 0.1, 0.2, 0.35, 0.5, 1.0, 2.0)
"""Fixed delays that are tried, as shares of what a call costs at the least."""

PACES = (0.02, 0.05, 0.1, 0.2, 0.35, 0.5, 0.7, 0.85, 1.0, 1.2, 1.5, 2.0, 3.0, 5.0, 9.0, 16.0, 30.0)
"""How many times as slow the closed clients are made in search of an equal goodput."""

SAME_GOODPUT = 0.01

SHOAL: dict[str, Any] = {"shoal": {"warm": True}}


class Point(msgspec.Struct, frozen=True):
    """What came of one play."""

    goodput: float
    mean_ms: float
    p99_ms: float


class Verdict(msgspec.Struct, frozen=True):
    """One case: Shoal's latency over that of the best fixed delay, at that delay's goodput."""

    kind: str
    cost: str
    name: str
    mean: float
    mean_delay: float
    p99: float
    p99_delay: float
    rate: float
    """Shoal's goodput with the clients as they are, over that of the best delay for the mean."""
    eager_mean: float
    """The same for taking all that waits at once."""


def run(program: Path, plays: Sequence[dict[str, Any]]) -> list[Point]:
    """Plays in order, on one core."""
    lines = "".join(json.dumps(each) + "\n" for each in plays)
    done = subprocess.run([program], input=lines, capture_output=True, text=True, check=True)
    reports = [json.loads(line)["all"] for line in done.stdout.splitlines()]
    return [Point(each["goodput_rows_per_ms"], each["mean_ms"], each["p99_ms"]) for each in reports]


def study(program: Path, cases: Sequence[Case], workers: int) -> list[Verdict]:
    """A verdict for each case, in order."""
    with ThreadPoolExecutor(workers) as pool:
        return list(pool.map(lambda case: judge(program, case), cases))


def judge(program: Path, case: Case) -> Verdict:
    """Plays one case with every delay, and with Shoal at every pace."""
    rivals = [
        {"delay_ms": delay * case.fixed_ms, "mixes": mixes}
        # Records of different lengths go apart, or together at the price of the longest.
        for mixes in ((False, True) if case.lengths else (False,))
        for delay in DELAYS
    ]
    delays = [float(rival["delay_ms"]) for rival in rivals]
    # A server does not know before the first request what a record of variable length costs.
    shoal = SHOAL if case.lengths is None else {"shoal": {"warm": False}}
    paces = PACES if case.clients else (1.0,)
    plays = [play(case, {"fixed_delay": rival}) for rival in rivals]
    plays += [play(case, shoal, slower) for slower in paces]
    plays += [play(case, shoal)]
    points = run(program, plays)
    fixed, ours, at_own_pace = points[: len(delays)], points[len(delays) : -1], points[-1]
    return verdict(case, delays, fixed, (ours, at_own_pace))


def verdict(
    case: Case, delays: Sequence[float], fixed: Sequence[Point], ours: tuple[list[Point], Point]
) -> Verdict:
    """The worst comparison over all delays, for the mean and for the 99th percentile."""
    paced, own = ours
    matched = [own if is_equal(own, point) else at_goodput(paced, point.goodput) for point in fixed]
    means = [mine.mean_ms / point.mean_ms for mine, point in zip(matched, fixed, strict=True)]
    tails = [mine.p99_ms / point.p99_ms for mine, point in zip(matched, fixed, strict=True)]
    mean, tail = means.index(max(means)), tails.index(max(tails))
    return Verdict(
        kind=case.kind,
        cost=case.cost,
        name=case.name,
        mean=means[mean],
        mean_delay=delays[mean],
        p99=tails[tail],
        p99_delay=delays[tail],
        rate=own.goodput / fixed[mean].goodput,
        eager_mean=fixed[0].mean_ms / min(point.mean_ms for point in fixed),
    )


def is_equal(own: Point, other: Point) -> bool:
    """Whether two goodputs are the same already: near saturation, pace hardly moves them."""
    return abs(own.goodput / other.goodput - 1.0) <= SAME_GOODPUT


def at_goodput(points: Sequence[Point], goodput: float) -> Point:
    """Between the two plays whose goodputs are around this one; the nearest beyond the ends."""
    ordered = sorted(points, key=lambda point: point.goodput)
    for below, above in itertools.pairwise(ordered):
        if below.goodput <= goodput <= above.goodput:
            share = (goodput - below.goodput) / ((above.goodput - below.goodput) or 1.0)
            return Point(
                goodput,
                below.mean_ms + share * (above.mean_ms - below.mean_ms),
                below.p99_ms + share * (above.p99_ms - below.p99_ms),
            )
    return ordered[0] if goodput < ordered[0].goodput else ordered[-1]
