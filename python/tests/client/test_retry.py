"""What is sent again, and when: time and chance are arguments."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.client import Retry
from shoal.errors import (
    ConfigurationError,
    DeadlineError,
    ModelError,
    OverloadedError,
    ShoalError,
    UnavailableError,
    UnreachableError,
    error_of_answer,
)

RETRY = Retry(attempts=4, first_wait_ms=100, max_wait_ms=1000)


def wait_ms(
    error: ShoalError, sent: int = 1, left_ms: float | None = None, chance: float = 1.0
) -> float | None:
    return RETRY.wait_ms(error, sent=sent, left_ms=left_ms, chance=chance)


@pytest.mark.parametrize("kind", [OverloadedError, UnavailableError, UnreachableError])
def test_overload_and_absence_are_tried_again(kind: type[ShoalError]) -> None:
    assert wait_ms(kind("later")) == 100


@pytest.mark.parametrize("kind", [ModelError, DeadlineError])
def test_nothing_else_is(kind: type[ShoalError]) -> None:
    assert wait_ms(kind("no")) is None


def test_an_unknown_code_is_tried_again_where_its_status_says_so() -> None:
    assert wait_ms(error_of_answer("brand_new", "later", status=503)) == 100
    assert wait_ms(error_of_answer("brand_new", "no", status=400)) is None


def test_waits_double_up_to_their_limit_and_then_end() -> None:
    many = Retry(attempts=7, first_wait_ms=100, max_wait_ms=1000)
    waits = [
        many.wait_ms(UnreachableError("gone"), sent=sent, left_ms=None, chance=1.0)
        for sent in range(1, 8)
    ]
    assert waits == [100, 200, 400, 800, 1000, 1000, None]


def told(after_ms: int) -> ShoalError:
    error = OverloadedError("full")
    error.retry_after_ms = after_ms
    return error


def test_a_server_is_taken_at_its_word_and_chance_is_added() -> None:
    assert wait_ms(told(800), chance=0.0) == 800
    assert wait_ms(told(800), chance=1.0) == 1000
    assert wait_ms(told(0), chance=1.0) == 0


@pytest.mark.parametrize("chance", [0.0, 1.0])
def test_who_is_told_to_come_later_than_the_limit_gives_up_whatever_chance_says(
    chance: float,
) -> None:
    assert wait_ms(told(1000), chance=chance) == 1000 * (1 + chance / 4)
    assert wait_ms(told(1001), chance=chance) is None


def test_nobody_waits_beyond_the_deadline() -> None:
    assert wait_ms(told(800), chance=0.0, left_ms=801) == 800
    assert wait_ms(told(800), chance=0.0, left_ms=800) is None


@given(st.integers(1, 3), st.floats(0, 1), st.integers(0, 1000))
def test_no_wait_is_shorter_than_asked_for(sent: int, chance: float, after_ms: int) -> None:
    waits = wait_ms(told(after_ms), sent=sent, chance=chance)
    assert waits is not None
    assert after_ms <= waits <= after_ms * 1.25


def test_numbers_below_one_are_refused() -> None:
    with pytest.raises(ConfigurationError):
        Retry(attempts=0)
