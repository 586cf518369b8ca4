"""Many tasks in one envelope: sent, and what may be sent again is sent again.

- Each task is answered by its own result or its own error; a task that failed in a way that may
  pass is sent again with those that did, not with those that were answered; one without time for
  it has that failure as its error, and does not keep the others from it.
- With a merge all are sent again, because the server joins what it is sent: their keys spare those
  that were answered from being computed twice.
- As they are ready, each task is answered once; what the server did not answer before it went away
  is sent again, or `server_unreachable`.
- What was answered is never thrown away: where sending the rest again fails, that is the error of
  the rest.
- Nobody waits longer than the longest budget of a task, and a grace for the way back. Who takes
  results slowly waits for each that came meanwhile, and no timer runs while he does not wait.
"""

from __future__ import annotations

import asyncio
import random
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from shoal.client._answers import check_outcome, copied, matched
from shoal.client._task import Merged, Result, Results
from shoal.client._wire._encoding import Due, Envelope, Piece, Reduction
from shoal.errors import AnswerError, DeadlineError, ShoalError, UnreachableError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterable, Iterator, Sequence

    from shoal.client._retry import Retry
    from shoal.client._transport import Transport

GRACE_S = 0.25


@dataclass(slots=True)
class Item:
    """A task of an envelope.

    Attributes:
        id: By which its result is told.
        piece: The task, encoded.
        timeout_s: How long it may take in all; None is no limit.
        deadline_s: Until when, by the loop's clock.
        sent: How often it was sent.
    """

    id: str
    piece: Piece
    timeout_s: float | None
    deadline_s: float | None = None
    sent: int = 0


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be sent: tasks in order, shared tables by name, and how results are joined."""

    items: Sequence[Item]
    shared: Sequence[tuple[str, Piece]] = ()
    merge: Reduction | None = None


@dataclass(slots=True)
class _Round:
    """One sending of an order.

    Attributes:
        asked: What has no answer yet, by id.
        has_merge: Whether what was merged has to come, too.
        is_answered: Whether an answer began.
        again: What has to be asked again.
        wait_ms: And after how long.
    """

    asked: dict[str, Item]
    has_merge: bool = False
    is_answered: bool = False
    again: list[Item] = field(default_factory=list)
    wait_ms: float = 0.0

    def take_merged(self, merged: Merged) -> Merged:
        """Notes what was merged, which comes once, and last."""
        self.is_answered = True
        if not self.has_merge or self.asked:
            raise AnswerError("the answer says what was merged before it was due, or unasked")
        self.has_merge = False
        return merged

    def finish(self) -> None:
        """Notes that the answer ended.

        Raises:
            UnreachableError: Something is missing.
        """
        self.is_answered = True
        if self.asked or self.has_merge:
            raise UnreachableError(
                f"the server went away before it answered {len(self.asked)} of the tasks"
            )

    def lost(self, error: ShoalError) -> Iterator[Result | Merged]:
        """Gives an error for each answer that is missing."""
        for id_ in self.asked:
            yield Result(id_, outcome=copied(error))
        if self.has_merge:
            yield Merged(copied(error))


class Runner:
    """Sends orders, in one event loop.

    Args:
        transport: The way to the server.
        retry: What is sent again.
    """

    def __init__(self, transport: Transport, retry: Retry) -> None:
        self._transport = transport
        self._retry = retry

    async def run(self, order: Order) -> Results:
        """Gives the result of each task, in order.

        Raises:
            ShoalError: The envelope was refused, or the server not reached at all.
            DeadlineError: There was no answer at all in time.
        """
        found: dict[str, Result] = {}
        merged: Merged | None = None
        items: Sequence[Item] = self._started(order)
        while items:
            this = _Round({item.id: item for item in items})
            try:
                answer = await self._answered(order, items)
            except ShoalError as error:
                if not self._again(this, error) and not found:
                    raise
                if order.merge is None:  # with one, all are asked again, or were answered before
                    found |= {id_: Result(id_, outcome=copied(error)) for id_ in this.asked}
            else:
                merged = answer.merged
                for result in answer:
                    found[result.id] = result
                    self._judge(this, result)
            items = self._asked_again(order, this)
            if items:
                await asyncio.sleep(this.wait_ms / 1e3)
        return Results([found[item.id] for item in order.items], merged)

    async def _answered(self, order: Order, items: Sequence[Item]) -> Results:
        """Sends one envelope, and gives what answers it."""
        try:
            async with asyncio.timeout_at(self._end_s(items)):
                answer = await self._transport.run(self._envelope(order, items))
        except TimeoutError:
            raise _too_late(len(items)) from None
        return matched(answer, [item.id for item in items], has_merge=order.merge is not None)

    async def stream(self, order: Order) -> AsyncGenerator[Result | Merged, None]:
        """Gives the result of each task as it is ready, an error where it has none.

        With a merge, what was merged comes last; then nothing is sent again once a result is out.

        Raises:
            ShoalError: The envelope was refused, or the server not reached at all.
            DeadlineError: There was no answer at all in time.
        """
        items: Sequence[Item] = self._started(order)
        while items:
            this = _Round({item.id: item for item in items}, has_merge=order.merge is not None)
            async with aclosing(self._streamed(this, self._envelope(order, items))) as answers:
                async for found in answers:
                    yield found
            items = self._asked_again(order, this)
            if items:
                await asyncio.sleep(this.wait_ms / 1e3)

    @staticmethod
    def _asked_again(order: Order, this: _Round) -> Sequence[Item]:
        """Gives what is sent next: with a merge all tasks, where any of them is."""
        return order.items if this.again and order.merge is not None else this.again

    async def _streamed(
        self, this: _Round, envelope: Envelope
    ) -> AsyncGenerator[Result | Merged, None]:
        """Sends one envelope; what is asked again is noted, and not given."""
        end_s = self._end_s(list(this.asked.values()))
        try:
            async with aclosing(self._transport.stream(envelope)) as answers:
                while (found := await self._next(answers, this, end_s)) is not None:
                    if isinstance(found, Merged):
                        yield this.take_merged(found)
                    elif not self._judge(this, _waited_for(found, this)):
                        yield found
            this.finish()
        except ShoalError as error:
            is_again = self._again(this, error)
            if not is_again and not this.is_answered:
                raise
            if is_again and this.has_merge:
                return
            for lost in this.lost(error):
                yield lost

    @staticmethod
    async def _next(
        answers: AsyncGenerator[Result | Merged, None], this: _Round, end_s: float | None
    ) -> Result | Merged | None:
        """Waits for what comes next; None is the end. A timer is the business of one task only."""
        if end_s is not None:  # what came while nobody waited is given, however late it is
            end_s = max(end_s, asyncio.get_running_loop().time() + GRACE_S)
        try:
            async with asyncio.timeout_at(end_s):
                return await anext(answers, None)
        except TimeoutError:
            raise _too_late(len(this.asked)) from None

    @staticmethod
    def _started(order: Order) -> Sequence[Item]:
        now_s = asyncio.get_running_loop().time()
        for item in order.items:
            item.deadline_s = None if item.timeout_s is None else now_s + item.timeout_s
        return order.items

    @staticmethod
    def _envelope(order: Order, items: Iterable[Item]) -> Envelope:
        now_s = asyncio.get_running_loop().time()
        tasks = []
        for item in items:
            item.sent += 1
            left_s = None if item.deadline_s is None else item.deadline_s - now_s
            budget_us = 0 if left_s is None else max(1, int(left_s * 1e6))
            tasks.append(Due(item.id, item.piece, budget_us))
        return Envelope(tasks, order.shared, order.merge)

    @staticmethod
    def _end_s(items: Sequence[Item]) -> float | None:
        """Gives until when the most patient task waits, and the grace; None is for ever."""
        deadlines = [item.deadline_s for item in items if item.deadline_s is not None]
        if len(deadlines) < len(items):
            return None
        return max(deadlines) + GRACE_S

    def _judge(self, this: _Round, result: Result) -> bool:
        """Notes a result; whether its task is sent again."""
        item = this.asked.pop(result.id)
        if result.error is None or (this.is_answered and this.has_merge):
            return False
        wait_ms = self._wait_ms(item, result.error)
        if wait_ms is None:
            return False
        this.again.append(item)
        this.wait_ms = max(this.wait_ms, wait_ms)
        return True

    def _again(self, this: _Round, error: ShoalError) -> bool:
        """Notes that nothing more comes; whether any task is sent again that was not answered.

        What stays in `asked` is not: its time is over sooner.
        """
        if this.is_answered and this.has_merge:
            return False
        waits = {item.id: self._wait_ms(item, error) for item in this.asked.values()}
        known = {id_: wait for id_, wait in waits.items() if wait is not None}
        this.again += [this.asked.pop(id_) for id_ in known]
        this.wait_ms = max([this.wait_ms, *known.values()])
        return bool(known)

    def _wait_ms(self, item: Item, error: ShoalError) -> float | None:
        now_s = asyncio.get_running_loop().time()
        left_ms = None if item.deadline_s is None else (item.deadline_s - now_s) * 1e3
        chance = random.random()  # noqa: S311 - spreads waits
        return self._retry.wait_ms(error, sent=item.sent, left_ms=left_ms, chance=chance)


def _waited_for(result: Result, this: _Round) -> Result:
    this.is_answered = True
    if result.id not in this.asked:
        raise AnswerError("the answer has a line that no task still waits for")
    return check_outcome(result)


def _too_late(count: int) -> DeadlineError:
    return DeadlineError(f"there is no answer to {count} tasks in the time they had")
