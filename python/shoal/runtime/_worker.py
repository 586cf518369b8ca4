"""A worker: a process that opens one Python package and answers micro-batches over a socket.

- It ends when the socket closes.
- The socket is standard input, and is taken away from it before any code of the package runs:
  standard input is then empty, and standard output is the server's error output, so what a model
  prints harms nobody.
- Ctrl-C and SIGTERM are the server's to answer; it ends its workers once nobody waits for them.
- On Linux the worker is killed with its server, also while a model runs. Elsewhere, when it next
  reads.
- The memory limit is RLIMIT_DATA: what the process allocates for itself. RLIMIT_AS would also
  count mapped files, shared libraries, and address space that allocators and threads reserve and
  never touch.
- Whatever a model raises, SystemExit too, is the answer to its micro-batch; the worker lives on.

The protocol: `protocol/worker.md`. Imports at the top are light: the limit holds for all that
follows.
"""

from __future__ import annotations

import os
import resource
import signal
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from shoal.errors import ModelError, ShoalError
from shoal.runtime._description import read_description
from shoal.runtime._frames import (
    Failure,
    Kind,
    Setup,
    pack_columns,
    receive,
    send,
    unpack_columns,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from shoal.runtime._python import PythonModel

_PR_SET_PDEATHSIG = 1  # Source: Linux, include/uapi/linux/prctl.h


def main() -> None:
    """Serves the process at the other end of standard input."""
    with _taken_from_standard_input() as server:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        # Not ignored: what a model starts would inherit that.
        signal.signal(signal.SIGTERM, lambda *_: None)
        frame = receive(server)
        if frame is None:
            return
        setup = msgspec.json.decode(frame[1], type=Setup)
        _die_with(setup.server_process)
        try:
            model = _opened(setup)
        except BaseException as error:  # noqa: BLE001 - whatever the source raises, SystemExit too
            send(server, Kind.FAILURE, [_failure(error, setup, _hint_at_start(setup))])
            return
        send(server, Kind.READY, [])
        while (frame := receive(server)) is not None:
            _answer(server, model, frame[1], setup)


def _taken_from_standard_input() -> socket.socket:
    server = socket.socket(fileno=os.dup(0))
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    return server


def _die_with(server_process: int) -> None:
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != server_process:  # it has died before that was said
        os._exit(1)


def _opened(setup: Setup) -> PythonModel:
    if setup.memory_limit_bytes is not None:
        limit = setup.memory_limit_bytes
        resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    description = read_description(bytes(setup.description))
    import pyarrow as pa

    from shoal.runtime._python import PythonModel

    # With its first array pyarrow imports pandas, where that is installed. That takes as long as
    # many calls may, so it is done before there is one.
    pa.array([0.0])

    try:
        return PythonModel(description, Path(setup.directory))
    except SystemExit as error:
        message = f"{description.binding.object} cannot be imported: SystemExit: {error}"
        raise ModelError(message) from error


def _answer(server: socket.socket, model: PythonModel, body: memoryview, setup: Setup) -> None:
    try:
        columns = unpack_columns(body, model.signature.inputs)
        parts = pack_columns(model.answer(columns))
    except BaseException as error:  # noqa: BLE001 - whatever the model raises, SystemExit too
        send(server, Kind.FAILURE, [_failure(error, setup)])
    else:
        send(server, Kind.ANSWER, parts)


def _hint_at_start(setup: Setup) -> str | None:
    limit = setup.memory_limit_bytes
    if limit is None:
        return None
    return f"worker_memory_limit_bytes is {limit}: does the model open with more?"


def _failure(error: BaseException, setup: Setup, hint: str | None = None) -> bytes:
    if isinstance(error, ShoalError):
        code, message, hint = error.code, str(error), error.hint or hint
    else:
        code, message = ModelError.code, f"the model raised {type(error).__name__}: {error}"
    if any(isinstance(each, MemoryError) for each in _causes(error)):
        limit = setup.memory_limit_bytes
        stated = "" if limit is None else f" (worker_memory_limit_bytes is {limit})"
        message = f"{message}: the worker is out of memory{stated}"
        hint = "Send fewer records in one request, or raise worker_memory_limit_bytes."
    readable = message.encode(errors="replace").decode()  # a text of a model may be no Unicode
    return msgspec.json.encode(Failure(code, readable, hint))


def _causes(error: BaseException) -> Iterator[BaseException]:
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__
