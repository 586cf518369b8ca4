"""Who answers which batch, in which order, and what is held meanwhile."""

from __future__ import annotations

from threading import Barrier, Event, current_thread
from typing import TYPE_CHECKING

import pytest

from shoal.pipeline._crew import AHEAD, Crew

if TYPE_CHECKING:
    from collections.abc import Iterator

MANY_BYTES = 1 << 30


def one(_item: object) -> int:
    return 1


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_answers_come_in_the_order_of_the_items(threads: int) -> None:
    with Crew(threads, MANY_BYTES) as crew:
        assert list(crew.answers(range(1000), str, one)) == [str(each) for each in range(1000)]
        assert crew.held_bytes == 0


def test_a_reader_answers_by_itself_where_all_threads_read() -> None:
    def thread(_item: int) -> str:
        return current_thread().name

    with Crew(2, MANY_BYTES) as crew:
        readers = [crew.answers(iter(range(4)), thread, one) for _ in range(2)]
        for reader in readers:
            next(reader)
        assert {next(reader) for reader in readers} == {current_thread().name}


def test_threads_that_do_not_read_answer_at_the_same_time() -> None:
    all_at_once = Barrier(3)
    with Crew(3, MANY_BYTES) as crew:
        waits = crew.answers([10, 10, 10], all_at_once.wait, one)
        assert sorted(waits) == [0, 1, 2]


def test_a_reader_goes_on_while_another_thread_is_slow_and_no_further_than_the_window() -> None:
    may_end = Event()
    taken: list[int] = []

    def items() -> Iterator[int]:
        for each in range(100):
            taken.append(each)
            if each == 20:
                may_end.set()
            yield each

    def answer(each: int) -> int:
        if each == 0:
            may_end.wait()
        return each

    with Crew(2, MANY_BYTES) as crew:
        assert list(crew.answers(items(), answer, one)) == list(range(100))
    may_end.set()
    with Crew(8, 10) as crew:
        for each in crew.answers(items(), answer, one):
            assert crew.held_bytes <= 10
            assert taken[-1] <= each + 10


def test_an_exception_comes_at_the_place_of_its_item() -> None:
    def answer(each: int) -> int:
        if each == 7:
            raise ValueError(each)
        return each

    for threads in (1, 4):
        with Crew(threads, MANY_BYTES) as crew:
            answers = crew.answers(range(100), answer, one)
            assert [next(answers) for _ in range(7)] == list(range(7))
            with pytest.raises(ValueError, match="7"):
                next(answers)
            assert crew.held_bytes == 0
            assert list(crew.answers(range(AHEAD * 4), str, one))[-1] == str(AHEAD * 4 - 1)
