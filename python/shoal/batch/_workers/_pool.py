"""Worker processes: started when first needed, each answering one micro-batch at a time.

No worker is left behind: `close` ends them all, and one whose parent dies ends by itself.
"""

from __future__ import annotations

import builtins
import contextlib
import json
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import msgspec

from shoal.batch._workers._frames import (
    BATCH,
    FAILURE,
    SETUP,
    Failure,
    read_frame,
    write_frame,
)
from shoal.batch._workers._wire import decode, encode
from shoal.errors import ModelError, error_for

# The module path comes first: what the parent can import, the worker can.
START = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from shoal.batch._workers._child import main; main()"
)


class Pool:
    """Workers that run one function, at most as many as threads call `answer` at a time."""

    def __init__(self, function: str) -> None:
        self._function = function
        self._idle: list[_Worker] = []
        self._all: list[_Worker] = []
        self._lock = threading.Lock()
        self._is_closed = False

    def answer(self, number: int, batch: object) -> Any:
        """Gives the function's answer to a numbered micro-batch; called from any thread.

        Raises:
            ModelError: The function raised (the cause has the worker's traceback as a note), or
                the worker died.
            DtypeError: The micro-batch cannot go to another process.
            InvalidRequestError: The worker does not find the function.
        """
        body = encode(batch)
        worker = self._take()
        answer = worker.ask(number, body)
        with self._lock:
            self._idle.append(worker)
        if isinstance(answer, Failure):
            cause = rebuild(answer)
            raise failed(number, cause) from cause
        return decode(answer)

    def close(self) -> None:
        """Ends all workers at once; a thread that waits for one gets an error."""
        with self._lock:
            self._is_closed = True
            workers, self._all = self._all, []
        for worker in workers:
            worker.kill()

    def _take(self) -> _Worker:
        with self._lock:
            if self._is_closed:
                raise ModelError("the workers were closed")
            if self._idle:
                return self._idle.pop()
            worker = _Worker(self._function)
            self._all.append(worker)
        worker.set_up()
        return worker


class _Worker:
    """One process, and the pipes to and from it."""

    def __init__(self, function: str) -> None:
        self._function = function
        module_path = [path or str(Path.cwd()) for path in sys.path]
        self._process = subprocess.Popen(  # noqa: S603 - this interpreter, no shell
            [sys.executable, "-c", START, json.dumps(module_path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )

    def set_up(self) -> None:
        """Waits until the worker has found its function."""
        answer = self._exchange(SETUP, self._function.encode())
        if answer is None:
            raise ModelError(
                f"the worker of {self._function!r} ended while it started{self._end()}"
            )
        if isinstance(answer, Failure):
            raise rebuild(answer)

    def ask(self, number: int, body: object) -> bytes | Failure:
        """Sends a micro-batch and waits for the answer."""
        answer = self._exchange(BATCH, body)
        if answer is None:
            raise ModelError(
                f"micro-batch {number} failed: its worker ended{self._end()}",
                hint="it was killed, ran out of memory, or ended itself; see the error output",
            )
        return answer

    def kill(self) -> None:
        """Ends the process, and waits until it has ended."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()

    def _exchange(self, letter: bytes, body: object) -> bytes | Failure | None:
        questions, answers = self._process.stdin, self._process.stdout
        if questions is None or answers is None:
            return None
        try:
            write_frame(questions, letter, body)
            frame = read_frame(answers)
        except (OSError, ValueError):  # the pipe is broken, or closed by `kill`
            return None
        if frame is None or frame[0] != FAILURE:
            return frame and frame[1]
        return msgspec.msgpack.decode(frame[1], type=Failure)

    def _end(self) -> str:
        return f" with exit code {self._process.wait()}"


def failed(number: int, cause: Exception) -> ModelError:
    """Gives the error that says which micro-batch failed; raise it from the cause."""
    return ModelError(
        f"micro-batch {number} failed: {type(cause).__name__}: {cause}",
        hint="the cause says where; micro-batches are numbered from 0 in split order",
    )


def rebuild(failure: Failure) -> Exception:
    """Gives an exception like the one a worker met: the same class if it is Shoal's or builtin."""
    error: Exception
    if failure.code is not None:
        error = error_for(failure.code, failure.message, failure.hint)
    else:
        kind = getattr(builtins, failure.kind, RuntimeError)
        is_kept = isinstance(kind, type) and issubclass(kind, Exception)
        text = failure.message if is_kept else f"{failure.kind}: {failure.message}"
        try:
            error = kind(text) if is_kept else RuntimeError(text)
        except TypeError:  # a class that wants more than a message
            error = RuntimeError(f"{failure.kind}: {failure.message}")
    error.add_note(f"in a worker process:\n{failure.traceback}")
    return error
