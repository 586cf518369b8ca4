"""SIGTERM and SIGINT from the first line of the program until the native server takes them over.

- Before a command has begun, both end the process as they end any other: by the signal itself.
- While a server starts, the first ends the start: what listens already drains, and the exit code
  is 0. Python hears of it between two of its own steps, so a model that is being opened is opened
  first. A second one ends the process at once, with exit code 1, whatever is going on: a thread
  hears of both through the wakeup descriptor of Python's own signal handling.
- Once the native server catches both, they are its own: the first drains, the second abandons.
- When all is done, both are ignored: nobody is owed anything, and the exit code stands.
"""

from __future__ import annotations

import os
import signal
from contextlib import contextmanager
from threading import Thread
from typing import TYPE_CHECKING

from shoal.cli._failure import Exit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

NUMBERS = (signal.SIGTERM, signal.SIGINT)


class Stopped(Exception):  # noqa: N818 - not an error: a request to end
    """SIGTERM or SIGINT arrived while the server started."""


class Ending:
    """What has become of the signals of this process so far."""

    def __init__(self) -> None:
        """Nothing has come, and Python is the one to hear."""
        self._is_deaf = False
        self._has_come = False

    def hand_over(self) -> None:
        """From here on both are the native server's, which passes them on to Python as well.

        Raises:
            Stopped: one came before.
        """
        self.stand()
        self._is_deaf = True
        signal.set_wakeup_fd(-1)

    def stand(self) -> None:
        """Go on, unless a signal came; one that came inside a finaliser could not raise there.

        Raises:
            Stopped: it did.
        """
        if self._has_come:
            raise Stopped

    def is_over(self) -> None:
        """Ignore both from here on: what is left is to say how it ended."""
        self._is_deaf = True
        for number in NUMBERS:
            signal.signal(number, signal.SIG_IGN)

    def hear(self, _number: int, _frame: FrameType | None) -> None:
        """Handle a signal in Python: the first ends the start."""
        if self._is_deaf or self._has_come:
            return
        self._has_come = True
        raise Stopped


def run(body: Callable[[Ending], None]) -> None:
    """Run what starts and serves; a signal that ends it on the way is no failure."""
    ending = Ending()
    try:
        with _second_ends_at_once():
            for number in NUMBERS:
                signal.signal(number, ending.hear)
            body(ending)
    except Stopped:
        pass
    except RuntimeError as error:
        # Python 3.11 wraps what is raised while a class gives its fields their names.
        if not isinstance(error.__cause__, Stopped):
            raise
    finally:
        ending.is_over()


@contextmanager
def _second_ends_at_once() -> Iterator[None]:
    heard, told = os.pipe()
    os.set_blocking(told, False)
    signal.set_wakeup_fd(told)
    Thread(target=_end_on_second, args=(heard,), name="shoal-signals", daemon=True).start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(-1)
        os.close(told)  # the thread reads the end, and ends as well


def _end_on_second(heard: int) -> None:
    count = 0
    while numbers := os.read(heard, 64):
        count += sum(number in NUMBERS for number in numbers)
        if count > 1:
            os._exit(Exit.FAILED)
    os.close(heard)
