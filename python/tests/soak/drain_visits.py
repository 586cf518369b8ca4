"""Clients that go on asking while the server ends: what was accepted must be answered.

Every question has a number of its own. `fragile` writes down the numbers it answers, so a question
that the server accepted, but whose answer reached nobody, is found: it is in both lists.
"""

from __future__ import annotations

import itertools
import json
import struct
from typing import TYPE_CHECKING

import grpc
from tritonclient.grpc import service_pb2_grpc

from tests.end_to_end.driver import DEADLINE_S
from tests.soak.grpc_visits import OWN_CONNECTION, value_request
from tests.soak.http_visits import FRAGILE, value_body
from tests.soak.wire import ClosedError, Connection, request

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

    from tests.soak.tally import Tally
    from tests.soak.wire import Answer

MOST_TURNS = 1_000_000
AT_ONCE = 8


def ask_over_http_until_the_end(
    address: str, first: int, random: Random, tally: Tally, begun: Callable[[], None]
) -> None:
    """Ask on one connection, several at once, until the server turns us away or closes it."""
    connection = Connection(address)
    numbers = itertools.count(first)
    for _ in range(MOST_TURNS):
        asked = list(itertools.islice(numbers, random.randint(1, AT_ONCE)))
        connection.send(b"".join(request(FRAGILE, value_body(float(each))) for each in asked))
        answered, is_over = _read(connection, asked, tally)
        begun()
        tally.unanswered += asked[answered:]
        if is_over:
            connection.close()
            return
    tally.fail("the server never ended")


def _read(connection: Connection, asked: list[int], tally: Tally) -> tuple[int, bool]:
    """Read the answers in order: how many came, and whether the server wants no more."""
    for answered, number in enumerate(asked):
        try:
            answer = connection.answer()
        except ClosedError:
            tally.counts["closed"] += 1
            return answered, True
        if not _is_answer(answer, number, tally):
            return answered, True
        if answer.is_last:
            if not connection.is_silent():
                tally.fail("an answer after the last one")
            return answered + 1, True
    return len(asked), False


def _is_answer(answer: Answer, number: int, tally: Tally) -> bool:
    if answer.status == 503 and json.loads(answer.body)["code"] == "shutting_down":
        tally.counts["shutting_down"] += 1
        return False
    data = json.loads(answer.body)["outputs"][0]["data"] if answer.status == 200 else None
    if data != [2.0 * number]:
        tally.fail(f"the double of {number}: {answer}")
        return False
    tally.counts["ok/fragile"] += 1
    return True


def ask_over_grpc_until_the_end(
    address: str, first: int, random: Random, tally: Tally, begun: Callable[[], None]
) -> None:
    """Ask on one channel, several at once, until the server is not available any more."""
    with grpc.insecure_channel(address, OWN_CONNECTION) as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        numbers = itertools.count(first)
        for _ in range(MOST_TURNS):
            asked = list(itertools.islice(numbers, random.randint(1, AT_ONCE)))
            calls = {
                each: stub.ModelInfer.future(value_request(each), DEADLINE_S) for each in asked
            }
            left = [each for each, call in calls.items() if not _is_result(each, call, tally)]
            begun()
            tally.unanswered += left
            if left:
                return
    tally.fail("the server never ended")


def _is_result(number: int, call: grpc.Future, tally: Tally) -> bool:
    error = call.exception()
    if error is not None:
        if error.code() != grpc.StatusCode.UNAVAILABLE:
            tally.fail(f"gRPC at the end: {error.code()} {error.details()}")
        tally.counts["unavailable"] += 1
        return False
    found = struct.unpack("<d", call.result().raw_output_contents[0])
    if found != (2.0 * number,):
        tally.fail(f"gRPC: the double of {number}: {found}")
    tally.counts["ok/fragile"] += 1
    return True
