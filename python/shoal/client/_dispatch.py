"""Calls into envelopes, and answers back to calls; what of a client lives in an event loop.

- What waits and leaves together is decided by `Gatherer`, what is sent again by `Retry`; here they
  are given the time, and what they decide is done.
- A call whose deadline passes ends here, whatever the server does. A call that nobody waits for any
  more leaves; if all calls of an envelope did, its request is ended, which the server notices.
- An envelope for several models is answered line by line, so that no call waits for another
  model. With one model the answers come at once: one message is cheaper than many.
- An envelope that is refused for what is in it is taken apart, and each call sent alone: whoever
  is at fault fails alone.
- What becomes of an envelope concerns the calls that still travel in it: not those that were
  answered, wait to be sent again, or travel in another one.
- Every call ends, also when the client is closed.
"""

from __future__ import annotations

import asyncio
import random
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from shoal.client._answers import check_outcome, copied, internal, matched
from shoal.client._gather import Gatherer, Gathering
from shoal.client._open_calls import OpenCalls
from shoal.client._task import Merged, Result
from shoal.client._transport import closed
from shoal.client._wire._encoding import Due, Envelope
from shoal.errors import (
    AnswerError,
    ConfigurationError,
    DeadlineError,
    InputError,
    InternalError,
    MethodError,
    ShoalError,
    UnauthorizedError,
    UnknownRouteError,
    UnreachableError,
)

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from shoal.client._call import Call
    from shoal.client._retry import Retry
    from shoal.client._transport import Transport

# Refusals that are about no call: it does not help to send each alone.
_OF_ALL = (ConfigurationError, MethodError, UnauthorizedError, UnknownRouteError)


class Flight:
    """An envelope on its way.

    Attributes:
        live: How many calls travel in it that somebody waits for.
        task: What carries it.
    """

    __slots__ = ("live", "task")

    def __init__(self, live: int, task: asyncio.Task[Any] | None) -> None:
        self.live = live
        self.task = task


class Dispatcher:
    """Sends calls, in one event loop.

    Args:
        transport: The way to the server.
        gathering: How far calls are gathered; None is each for itself.
        retry: What is sent again.
    """

    def __init__(self, transport: Transport, gathering: Gathering | None, retry: Retry) -> None:
        self._transport = transport
        self._gatherer: Gatherer[Call] = Gatherer(gathering or Gathering())
        self._is_gathering = gathering is not None
        self._retry = retry
        self._loop = asyncio.get_running_loop()
        self._open = OpenCalls(self._loop, self._expire)
        self._tasks: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._is_departing = False

    def submit(self, call: Call) -> None:
        """Takes a call in; it is settled in the end, unless it is withdrawn."""
        self._open.enter(call)
        self._enqueue(call)

    def withdraw(self, call: Call) -> None:
        """Forgets a call that nobody waits for any more."""
        self._open.leave(call)
        if call.outcome is None:
            call.outcome = InternalError("nobody waits for this call any more")
        flight = self._detach(call)
        if flight is not None and not flight.live and flight.task is not None:
            flight.task.cancel()

    async def close(self) -> None:
        """Ends what is under way, and the connections."""
        for call in list(self._open):
            self._settle(call, closed())
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._transport.close()

    def _enqueue(self, call: Call) -> None:
        if call.outcome is not None:
            return
        if not self._is_gathering or call.piece.streams:  # a table in Arrow travels alone
            self._start(self._fly([call]))
            return
        self._gatherer.arrive(call, call.piece.size_bytes, self._now_us())
        self._wake()

    def _wake(self) -> None:
        """Sends what is due: at the end of this tick, or when its time has come."""
        if self._is_departing:
            return
        due_us = self._gatherer.due_us(self._now_us())
        if due_us == 0:
            self._is_departing = True
            self._start(self._depart())
        elif due_us and self._timer is None:
            self._timer = self._loop.call_later(due_us / 1e6, self._on_time)

    def _on_time(self) -> None:
        self._timer = None
        self._wake()

    def _start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _depart(self) -> None:
        """Sends one envelope; its first step is the end of the tick in which it became due."""
        self._is_departing = False
        calls = self._gatherer.depart()
        self._wake()
        try:
            await self._fly(calls)
        finally:
            self._gatherer.land()
            self._wake()

    async def _fly(self, calls: list[Call]) -> None:
        calls = [call for call in calls if call.outcome is None]
        if not calls:
            return
        now_s, flight = self._loop.time(), Flight(len(calls), asyncio.current_task())
        for call in calls:
            call.flight = flight
            call.sent += 1
        try:
            dues = [
                Due(str(at), call.piece, call.budget_us(now_s)) for at, call in enumerate(calls)
            ]
            is_mixed = len({call.model for call in calls}) > 1
            await (self._by_lines if is_mixed else self._at_once)(Envelope(dues), calls)
        except ShoalError as error:
            self._refused(error, self._left(flight, calls), is_alone=len(calls) == 1)
        except asyncio.CancelledError:
            self._fail(closed(), self._left(flight, calls))
            raise
        except Exception as error:  # noqa: BLE001 - whoever waits is told, whatever it is
            self._fail(internal(error), self._left(flight, calls))

    async def _at_once(self, envelope: Envelope, calls: list[Call]) -> None:
        answer = await self._transport.run(envelope)
        results = matched(answer, [due.id for due in envelope.tasks], has_merge=False)
        for call, result in zip(calls, results, strict=True):
            self._land(call, result)

    async def _by_lines(self, envelope: Envelope, calls: list[Call]) -> None:
        left = {str(place): call for place, call in enumerate(calls)}
        async with aclosing(self._transport.stream(envelope)) as results:
            async for result in results:
                if isinstance(result, Merged) or result.id not in left:
                    raise AnswerError("the answer has a line that no task asked for")
                self._land(left.pop(result.id), check_outcome(result))
        if left:
            raise UnreachableError(f"the server went away before it answered {len(left)} tasks")

    def _land(self, call: Call, result: Result) -> None:
        """Hands a result over, or sends its task again."""
        self._detach(call)
        if result.error is None:
            self._settle(call, result)
        elif call.outcome is None:
            result.error.task_id = None  # a place in an envelope that nobody knows of
            self._again(call, result.error)

    def _left(self, flight: Flight, calls: list[Call]) -> list[Call]:
        """Gives the calls that still travel in an envelope, and takes them out of it."""
        left = [call for call in calls if call.flight is flight]
        for call in left:
            self._detach(call)
        return left

    @staticmethod
    def _detach(call: Call) -> Flight | None:
        flight: Flight | None = call.flight
        call.flight = None
        if flight is not None:
            flight.live -= 1
        return flight

    def _again(self, call: Call, error: ShoalError) -> None:
        now_s = self._loop.time()
        left_ms = None if call.deadline_s is None else (call.deadline_s - now_s) * 1e3
        chance = random.random()  # noqa: S311 - spreads waits
        wait_ms = self._retry.wait_ms(error, sent=call.sent, left_ms=left_ms, chance=chance)
        if wait_ms is None:
            self._settle(call, error)
        else:
            self._loop.call_later(wait_ms / 1e3, self._enqueue, call)

    def _refused(self, error: ShoalError, calls: list[Call], *, is_alone: bool) -> None:
        """Deals with an envelope that was refused, or did not come back."""
        is_content = isinstance(error, InputError) and not isinstance(error, _OF_ALL)
        for call in calls:
            if is_content and not is_alone:
                self._start(self._fly([call]))
            else:
                self._again(call, copied(error))

    def _fail(self, error: ShoalError, calls: list[Call]) -> None:
        for call in calls:
            self._settle(call, copied(error))

    def _settle(self, call: Call, outcome: Result | ShoalError) -> None:
        self._open.leave(call)
        call.settle(outcome)

    def _expire(self, call: Call) -> None:
        told = f"there is no answer after {call.timeout_s} s, the time it had"
        call.settle(DeadlineError(told))
        self.withdraw(call)

    def _now_us(self) -> int:
        return int(self._loop.time() * 1e6)
