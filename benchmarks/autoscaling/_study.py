"""The plays: each model under each load shape, by each scaler; and what follows for the default."""

from __future__ import annotations

import json
import subprocess
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import msgspec

from benchmarks.autoscaling._profiles import MAX_ROWS, Profile
from benchmarks.autoscaling._shapes import USED, Shape

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

QUEUE_WAIT_TARGET = 0.4
"""The default: the mean wait of the first request of a micro-batch, in micro-batches of one row."""

BEHAVIOUR: dict[str, Any] = {
    "up": {"percent": 100.0, "replicas": 1, "period_s": 60.0},
    "down": {"percent": 10.0, "replicas": 1, "period_s": 60.0},
    "down_window_s": 300.0,
}
"""The same: at most twice as many within a minute, at most a tenth fewer, or one."""

WAITS = (0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0)
CPUS = (0.5, 0.6, 0.7, 0.8)
LEAST, MOST = 2, 40
START_MS = (10_000.0, 20_000.0)
LATENCY_TARGET_ROWS = 10.0
"""An answer is late that takes longer than so many micro-batches of one row."""
JUDGED = ("day", "steps")
LATE_SHARE = 0.01
"""The target is for the 99th percentile."""


class Scaler(msgspec.Struct, frozen=True):
    """By what replicas are scaled, and how fast."""

    kind: str
    """`cpu`, `queue wait` or `fixed`."""
    target: float
    behaviour: str = "shoal"
    """`shoal`, or `kubernetes`: what it does where nothing is said."""

    @property
    def name(self) -> str:
        """What a table calls it."""
        if self.kind == "fixed":
            return "as many as the peak needs"
        words = f"CPU {self.target:.0%}" if self.kind == "cpu" else f"queue wait {self.target:g}"
        return words if self.is_usual else f"{words}, {self.behaviour}'s pace"

    @property
    def is_usual(self) -> bool:
        """Whether it scales as fast as such scalers usually do."""
        return self.behaviour == ("kubernetes" if self.kind == "cpu" else "shoal")


class Minute(msgspec.Struct, frozen=True):
    """One minute of a play."""

    at_s: float
    requests: int
    ready: int
    p99_ms: float


class Report(msgspec.Struct, frozen=True):
    """What the simulator says of a play."""

    requests: int
    answered: int
    refused: int
    late: int
    p50_ms: float
    p99_ms: float
    replica_hours: float
    most_replicas: int
    changes: int
    minutes: list[Minute]


class Outcome(msgspec.Struct, frozen=True):
    """One play, in figures that can be compared."""

    model: str
    shape: str
    scaler: Scaler
    requests: int
    replica_hours: float
    p50_ms: float
    p99_ms: float
    latency_target_ms: float
    late_share: float
    """Of all requests: answered after the latency target, or refused."""
    most_replicas: int
    changes: int


class Play(msgspec.Struct, frozen=True):
    """One load on one model, by one scaler."""

    profile: Profile
    shape: Shape
    scaler: Scaler

    @property
    def latency_target_ms(self) -> float:
        """What answers are held against."""
        return LATENCY_TARGET_ROWS * self.profile.one_row_ms

    def fleet(self) -> dict[str, Any]:
        """What the simulator takes."""
        per_load = USED * self.profile.capacity_per_ms
        peak = max(LEAST, -int(-max(self.shape.levels) // 1))
        is_fixed = self.scaler.kind == "fixed"
        fleet = {
            "per_ms": [per_load * level for level in self.shape.levels],
            "span_ms": self.shape.span_ms,
            "service": {"table": self.profile.sizes},
            "max_rows": MAX_ROWS,
            "request_ms": self.profile.request_ms,
            "latency_target_ms": self.latency_target_ms,
            "start_ms": START_MS,
            "replicas": [peak, peak] if is_fixed else [LEAST, MOST],
            "scaler": _scaler(self.scaler),
            "seed": 1,
        }
        return fleet | ({"behaviour": BEHAVIOUR} if self.scaler.behaviour == "shoal" else {})


def _scaler(scaler: Scaler) -> Any:
    match scaler.kind:
        case "cpu":
            return {"cpu": {"utilisation": scaler.target}}
        case "queue wait":
            return {"queue_wait": {"of_one_row": scaler.target}}
        case _:
            return "fixed"


def scalers() -> list[Scaler]:
    """All that are compared."""
    return [
        Scaler("fixed", 0.0),
        *(Scaler("cpu", target, "kubernetes") for target in CPUS),
        *(Scaler("queue wait", target) for target in WAITS),
        Scaler("cpu", 0.7, "shoal"),
        Scaler("queue wait", QUEUE_WAIT_TARGET, "kubernetes"),
    ]


def play(program: Path, plays: Sequence[Play], workers: int) -> list[Report]:
    """Plays in order, so many at once."""
    with ThreadPoolExecutor(workers) as pool:
        return list(pool.map(lambda one: _played(program, one), plays))


def _played(program: Path, one: Play) -> Report:
    line = json.dumps(one.fleet())
    done = subprocess.run(
        [program, "fleet"], input=line, capture_output=True, text=True, check=True
    )
    return msgspec.json.decode(done.stdout, type=Report)


def outcome(one: Play, report: Report) -> Outcome:
    """What is kept of a play."""
    return Outcome(
        model=one.profile.model,
        shape=one.shape.name,
        scaler=one.scaler,
        requests=report.requests,
        replica_hours=report.replica_hours,
        p50_ms=report.p50_ms,
        p99_ms=report.p99_ms,
        latency_target_ms=one.latency_target_ms,
        late_share=(report.late + report.refused) / max(report.requests, 1),
        most_replicas=report.most_replicas,
        changes=report.changes,
    )


def best_target(outcomes: Iterable[Outcome]) -> float | None:
    """The queue wait that follows: the highest with which no model is late over a day, or steps.

    Bursts do not count: they are over before any autoscaler has an answer.
    """
    waits = [each for each in outcomes if each.scaler.kind == "queue wait"]
    judged = [each for each in waits if each.shape in JUDGED and each.scaler.is_usual]
    targets = sorted({each.scaler.target for each in judged})
    good = [target for target in targets if not _is_late(judged, target)]
    return max(good, default=None)


def _is_late(judged: Sequence[Outcome], target: float) -> bool:
    return any(each.late_share > LATE_SHARE for each in judged if each.scaler.target == target)
