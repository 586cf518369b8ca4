"""What the suites beside the rounds measure, as values: one reading, one footprint, one failure."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias, TypeGuard

import msgspec

from benchmarks.serve._figures import MANY_CONNECTIONS, Costs, Trial, Turn, Window


class Reading(msgspec.Struct, frozen=True):
    """One server, one model, one form, one load, in one round."""

    part: Literal["loads", "forms"]
    server: str
    setting: str
    model: str
    form: str
    rows_per_request: int
    round: int
    connections: int
    offered_per_s: float | None
    """Requests due per second in an open loop; none in a closed one."""
    offered_share: float | None
    """The same as a share of what this server answered at 64 connections in this round."""
    window: Window
    batch_rows_mean: float | None = None

    @property
    def rows_per_s(self) -> float:
        """Rows answered per second."""
        return self.window.requests_per_s * self.rows_per_request


def is_capacity(one: Reading | Failed) -> TypeGuard[Reading]:
    """Whether this is what a server can do, of which an open loop offers shares."""
    if isinstance(one, Failed):
        return False
    closed = one.part == "loads" and one.form == "json" and one.offered_share is None
    return closed and one.connections == MANY_CONNECTIONS


class ModelCosts(msgspec.Struct, frozen=True):
    """What a row of a model costs without a server, in one round."""

    model: str
    round: int
    costs: Costs


class Footprint(msgspec.Struct, frozen=True):
    """What one server takes when nobody asks, in one round."""

    server: str
    setting: str
    round: int
    ready_s: float
    """From the start of its process to its first answer."""
    fresh_resident_bytes: int
    """Before any load, all processes together; so are the next two, after a load."""
    resident_bytes: int
    proportional_bytes: int
    idle_cpu_share: float
    """Of one core."""
    idle_s: float


class Drift(msgspec.Struct, frozen=True):
    """Memory of one server over many requests."""

    server: str
    requests: int
    before_bytes: int
    """Resident, after a first tenth of the requests."""
    after_bytes: int

    @property
    def share(self) -> float:
        """Growth."""
        return self.after_bytes / self.before_bytes - 1


class ThreadCost(msgspec.Struct, frozen=True):
    """What a request costs the processor on a server of so many threads, in one round."""

    round: int
    threads: int
    us_per_request: float


class Failed(msgspec.Struct, frozen=True):
    """A peer that could not be measured somewhere; it is named, and the run goes on."""

    server: str
    setting: str
    where: str
    reason: str


One: TypeAlias = Trial | Turn | Reading | ModelCosts | Footprint | Drift | ThreadCost | Failed


class Seen(msgspec.Struct):
    """All that a run has measured so far."""

    trials: list[Trial] = []
    turns: list[Turn] = []
    readings: list[Reading] = []
    model_costs: list[ModelCosts] = []
    footprints: list[Footprint] = []
    drifts: list[Drift] = []
    thread_costs: list[ThreadCost] = []
    failures: list[Failed] = []

    def add(self, one: One) -> None:
        """Puts a value where it belongs."""
        places: dict[type, list[Any]] = {
            Trial: self.trials,
            Turn: self.turns,
            Reading: self.readings,
            ModelCosts: self.model_costs,
            Footprint: self.footprints,
            Drift: self.drifts,
            ThreadCost: self.thread_costs,
            Failed: self.failures,
        }
        places[type(one)].append(one)
