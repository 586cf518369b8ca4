"""The calls of a client that have not ended, and the end of those whose time has passed.

Calls that may take equally long end in the order in which they began: only the first of them needs
a timer, which serves them all.
"""

from __future__ import annotations

from itertools import takewhile
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Iterator

    from shoal.client._call import Call


class OpenCalls:
    """The calls that have not ended, in one event loop.

    Args:
        loop: Whose clock their deadlines are told by.
        expire: What is done with a call whose time has passed; it is not among these any more.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, expire: Callable[[Call], None]) -> None:
        self._loop = loop
        self._expire = expire
        self._calls: dict[float | None, dict[Call, float]] = {}
        self._timers: dict[float, asyncio.TimerHandle] = {}

    def __iter__(self) -> Iterator[Call]:
        for calls in self._calls.values():
            yield from calls

    def enter(self, call: Call) -> None:
        """Takes a call in, whose time begins now."""
        timeout_s, deadline_s = call.timeout_s, 0.0
        if timeout_s is not None:
            deadline_s = call.deadline_s = self._loop.time() + timeout_s
            if timeout_s not in self._timers:
                self._wind(timeout_s, deadline_s)
        self._calls.setdefault(timeout_s, {})[call] = deadline_s

    def leave(self, call: Call) -> None:
        """Forgets a call that has ended, and the timer with the last that may take as long."""
        calls = self._calls.get(call.timeout_s)
        if calls is None or calls.pop(call, None) is None or calls:
            return
        del self._calls[call.timeout_s]
        if call.timeout_s is not None:
            self._timers.pop(call.timeout_s).cancel()

    def _wind(self, timeout_s: float, at_s: float) -> None:
        self._timers[timeout_s] = self._loop.call_at(at_s, self._ring, timeout_s)

    def _ring(self, timeout_s: float) -> None:
        """Ends the calls whose time has passed, and waits for the next one, if there is any."""
        calls, now_s = self._calls[timeout_s], self._loop.time()
        late = [call for call, _ in takewhile(lambda each: each[1] <= now_s, calls.items())]
        for call in late:
            del calls[call]
        del self._timers[timeout_s]
        if calls:
            self._wind(timeout_s, next(iter(calls.values())))
        else:
            del self._calls[timeout_s]
        for call in late:
            self._expire(call)
