"""A process of clients: `python -m tests.soak.clients KIND HTTP GRPC SEED`.

It says `begun` on stdout when every one of its clients has had an answer, goes on until stdin is
closed (`mixed`) or the server has ended (`drain`), then prints what its clients saw as one JSON
object.
"""

from __future__ import annotations

import json
import random
import sys
import threading
import traceback
from functools import partial
from typing import TYPE_CHECKING

from tests.soak.drain_visits import ask_over_grpc_until_the_end, ask_over_http_until_the_end
from tests.soak.grpc_visits import GrpcVisitor
from tests.soak.http_visits import HttpVisitor
from tests.soak.material import Pool
from tests.soak.tally import Tally

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Visits = Sequence[Callable[[], None]]
    Life = Callable[[random.Random, Tally, Callable[[], None]], None]

NUMBERS_OF_A_CLIENT = 1 << 32
HTTP_DRAINERS, GRPC_DRAINERS = 3, 2


def good_over_http(visitor: HttpVisitor) -> Visits:
    return (
        visitor.ask_one_row,
        visitor.ask_many_rows,
        visitor.ask_more_rows_than_a_micro_batch_holds,
        visitor.ask_in_binary,
        visitor.ask_several_at_once,
        visitor.begin_the_next_question_early,
        visitor.ask_fragile,
        visitor.ask_in_a_hurry,
    )


def bad_over_http(visitor: HttpVisitor) -> Visits:
    return (
        visitor.ask_wrongly,
        visitor.break_fragile,
        visitor.announce_too_much,
        visitor.speak_no_http,
        visitor.speak_no_http_after_a_question,
        visitor.ask_one_row,
    )


def fleeting_over_http(visitor: HttpVisitor) -> Visits:
    return (
        visitor.vanish_while_asking,
        visitor.vanish_while_fragile_works,
        visitor.vanish_while_sending,
        visitor.ask_one_row,
    )


def good_over_grpc(visitor: GrpcVisitor) -> Visits:
    return (
        visitor.ask_raw,
        visitor.ask_typed,
        visitor.ask_several_at_once,
        visitor.ask_fragile,
    )


def bad_over_grpc(visitor: GrpcVisitor) -> Visits:
    return (
        visitor.ask_wrongly,
        visitor.break_fragile,
        visitor.ask_in_a_hurry,
        visitor.cancel,
        visitor.vanish,
        visitor.ask_raw,
    )


class Clients:
    """Clients on threads, each with a tally of its own."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._threads: list[threading.Thread] = []
        self._tallies: list[Tally] = []
        self._begun: list[threading.Event] = []
        self.stop = threading.Event()

    def start(self, live: Life) -> None:
        """Start a client that lives `live(random, tally, begun)`."""
        tally, begun = Tally(), threading.Event()
        own = random.Random(f"{self._seed}-{len(self._threads)}")

        def body() -> None:
            try:
                live(own, tally, begun.set)
            except Exception:  # noqa: BLE001 - whatever it is, the parent must hear of it
                tally.fail(traceback.format_exc()[-2000:])
            finally:
                begun.set()

        thread = threading.Thread(target=body)
        self._threads.append(thread)
        self._tallies.append(tally)
        self._begun.append(begun)
        thread.start()

    def wait_until_begun(self) -> None:
        """Wait until each has had an answer, or has failed."""
        for begun in self._begun:
            begun.wait()

    def end(self) -> Tally:
        """Wait for the end of each, and add up what they saw."""
        total = Tally()
        for thread, tally in zip(self._threads, self._tallies, strict=True):
            thread.join()
            total.add(tally)
        return total


def start_mixed(clients: Clients, http: str, grpc: str) -> None:
    """Clients of every kind, until they are stopped."""

    def over_http(kind: Callable[[HttpVisitor], Visits]) -> None:
        def live(own: random.Random, tally: Tally, begun: Callable[[], None]) -> None:
            visitor = HttpVisitor(http, Pool(own), own, tally)
            visit(kind(visitor), own, tally, begun)
            visitor.close()

        clients.start(live)

    def over_grpc(kind: Callable[[GrpcVisitor], Visits]) -> None:
        def live(own: random.Random, tally: Tally, begun: Callable[[], None]) -> None:
            visitor = GrpcVisitor(grpc, Pool(own), own, tally)
            visit(kind(visitor), own, tally, begun)
            visitor.close()

        clients.start(live)

    def visit(visits: Visits, own: random.Random, tally: Tally, begun: Callable[[], None]) -> None:
        for each in visits:
            each()
            tally.counts["visits"] += 1
        begun()
        while not clients.stop.is_set() and not tally.failures:
            own.choice(visits)()
            tally.counts["visits"] += 1

    for kind in (good_over_http, good_over_http, bad_over_http, fleeting_over_http):
        over_http(kind)
    for other in (good_over_grpc, bad_over_grpc):
        over_grpc(other)


def start_drain(clients: Clients, http: str, grpc: str, seed: int) -> None:
    """Clients that ask until the server ends; no two ever ask with the same number."""
    lives = [(ask_over_http_until_the_end, http)] * HTTP_DRAINERS
    lives += [(ask_over_grpc_until_the_end, grpc)] * GRPC_DRAINERS
    for place, (ask, address) in enumerate(lives):
        first = (seed * len(lives) + place) * NUMBERS_OF_A_CLIENT

        clients.start(partial(ask, address, first))


def main(kind: str, http: str, grpc: str, seed: int) -> None:
    """Live as clients until told to stop."""
    clients = Clients(seed)
    if kind == "mixed":
        start_mixed(clients, http, grpc)
    else:
        start_drain(clients, http, grpc, seed)
    clients.wait_until_begun()
    sys.stdout.write("begun\n")
    sys.stdout.flush()
    sys.stdin.read()
    clients.stop.set()
    sys.stdout.write(json.dumps(clients.end().to_json()))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]))
