"""What is measured, as values: no clock, no process, no file."""

from __future__ import annotations

import msgspec

from benchmarks.serve._bounds import Bound
from benchmarks.serve._figures import Costs, Spread, spread
from benchmarks.serve._machine import Machine, Neighbours


class Seen(msgspec.Struct, frozen=True):
    """What a load saw.

    Attributes:
        tasks: That were answered.
        seconds: In how long.
        p50_us: The median time of one call; of one with micro-batching, where `off_p50_us` is.
        off_p50_us: Of a lone caller who asks in turn with micro-batching and without: that of a
            call without it.
    """

    tasks: int
    seconds: float
    p50_us: float
    off_p50_us: float | None = None


class Turn(msgspec.Struct, frozen=True):
    """One way of asking, in one round.

    Attributes:
        way: Its title.
        round: From 1 on.
        seen: What the load saw.
        server_us_per_task: Processor time of the server, all of its threads.
        batch_rows_mean: Mean rows of a micro-batch, as the server's own metrics tell.
        others_share: How much of the machine's time others used meanwhile, from 0 to 1.
        steal_share: How much of it the machine's host gave to others.
    """

    way: str
    round: int
    seen: Seen
    server_us_per_task: float
    batch_rows_mean: float | None
    others_share: float
    steal_share: float

    @property
    def tasks_per_s(self) -> float:
        """Answers per second."""
        return self.seen.tasks / self.seen.seconds


class Kernel(msgspec.Struct, frozen=True):
    """What ONNX Runtime alone takes, on the server's core, right after a turn."""

    way: str
    round: int
    costs: Costs


class Sizes(msgspec.Struct, frozen=True):
    """Bytes of the large table on the wire, heads of HTTP included."""

    sent_bytes: int
    received_bytes: int


class Facts(msgspec.Struct, frozen=True):
    """When, where and with what a run was made."""

    date: str
    commit: str
    is_changed: bool
    machine: Machine
    neighbours: Neighbours
    versions: dict[str, str]
    rounds: int
    seconds: float


class Measured(msgspec.Struct, frozen=True):
    """Everything that a run saw."""

    turns: list[Turn]
    kernels: list[Kernel]
    sizes: dict[str, Sizes]
    """By encoding."""


class Result(msgspec.Struct, frozen=True):
    """One run."""

    facts: Facts
    measured: Measured
    bounds: list[Bound]


def by_way(turns: list[Turn]) -> dict[str, list[Turn]]:
    """The turns of each way, in the order of rounds."""
    found: dict[str, list[Turn]] = {}
    for turn in turns:
        found.setdefault(turn.way, []).append(turn)
    return found


def rates(turns: list[Turn]) -> Spread:
    """Tasks per second over the rounds."""
    return spread(turn.tasks_per_s for turn in turns)
