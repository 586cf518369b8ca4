"""Messages between a process and its worker: a letter, a length of 8 bytes, a body.

| letter | from | body |
|---|---|---|
| S | parent | the path of the function, UTF-8 |
| R | worker | empty: the function is there |
| B | parent | a micro-batch, as `_wire` encodes it |
| A | worker | the answer, as `_wire` encodes it |
| E | worker | a `Failure`: what was raised |
"""

from __future__ import annotations

import struct
from typing import IO, Final

import msgspec

SETUP: Final = b"S"
READY: Final = b"R"
BATCH: Final = b"B"
ANSWER: Final = b"A"
FAILURE: Final = b"E"

HEADER = struct.Struct("<cQ")


class Failure(msgspec.Struct, frozen=True):
    """What a worker's function raised: the text is sent, never the object."""

    kind: str
    message: str
    traceback: str
    code: str | None = None
    hint: str | None = None


def write_frame(stream: IO[bytes], letter: bytes, body: object = b"") -> None:
    """Writes one message; `body` is anything with the buffer protocol."""
    view = memoryview(body)  # type: ignore[arg-type]  # any buffer, also Arrow's
    stream.write(HEADER.pack(letter, view.nbytes))
    stream.write(view)
    stream.flush()


def read_frame(stream: IO[bytes]) -> tuple[bytes, bytes] | None:
    """Reads one message; None where the other side has ended."""
    header = stream.read(HEADER.size)
    if len(header) < HEADER.size:
        return None
    letter, length = HEADER.unpack(header)
    body = stream.read(length)
    return (letter, body) if len(body) == length else None
