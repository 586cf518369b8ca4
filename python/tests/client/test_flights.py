"""Calls that travel together and part: each is answered once, whatever becomes of the others."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from shoal import errors
from shoal.client import Gathering, Merged, Result, Results, Retry, Table
from shoal.client._answers import error_of_task
from shoal.client._call import Call
from shoal.client._dispatch import Dispatcher
from shoal.client._wire._encoding import Piece
from shoal.client._wire._json_envelopes import JsonEncoding
from tests.client.stage import in_a_loop

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable

    from shoal.client._wire._encoding import Envelope


class Wire:
    """A transport on which a test says what comes: in each flight a line, an error, or nothing."""

    encoding = JsonEncoding()

    def __init__(self) -> None:
        self.flights: list[asyncio.Queue[Result | Exception | None]] = []
        self.flown: asyncio.Queue[int] = asyncio.Queue()

    async def stream(self, envelope: Envelope) -> AsyncGenerator[Result | Merged, None]:
        flight: asyncio.Queue[Result | Exception | None] = asyncio.Queue()
        self.flights.append(flight)
        self.flown.put_nowait(len(envelope.tasks))
        while (said := await flight.get()) is not None:
            if isinstance(said, Exception):
                raise said
            yield said

    async def run(self, envelope: Envelope) -> Results:
        return Results([each async for each in self.stream(envelope) if isinstance(each, Result)])

    async def close(self) -> None:
        pass


def answer(place: int) -> Result:
    return Result(str(place), model="m", version="1", outcome=partial(Table, rows=0))


def busy(place: int, after_ms: int) -> Result:
    return Result(str(place), outcome=error_of_task("queue_full", "full", None, after_ms))


class Two:
    """Two calls for two models in one flight, so that each is answered when its line comes."""

    def __init__(self) -> None:
        self.wire = Wire()
        self.dispatcher = Dispatcher(self.wire, Gathering(), Retry())
        self.one, self.other = self.called("m"), self.called("n")

    def called(self, model: str) -> Call:
        call = Call(Piece(b""), model, None, asyncio.get_running_loop().create_future())
        self.dispatcher.submit(call)
        return call

    def says(self, flight: int, *said: Result | Exception | None) -> None:
        for each in said:
            self.wire.flights[flight].put_nowait(each)


async def until(is_so: Callable[[], bool]) -> None:
    """Looks once in each tick, so that nothing is over before it is seen."""
    async with asyncio.timeout(5):
        while not is_so():  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0)


async def outcome(call: Call) -> Any:
    waiter: Any = call.waiter
    await asyncio.wait_for(asyncio.shield(waiter), 5)
    return call.outcome


def with_two(test: Callable[[Two], Awaitable[None]]) -> Callable[[], None]:
    @in_a_loop
    async def run() -> None:
        two = Two()
        assert await two.wire.flown.get() == 2
        await test(two)
        await two.dispatcher.close()

    return run


@with_two
async def test_who_waits_to_be_sent_again_is_not_harmed_by_who_leaves(two: Two) -> None:
    two.says(0, busy(0, 50))
    await until(lambda: two.one.flight is None)
    two.dispatcher.withdraw(two.other)  # nobody is left in the first flight, and it is ended
    assert await two.wire.flown.get() == 1
    two.says(1, answer(0), None)
    assert isinstance(await outcome(two.one), Result)


@pytest.mark.parametrize("failure", [errors.UnreachableError("gone"), RuntimeError("broken")])
def test_who_flies_elsewhere_is_not_harmed_by_the_flight_it_left(failure: Exception) -> None:
    @with_two
    async def run(two: Two) -> None:
        two.says(0, busy(0, 0))
        assert await two.wire.flown.get() == 1
        two.says(0, failure)
        await until(lambda: two.other.flight is None)
        two.says(1, answer(0), None)
        assert isinstance(await outcome(two.one), Result)
        assert two.one.sent == 2

    run()


@with_two
async def test_a_call_that_is_cancelled_as_its_answer_comes_harms_no_other(two: Two) -> None:
    two.one.waiter.cancel()  # type: ignore[attr-defined]  # a future
    two.says(0, answer(0), answer(1), None)
    assert isinstance(await outcome(two.other), Result)


@with_two
async def test_who_waits_to_be_sent_again_is_told_that_the_client_was_closed(two: Two) -> None:
    two.says(0, busy(0, 5000))
    await until(lambda: two.one.flight is None)
    await two.dispatcher.close()
    for call in (two.one, two.other):
        assert isinstance(await outcome(call), errors.UnreachableError)
