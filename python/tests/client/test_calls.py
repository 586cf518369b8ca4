"""What is left of a call's time, as it is told to a server."""

from __future__ import annotations

from concurrent.futures import Future

from hypothesis import given
from hypothesis import strategies as st

from shoal.client._call import Call
from shoal.client._wire._encoding import Piece


def budget_us(left_s: float | None) -> int:
    call = Call(Piece(b""), "m", None, Future())
    call.deadline_s = left_s
    return call.budget_us(0.0)


@given(st.integers(1, 10**13))
def test_a_server_is_told_what_is_left_or_a_little_less(left_us: int) -> None:
    less_us = min(left_us // 32, 2**18) + 1  # and what a float leaves out
    assert left_us - less_us <= budget_us(left_us / 1e6) <= left_us


@given(st.floats(-1e3, 1e-6))
def test_whoever_is_late_is_told_as_one_who_has_hardly_any_time(left_s: float) -> None:
    assert budget_us(left_s) == 1


def test_without_a_limit_nothing_is_told() -> None:
    assert budget_us(None) == 0


def test_calls_that_were_made_within_milliseconds_have_the_same_budget() -> None:
    assert len({budget_us(30.0 - late_us / 1e6) for late_us in range(100, 20_000, 100)}) == 1
