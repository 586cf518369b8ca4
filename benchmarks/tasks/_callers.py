"""Who asks in Python: the client of this project and tritonclient, in one event loop.

Each client lives as long as the process, so that its connections are there before it is timed. Both
are given numpy, and both give a label that is compared.
"""

from __future__ import annotations

import asyncio
import json
import time
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.serve._protocols import MODEL
from benchmarks.tasks._figures import Seen
from benchmarks.tasks._protocols import LABEL, TASKS
from shoal.client import AsyncClient, Task

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

TABLE_MODEL = "mixed"
LIMITS = {"conn_limit": 256, "conn_timeout": 60.0}


class Place(msgspec.Struct, frozen=True):
    """Where a server is and what it is asked.

    Attributes:
        http: HOST:PORT.
        grpc: HOST:PORT.
        rows: A JSON file of `rows` and the `labels` that they get.
        mixed: A Parquet file of the large table.
    """

    http: str
    grpc: str
    rows: str
    mixed: str


class Asking(Protocol):
    """A client, asked for one label."""

    async def label(self, row: Any) -> int:
        """The label of an array of shape `[1, 64]`."""
        ...

    async def close(self) -> None:
        """Ends its connections."""
        ...


class Shoal:
    """The client of this project."""

    def __init__(self, address: str, *, gather: bool, encoding: Any = "auto") -> None:
        self.client = AsyncClient(address, gather=gather, encoding=encoding)

    async def label(self, row: Any) -> int:
        """See `Asking`."""
        answer = await self.client.predict(MODEL, {"X": row}, outputs=[LABEL])
        return int(answer[LABEL].to_numpy()[0])

    async def close(self) -> None:
        """See `Asking`."""
        await self.client.close()


class Triton:
    """`tritonclient.http.aio` or `tritonclient.grpc.aio`, with binary tensors."""

    def __init__(self, place: Place, *, is_grpc: bool) -> None:
        self.triton: Any = import_module(f"tritonclient.{'grpc' if is_grpc else 'http'}.aio")
        address, limits = (place.grpc, {}) if is_grpc else (place.http, LIMITS)
        self.client: Any = self.triton.InferenceServerClient(address, **limits)

    async def label(self, row: Any) -> int:
        """See `Asking`."""
        given = self.triton.InferInput("X", row.shape, "FP32")
        given.set_data_from_numpy(row)
        wanted = [self.triton.InferRequestedOutput(LABEL)]
        answer = await self.client.infer(MODEL, [given], outputs=wanted)
        return int(answer.as_numpy(LABEL)[0])

    async def close(self) -> None:
        """See `Asking`."""
        await self.client.close()


class Callers:
    """All that this process can be told to do."""

    def __init__(self, place: Place) -> None:
        known = json.loads(Path(place.rows).read_text())
        rows = np.asarray(known["rows"], np.float32)
        self.rows = [rows[at : at + 1] for at in range(len(rows))]
        self.labels: list[int] = known["labels"]
        self.mixed = pq.read_table(place.mixed)
        http = f"http://{place.http}"
        self.on = Shoal(http, gather=True)
        self.off = Shoal(http, gather=False)
        self.grpc = {
            gather: Shoal(f"grpc://{place.grpc}", gather=gather) for gather in (True, False)
        }
        self.triton = {name: Triton(place, is_grpc=name == "triton-grpc") for name in TRITONS}
        self.tables = {name: Shoal(http, gather=False, encoding=name) for name in ("arrow", "json")}

    async def ask(self, job: Mapping[str, Any], seconds: float) -> Seen:
        """Does a job for so long."""
        match job["kind"]:
            case "callers":
                asking = self._asking(job)
                return await _repeated(self._one(asking), job["callers"], seconds)
            case "alone":
                return await _in_turn(self._one(self.on), self._one(self.off), seconds)
            case "envelope":
                return await _repeated(self._envelope, 1, seconds, tasks=TASKS)
            case "requests":
                return await _repeated(self._requests, 1, seconds, tasks=TASKS)
            case "table":
                return await _repeated(self._table(job["encoding"]), 1, seconds)
            case other:
                raise ValueError(other)

    def _asking(self, job: Mapping[str, Any]) -> Asking:
        if job["client"] in self.triton:
            return self.triton[job["client"]]
        if job["client"] == "shoal-grpc":
            return self.grpc[job["gather"]]
        return self.on if job["gather"] else self.off

    def _one(self, asking: Asking) -> Callable[[int], Awaitable[None]]:
        async def ask(number: int) -> None:
            at = number % len(self.rows)
            _compare([await asking.label(self.rows[at])], self.labels[at : at + 1])

        return ask

    async def _envelope(self, number: int) -> None:
        places = [(number * TASKS + at) % len(self.rows) for at in range(TASKS)]
        tasks = [Task(model=MODEL, table={"X": self.rows[at]}, outputs=[LABEL]) for at in places]
        results = await self.on.client.run(tasks)
        found = [int(result.table[LABEL].to_numpy()[0]) for result in results]
        _compare(found, [self.labels[at] for at in places])

    async def _requests(self, number: int) -> None:
        places = [(number * TASKS + at) % len(self.rows) for at in range(TASKS)]
        found = await asyncio.gather(*(self.off.label(self.rows[at]) for at in places))
        _compare(found, [self.labels[at] for at in places])

    def _table(self, encoding: str) -> Callable[[int], Awaitable[None]]:
        client = self.tables[encoding].client

        async def ask(_: int) -> None:
            answer: pa.Table = (await client.predict(TABLE_MODEL, self.mixed)).to_arrow()
            _compare([answer.num_rows], [self.mixed.num_rows])

        return ask

    async def close(self) -> None:
        """Ends all connections."""
        asked: list[Asking] = [self.on, self.off, *self.grpc.values()]
        asked += [*self.triton.values(), *self.tables.values()]
        for each in asked:
            await each.close()


TRITONS = ("triton-http", "triton-grpc")


def _compare(found: list[int], expected: list[int]) -> None:
    if found != expected:
        raise ValueError(f"answered {found}, expected {expected}")


async def _repeated(
    ask: Callable[[int], Awaitable[None]], callers: int, seconds: float, *, tasks: int = 1
) -> Seen:
    """Each caller asks again as soon as it was answered, and once at least."""
    took_s: list[float] = []
    start = time.perf_counter()

    async def caller(number: int) -> None:
        begun = start
        while begun < start + seconds or number < callers:
            await ask(number)
            ended = time.perf_counter()
            took_s.append(ended - begun)
            begun, number = ended, number + callers

    async with asyncio.TaskGroup() as group:
        for number in range(callers):
            group.create_task(caller(number))
    took = time.perf_counter() - start
    return Seen(len(took_s) * tasks, took, float(np.median(took_s)) * 1e6)


async def _in_turn(
    on: Callable[[int], Awaitable[None]], off: Callable[[int], Awaitable[None]], seconds: float
) -> Seen:
    """One caller asks in one way and the other; which of both is first changes every time."""
    on_s: list[float] = []
    off_s: list[float] = []
    number, start = 0, time.perf_counter()
    ended = start
    while ended < start + seconds:
        both = ((on, on_s), (off, off_s))
        for ask, took_s in both[:: -1 if number % 2 else 1]:
            begun = time.perf_counter()
            await ask(number)
            ended = time.perf_counter()
            took_s.append(ended - begun)
        number += 1
    on_us, off_us = (float(np.median(took_s)) * 1e6 for took_s in (on_s, off_s))
    return Seen(2 * number, ended - start, on_us, off_us)
