"""Several jobs at once: an interruption ends all of them, whenever it comes."""

from __future__ import annotations

import time
from threading import Event
from typing import TYPE_CHECKING

import pytest

from shoal.errors import RegistryUnavailableError
from shoal.package._registry._crew import together
from shoal.package._registry._failures import Passing
from shoal.package._registry._repository import connected
from shoal.package._registry._wire import Stopped

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


def test_an_interruption_while_jobs_are_given_out_ends_those_that_have_begun() -> None:
    began, ended = Event(), Event()
    with connected("oci://127.0.0.1:1/a:1") as repository:

        def waits() -> None:
            began.set()
            try:
                repository.wire.pause(1, Passing(RegistryUnavailableError("busy"), "60"))
            except Stopped:
                ended.set()

        class Interrupted(list["Callable[[], None]"]):
            def __iter__(self) -> Iterator[Callable[[], None]]:
                yield waits
                began.wait(30)
                raise KeyboardInterrupt

        started = time.monotonic()
        with pytest.raises(KeyboardInterrupt):
            together(repository.wire, Interrupted())
    assert ended.is_set()
    assert time.monotonic() - started < 20
