"""Which calls travel together, and when: time is an argument."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.client import Gathering
from shoal.client._gather import Gatherer
from shoal.errors import ConfigurationError

LIMITS = Gathering(tasks=4, size_bytes=100, wait_us=300)


def gatherer(limits: Gathering = LIMITS) -> Gatherer[str]:
    return Gatherer(limits)


def test_a_lone_call_is_due_at_the_end_of_its_tick() -> None:
    calls = gatherer()
    assert calls.due_us(0) is None
    calls.arrive("a", 10, 0)
    assert calls.due_us(0) == 0
    assert calls.depart() == ["a"]


def test_calls_of_one_tick_leave_together_in_their_order() -> None:
    calls = gatherer()
    for name in "abc":
        calls.arrive(name, 10, 0)
    assert calls.depart() == ["a", "b", "c"]
    assert calls.due_us(0) is None


def test_with_an_envelope_in_flight_calls_wait_for_others_but_not_longer_than_said() -> None:
    calls = gatherer()
    calls.arrive("a", 10, 0)
    calls.depart()
    calls.arrive("b", 10, 1000)
    assert calls.due_us(1000) == 300
    calls.arrive("c", 10, 1200)
    assert calls.due_us(1200) == 100  # counted from the first that waits
    assert calls.due_us(1300) == 0
    assert calls.depart() == ["b", "c"]


def test_an_envelope_that_comes_back_takes_along_who_waits() -> None:
    calls = gatherer()
    calls.arrive("a", 10, 0)
    calls.depart()
    calls.arrive("b", 10, 1000)
    calls.land()
    assert calls.due_us(1001) == 0


def test_many_calls_leave_in_halves_so_that_server_and_client_work_at_the_same_time() -> None:
    calls = gatherer(Gathering())
    for number in range(65):
        calls.arrive(str(number), 10, 0)
    assert calls.due_us(0) == 0
    assert len(calls.depart()) == 33
    assert calls.due_us(0) == 0  # the other half waits for nobody
    calls.arrive("later", 10, 100)
    assert len(calls.depart()) == 32
    assert calls.due_us(100) == 300
    calls.land()
    assert calls.depart() == ["later"]


def test_with_an_envelope_in_flight_nothing_is_halved() -> None:
    calls = gatherer(Gathering())
    calls.arrive("first", 10, 0)
    calls.depart()
    for number in range(64):
        calls.arrive(str(number), 10, 0)
    assert len(calls.depart()) == 64


@pytest.mark.parametrize(("count", "size_bytes"), [(4, 1), (2, 50)])
def test_what_reaches_a_limit_is_due_at_once(count: int, size_bytes: int) -> None:
    calls = gatherer()
    calls.arrive("a", 10, 0)
    calls.depart()
    for number in range(count):
        calls.arrive(str(number), size_bytes, 0)
    assert calls.due_us(0) == 0


def test_a_call_larger_than_the_limit_leaves_alone() -> None:
    calls = gatherer()
    calls.arrive("small", 10, 0)
    calls.arrive("large", 1000, 0)
    calls.arrive("after", 10, 0)
    assert [calls.depart(), calls.depart(), calls.depart()] == [["small"], ["large"], ["after"]]


@given(
    st.lists(st.tuples(st.integers(0, 120), st.integers(0, 500)), max_size=60),
    st.sampled_from([4, 40]),
)
def test_every_call_leaves_once_in_order_within_the_limits(
    arrivals: list[tuple[int, int]], tasks: int
) -> None:
    limits = Gathering(tasks=tasks, size_bytes=25 * tasks, wait_us=300)
    calls: Gatherer[int] = Gatherer(limits)
    now_us, left, flying = 0, [], 0
    for number, (size_bytes, gap_us) in enumerate(arrivals):
        now_us += gap_us
        calls.arrive(number, size_bytes, now_us)
        while calls.due_us(now_us) == 0:
            taken = calls.depart()
            sizes = [arrivals[each][0] for each in taken]
            assert len(taken) <= limits.tasks
            assert len(taken) == 1 or sum(sizes) <= limits.size_bytes
            left += taken
            flying += 1
            if flying % 3 == 0:
                calls.land()
        due_us = calls.due_us(now_us)
        assert due_us is None or 0 < due_us <= limits.wait_us
    while len(calls):
        left += calls.depart()
    assert left == list(range(len(arrivals)))


@pytest.mark.parametrize("wrong", [{"tasks": 0}, {"size_bytes": 0}, {"wait_us": -1}])
def test_limits_that_are_none_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ConfigurationError):
        Gathering(**wrong)
