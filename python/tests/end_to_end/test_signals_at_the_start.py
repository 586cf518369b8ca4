"""A signal between the first moment of the process and its ready line ends it as the page says."""

from __future__ import annotations

import os
import signal
import subprocess
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.end_to_end import models
from tests.end_to_end.driver import DEADLINE_S, SHOAL, poll

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.end_to_end.models import Sealed

ADDRESSES = ("--http", "127.0.0.1:0", "--grpc", "127.0.0.1:0")
BEFORE_THE_COMMAND = {"at once", "the interpreter"}
BOTH = [signal.SIGTERM, signal.SIGINT]


@contextmanager
def starting(*words: str, **settings: str) -> Iterator[subprocess.Popen[str]]:
    """A server that has only just been started."""
    with subprocess.Popen(
        [*SHOAL, "serve", *words, *ADDRESSES],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | settings,
    ) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()


@contextmanager
def opening(places: Path, tmp_path: Path, version: str) -> Iterator[subprocess.Popen[str]]:
    """A server that is opening a model, which goes on once there is a file `open`."""
    slow = models.story("gated", places, served_as="gated", version=version)
    (tmp_path / "repository").mkdir()
    (tmp_path / "repository" / "gated").symlink_to(slow)
    words = ("--repository", str(tmp_path / "repository"), "--allow-code")
    with starting(*words, SHOAL_GATE=str(tmp_path)) as process:
        poll((tmp_path / "reached").exists, "its golden rows are being asked")
        yield process


def maps(name: str) -> Callable[[subprocess.Popen[str]], bool]:
    """Whether the process has a file of that name in its memory."""

    def is_mapped(process: subprocess.Popen[str]) -> bool:
        return name in Path(f"/proc/{process.pid}/maps").read_text(encoding="ascii")

    return is_mapped


def has_thread(name: str) -> Callable[[subprocess.Popen[str]], bool]:
    def is_running(process: subprocess.Popen[str]) -> bool:
        names = Path(f"/proc/{process.pid}/task").glob("*/comm")
        return any(each.read_text(encoding="ascii").strip() == name for each in names)

    return is_running


MOMENTS = {
    "at once": lambda _: True,
    "the interpreter": maps("python"),
    "the command line": maps("_json"),
    "the native library": maps("_native"),
    "the runtime of the model": maps("libonnxruntime"),
    "the server listens": has_thread("shoal-server"),
}


def said(process: subprocess.Popen[str]) -> str:
    """What the process left on stderr."""
    _, errors = process.communicate(timeout=DEADLINE_S)
    return errors


@pytest.mark.parametrize("number", BOTH, ids=["SIGTERM", "SIGINT"])
@pytest.mark.parametrize("moment", MOMENTS)
def test_one_signal_ends_the_start_cleanly(digits: Sealed, moment: str, number: int) -> None:
    with starting(str(digits.path)) as process:
        poll(lambda: MOMENTS[moment](process), moment)
        process.send_signal(number)
        errors = said(process)
        # Before the command has begun the signal ends it as it ends any process; SIGINT while
        # Python imports what runs a module makes it say so, and exit with 1.
        before = {1} if moment in BEFORE_THE_COMMAND and number == signal.SIGINT else set()
        assert process.returncode in {0, -number, 128 + number} | before, errors
        assert "Traceback" not in errors or moment in BEFORE_THE_COMMAND, errors


@pytest.mark.parametrize("moment", ["the native library", "the server listens"])
def test_two_signals_in_a_row_end_the_start_with_0_or_1(digits: Sealed, moment: str) -> None:
    with starting(str(digits.path)) as process:
        poll(lambda: MOMENTS[moment](process), moment)
        for number in BOTH:
            process.send_signal(number)
        errors = said(process)
        assert process.returncode in {0, 1}, errors
        assert "Traceback" not in errors


def test_a_second_signal_ends_a_start_that_hangs_at_once(places: Path, tmp_path: Path) -> None:
    with opening(places, tmp_path, "3") as process:
        process.send_signal(signal.SIGTERM)
        assert process.poll() is None  # what is being opened is opened first
        process.send_signal(signal.SIGINT)  # two of a kind may become one on the way
        assert "Traceback" not in said(process)
        assert process.returncode == 1


def test_a_first_signal_ends_a_start_once_the_model_that_is_being_opened_is_open(
    places: Path, tmp_path: Path
) -> None:
    with opening(places, tmp_path, "4") as process:
        process.send_signal(signal.SIGTERM)
        (tmp_path / "open").touch()
        assert "Traceback" not in said(process)
        assert process.returncode == 0


def test_signals_after_everything_was_answered_change_nothing(digits: Sealed) -> None:
    with starting(str(digits.path)) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith('{"event":"ready"')
        poll(lambda: has_thread("shoal-server")(process), "the server has its thread")
        process.send_signal(signal.SIGTERM)
        poll(lambda: not has_thread("shoal-server")(process), "the server has ended")
        while process.poll() is None:  # to the last moment of the interpreter
            process.send_signal(signal.SIGTERM)
        assert process.returncode == 0, said(process)
