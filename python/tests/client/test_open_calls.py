"""The deadlines of many calls, by a clock that is turned by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import hypothesis.strategies as st
from hypothesis import given

from shoal.client._call import Call
from shoal.client._open_calls import OpenCalls
from shoal.client._wire._encoding import Piece

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable


class Handle:
    """Of a timer."""

    def __init__(self, cancel: Callable[[], None]) -> None:
        self.cancel = cancel


class Turned:
    """A loop's clock and timers."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.timers: list[tuple[float, Callable[..., Any], Any]] = []
        self.wound = 0

    def time(self) -> float:
        return self.now_s

    def call_at(self, at_s: float, ring: Callable[..., Any], *words: Any) -> asyncio.TimerHandle:
        self.wound += 1
        timer = (at_s, ring, words)
        self.timers.append(timer)
        return cast("asyncio.TimerHandle", Handle(lambda: self.timers.remove(timer)))

    def turn(self, to_s: float) -> None:
        """Goes on to a time, ringing on the way."""
        while due := [timer for timer in self.timers if timer[0] <= to_s]:
            first = min(due, key=lambda timer: timer[0])
            self.timers.remove(first)
            self.now_s = max(self.now_s, first[0])
            first[1](*first[2])
        self.now_s = to_s


STEPS = st.lists(
    st.tuples(
        st.sampled_from([None, 0.5, 1.0, 60.0]),  # how long it may take
        st.floats(0, 2),  # how long after the one before
        st.floats(0.01, 3),  # after how long it is answered
    ),
    max_size=20,
)


@given(STEPS)
def test_calls_end_at_their_deadline_unless_they_were_answered(
    steps: list[tuple[float | None, float, float]],
) -> None:
    clock = Turned()
    ended: dict[Call, float] = {}
    opened = OpenCalls(clock, lambda late: ended.setdefault(late, clock.now_s))  # type: ignore[arg-type]  # its clock and timers are asked for
    begun: list[tuple[Call, float, float]] = []
    events = []
    at_s = 0.0
    for timeout_s, after_s, answered_s in steps:
        at_s += after_s
        one = Call(Piece(b""), "model", timeout_s, waiter=None)  # type: ignore[arg-type]  # nobody waits
        events += [(at_s, 0, one), (at_s + answered_s, 1, one)]
        begun.append((one, at_s, at_s + answered_s))
    for when_s, is_answer, one in sorted(events, key=lambda event: event[:2]):
        clock.turn(when_s)
        if is_answer:
            opened.leave(one)
        else:
            opened.enter(one)
    clock.turn(at_s + 100)
    for one, began_s, answered_s in begun:
        late = one.timeout_s is not None and began_s + one.timeout_s <= answered_s
        assert (one in ended) == late
        if late:
            assert ended[one] == one.deadline_s
    assert list(opened) == []
    assert clock.timers == []


def test_calls_of_one_length_have_one_timer() -> None:
    clock = Turned()
    opened = OpenCalls(clock, lambda _: None)  # type: ignore[arg-type]  # its clock and timers are asked for
    calls = [Call(Piece(b""), "model", 60.0, waiter=None) for _ in range(1000)]  # type: ignore[arg-type]  # nobody waits
    for one in calls:
        opened.enter(one)
        clock.now_s += 0.001
    assert len(list(opened)) == 1000
    for one in calls:
        opened.leave(one)
    assert (clock.wound, clock.timers) == (1, [])
