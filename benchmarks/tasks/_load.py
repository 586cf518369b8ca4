"""A process that asks a server in Python: `python -m benchmarks.tasks._load`, run by the benchmark.

Its first argument is a JSON object: `http` and `grpc` (HOST:PORT), `rows` and `mixed` (files).
It prints a line when it is ready, and then one for each line it reads: a job in, a `Seen` out.
All labels are compared with those of the original model; a wrong one ends the process.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import TYPE_CHECKING

import msgspec

from benchmarks.tasks._callers import Callers, Place

if TYPE_CHECKING:
    from collections.abc import Mapping

    from benchmarks.tasks._figures import Seen

WARM_UP_SHARE = 0.2


def main(given: str) -> None:
    """Does jobs until there are no more."""
    place = msgspec.json.decode(given, type=Place)
    with asyncio.Runner() as runner:
        callers = runner.run(_callers(place))
        print(json.dumps({"ready": True}), flush=True)
        for line in sys.stdin:
            seen = runner.run(_done(callers, json.loads(line)))
            print(msgspec.json.encode(seen).decode(), flush=True)
        runner.run(callers.close())


async def _callers(place: Place) -> Callers:
    return Callers(place)


async def _done(callers: Callers, job: Mapping[str, object]) -> Seen:
    seconds = float(str(job["seconds"]))
    await callers.ask(job, seconds * WARM_UP_SHARE)
    return await callers.ask(job, seconds)


if __name__ == "__main__":
    main(sys.argv[1])
