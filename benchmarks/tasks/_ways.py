"""The ways of asking that are compared: data. Each is one turn in every round.

A way is asked for by a program: `python` and `javascript` are processes that live through the run
and are told what to do (`_load.py`, `load.mjs`); `wrk` is started for each turn.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

Part = Literal["envelope", "callers", "alone", "tables", "triton", "server"]
Asked = str | int | bool


@dataclass(frozen=True)
class Way:
    """One way of asking.

    Attributes:
        part: What it is compared within.
        name: What it is called there.
        program: Who asks.
        job: What the program is told; for wrk, `protocol` and `connections`.
    """

    part: Part
    name: str
    program: Literal["python", "javascript", "wrk"]
    job: Mapping[str, Asked] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """By which it is known everywhere."""
        return f"{self.part}: {self.name}"


def _wrk(protocol: str, connections: int) -> dict[str, Asked]:
    return {"protocol": protocol, "connections": connections}


def _callers(client: str, count: int, *, gather: bool = False) -> dict[str, Asked]:
    return {"kind": "callers", "client": client, "callers": count, "gather": gather}


MANY, SOME, LONE = 256, 64, 1
BUSY = 4
"""Envelopes in flight with which the server is never without work: what is measured is what it
does, and not how a processor goes to sleep and wakes."""
WAYS = (
    Way("envelope", "python, one envelope", "python", {"kind": "envelope"}),
    Way("envelope", "python, 64 requests at once", "python", {"kind": "requests"}),
    Way("envelope", "python, 64 requests in turn", "python", _callers("shoal", LONE)),
    Way("envelope", "wrk, one envelope", "wrk", _wrk("tasks-json-64", 1)),
    Way("envelope", "wrk, 64 requests at once", "wrk", _wrk("tasks-json-1", 64)),
    Way("envelope", "wrk, 64 requests in turn", "wrk", _wrk("tasks-json-1", 1)),
    Way("callers", "python, on", "python", _callers("shoal", MANY, gather=True)),
    Way("callers", "python, off", "python", _callers("shoal", MANY)),
    Way("callers", "javascript, on", "javascript", _callers("shoal", MANY, gather=True)),
    Way("callers", "javascript, off", "javascript", _callers("shoal", MANY)),
    Way("alone", "python, on and off", "python", {"kind": "alone"}),
    Way("alone", "javascript, on and off", "javascript", {"kind": "alone"}),
    Way("tables", "arrow", "python", {"kind": "table", "encoding": "arrow"}),
    Way("tables", "json", "python", {"kind": "table", "encoding": "json"}),
    Way("triton", "shoal, on", "python", _callers("shoal", SOME, gather=True)),
    Way("triton", "shoal, off", "python", _callers("shoal", SOME)),
    Way("triton", "shoal over gRPC, on", "python", _callers("shoal-grpc", SOME, gather=True)),
    Way("triton", "shoal over gRPC, off", "python", _callers("shoal-grpc", SOME)),
    Way("triton", "tritonclient.http.aio", "python", _callers("triton-http", SOME)),
    Way("triton", "tritonclient.grpc.aio", "python", _callers("triton-grpc", SOME)),
    Way("server", "envelope, JSON", "wrk", _wrk("tasks-json-64", 1)),
    Way("server", "envelope, protobuf", "wrk", _wrk("tasks-protobuf-64", 1)),
    Way("server", f"{BUSY} envelopes, JSON", "wrk", _wrk("tasks-json-64", BUSY)),
    Way("server", f"{BUSY} envelopes, protobuf", "wrk", _wrk("tasks-protobuf-64", BUSY)),
)
PARTS: tuple[Part, ...] = ("envelope", "callers", "alone", "tables", "triton", "server")
