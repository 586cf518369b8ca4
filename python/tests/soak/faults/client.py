"""A process of clients: `python -m tests.soak.faults.client HTTP GRPC SEED`.

It says `ready` on stdout, then obeys lines of JSON on stdin, and answers each with one:
`{"seconds": s}` asks as fast as answers come (a closed loop) and tells how many came per second;
`{"seconds": s, "rate": r, "fault_rate": f, "rare_rate": g}` offers r requests per second, f faults
and g rare ones, at times that do not depend on the answers (an open loop, Poisson; what is rare
comes at less random times, so that it comes). `"end"` tells all that was seen.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
import time
from typing import TYPE_CHECKING, Any

from tests.soak.faults.asking import FORMS, Asker
from tests.soak.faults.ledger import Ledger
from tests.soak.faults.mischief import Mischief
from tests.soak.faults.questions import prepared

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

AT_ONCE = 32
SHARES = {"digits": 0.7, "switched": 0.1, "pure": 0.1, "careful": 0.1}
MOST_UNDER_WAY = 1500  # more are not sent: the machine is too busy


class Clients:
    """The clients of one process, on one event loop."""

    def __init__(self, http: str, grpc: str, seed: int) -> None:
        self._random = random.Random(seed)
        self._ledger = Ledger(str(seed))
        self._questions = prepared(self._random)
        self._asker = Asker(http, grpc, self._ledger)
        self._mischief = Mischief(self._asker, self._questions, self._random, turn=seed % 2)
        self._under_way: set[asyncio.Task[None]] = set()

    async def _ask_any(self) -> None:
        model = self._random.choices(list(SHARES), list(SHARES.values()))[0]
        question = self._random.choice(self._questions[model])
        await self._asker.ask(question, self._random.choice(FORMS))

    async def capacity_per_s(self, seconds: float) -> float:
        """Answers per second of clients that ask again as soon as they are answered.

        Each request costs what it costs in the open loop: a task, and a turn of the clock.
        """
        begun = time.monotonic()
        counts = await asyncio.gather(*(self._ask_until(begun + seconds) for _ in range(AT_ONCE)))
        return sum(counts) / (time.monotonic() - begun)

    async def _ask_until(self, ends_at: float) -> int:
        count = 0
        while time.monotonic() < ends_at:
            await self._asker.pause(0.0)
            await asyncio.ensure_future(self._ask_any())
            count += 1
        return count

    async def offer(self, seconds: float, rate: float, fault_rate: float, rare_rate: float) -> None:
        """Requests and faults at random times, whatever becomes of them."""
        random = self._random
        acts = (
            (self._ask_any, lambda: random.expovariate(rate)),
            (self._mischief.once, lambda: random.expovariate(fault_rate)),
            (self._mischief.once_rare, lambda: random.uniform(0.5, 1.5) / rare_rate),
        )
        await asyncio.gather(*(self._stream(act, gap_s, seconds) for act, gap_s in acts))
        while self._under_way:
            await asyncio.wait(self._under_way)

    async def _stream(
        self, act: Callable[[], Awaitable[None]], gap_s: Callable[[], float], seconds: float
    ) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time()
        ends_at = due + seconds
        while (due := due + gap_s()) < ends_at:
            if (ahead_s := due - loop.time()) > 0:
                await self._asker.pause(ahead_s)
            if len(self._under_way) > MOST_UNDER_WAY:
                self._ledger.seen.held_back += 1
                continue
            task = asyncio.ensure_future(act())
            self._under_way.add(task)
            task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._under_way.discard(task)
        if (error := task.exception()) is not None:
            self._ledger.fail(f"a client failed: {error!r}")

    async def end(self) -> dict[str, Any]:
        """Close what is open, and tell what was seen."""
        await self._asker.close()
        return self._ledger.end().to_json()


async def obey(clients: Clients, order: Any) -> object:
    """Do what a line of stdin says."""
    if order == "end":
        return await clients.end()
    if "rate" in order:
        await clients.offer(**order)
        return None
    return await clients.capacity_per_s(**order)


async def main(http: str, grpc: str, seed: int) -> None:
    """Obey until told to end."""
    clients = Clients(http, grpc, seed)
    say("ready")
    order = None
    while order != "end":
        line = await asyncio.to_thread(sys.stdin.readline)
        order = json.loads(line or '"end"')
        say(json.dumps(await obey(clients, order)))


def say(line: str) -> None:
    """One line, at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
