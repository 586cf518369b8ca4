"""Which parts a suite has, with which servers, how often and how long.

| part | what it measures |
|---|---|
| `rounds` | single rows as JSON, 64 connections and one; the limit |
| `loads` | 1 to 256 connections, then an open loop up to overload |
| `forms` | three models as JSON, binary tensors and gRPC; the bare loop |
| `footprint` | time to ready, memory, idle processor time; drift of Shoal's memory |
| `threads` | what a request costs Shoal on one thread, and on two |
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import groupby
from typing import TYPE_CHECKING

from benchmarks.serve._footprint import drift, footprints
from benchmarks.serve._loads import forms, loads
from benchmarks.serve._material import DIGITS, MODELS
from benchmarks.serve._readings import Seen
from benchmarks.serve._rounds import Plan, choose, rounds
from benchmarks.serve._servers import PEERS, SERVERS, Server
from benchmarks.serve._threads import thread_costs

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

EVERY = ("shoal", *PEERS, "echo")


@dataclass(frozen=True)
class Suite:
    """One suite; `rounds` by part."""

    rounds: dict[str, int]
    servers: tuple[str, ...] = EVERY
    seconds: float = 5.0

    @property
    def models(self) -> tuple[str, ...]:
        """The models it needs."""
        return MODELS if "forms" in self.rounds else (DIGITS,)


SUITES = {
    "quick": Suite({"rounds": 5}, ("shoal", "mosec", "pytriton", "echo")),
    "peers": Suite({"rounds": 5}),
    "loads": Suite({"loads": 3}),
    "forms": Suite({"forms": 3}),
    "footprint": Suite({"footprint": 3}),
    "threads": Suite({"threads": 5}, ("shoal",)),
    "full": Suite({"rounds": 5, "loads": 3, "forms": 3, "footprint": 3, "threads": 5}),
}


@dataclass(frozen=True)
class Lengths:
    """What else can be shortened to try a suite."""

    idle_s: float
    drift_requests: int


def run(plan: Plan, suite: Suite, lengths: Lengths) -> Seen:
    """Chooses every peer's setting, then takes each part of the suite."""
    seen, chosen = Seen(), []
    for name in suite.servers:
        material = plan.materials[DIGITS]
        best, trials, failures = choose(plan, material, SERVERS[name](material))
        chosen += best
        seen.trials += trials
        seen.failures += failures
    for part, number in suite.rounds.items():
        PARTS[part](replace(plan, rounds=number), chosen, lengths, seen)
    return seen


def _rounds(plan: Plan, servers: Sequence[Server], _: Lengths, seen: Seen) -> None:
    for one in rounds(plan, plan.materials[DIGITS], servers):
        seen.add(one)


def _loads(plan: Plan, servers: Sequence[Server], _: Lengths, seen: Seen) -> None:
    for one in loads(plan, plan.materials[DIGITS], best_of_each(servers)):
        seen.add(one)


def _forms(plan: Plan, servers: Sequence[Server], _: Lengths, seen: Seen) -> None:
    for one in forms(plan, best_of_each(servers)):
        seen.add(one)


def _footprints(plan: Plan, servers: Sequence[Server], lengths: Lengths, seen: Seen) -> None:
    material, able = plan.materials[DIGITS], best_of_each(servers)
    for one in footprints(plan, material, able, lengths.idle_s):
        seen.add(one)
    for server in able:
        if server.name == "shoal":
            seen.add(drift(plan, material, server, lengths.drift_requests))


def _threads(plan: Plan, servers: Sequence[Server], _: Lengths, seen: Seen) -> None:
    for server in servers:
        if server.name == "shoal":
            for one in thread_costs(plan, plan.materials[DIGITS], server):
                seen.add(one)


def best_of_each(servers: Sequence[Server]) -> list[Server]:
    """Each server with its best setting, which comes first; echo is no server of models."""
    by_name = groupby(servers, key=lambda server: server.name)
    return [next(its) for name, its in by_name if name != "echo"]


PARTS: dict[str, Callable[[Plan, Sequence[Server], Lengths, Seen], None]] = {
    "rounds": _rounds,
    "loads": _loads,
    "forms": _forms,
    "footprint": _footprints,
    "threads": _threads,
}
