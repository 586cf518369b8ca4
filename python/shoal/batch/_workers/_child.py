"""What a worker process runs: find the function, then answer micro-batches until told no more.

It ends when its input ends, so it never outlives its parent. What the function prints goes to
the error output: standard output belongs to the answers.
"""

from __future__ import annotations

import os
import signal
import traceback
from typing import IO, TYPE_CHECKING, Any

import msgspec

from shoal.batch._records import as_answer
from shoal.batch._workers import _functions
from shoal.batch._workers._frames import (
    ANSWER,
    FAILURE,
    READY,
    Failure,
    read_frame,
    write_frame,
)
from shoal.batch._workers._wire import decode, encode
from shoal.errors import ShoalError

if TYPE_CHECKING:
    from collections.abc import Callable


def main() -> None:
    """Serves the parent over standard input and output."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent hears Ctrl-C, and ends this process
    questions = os.fdopen(os.dup(0), "rb")
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)
    with questions, answers:
        function = _set_up(questions, answers)
        while function is not None and (frame := read_frame(questions)) is not None:
            _answer(function, frame[1], answers)


def _set_up(questions: IO[bytes], answers: IO[bytes]) -> Callable[..., Any] | None:
    frame = read_frame(questions)
    if frame is None:
        return None
    try:
        function = _functions.find(frame[1].decode())
    except Exception as error:  # noqa: BLE001 - a module may raise anything while it is imported
        write_frame(answers, FAILURE, msgspec.msgpack.encode(_failure(error)))
        return None
    write_frame(answers, READY)
    return function


def _answer(function: Callable[..., Any], body: bytes, answers: IO[bytes]) -> None:
    try:
        answer = encode(as_answer(function(decode(body))))
    except Exception as error:  # noqa: BLE001 - whatever the user's function raises
        write_frame(answers, FAILURE, msgspec.msgpack.encode(_failure(error)))
    else:
        write_frame(answers, ANSWER, answer)


def _failure(error: Exception) -> Failure:
    ours = error if isinstance(error, ShoalError) else None
    return Failure(
        kind=type(error).__name__,
        message=str(error),
        traceback="".join(traceback.format_exception(error)),
        code=None if ours is None else ours.code,
        hint=None if ours is None else ours.hint,
    )
