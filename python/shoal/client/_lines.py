"""An answer of lines, as its bytes arrive: each line is read when it is whole.

What stands behind the last line feed counts if it can be read: the end of a line may be lost, half
of one is none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from shoal.client._wire._json_answers import read_line
from shoal.errors import AnswerError

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, AsyncIterator

    from shoal.client._task import Merged, Result


async def read_lines(
    chunks: AsyncIterable[bytes], limit_bytes: int
) -> AsyncIterator[Result | Merged]:
    """Gives what each line says, when it is whole.

    Args:
        chunks: The body.
        limit_bytes: How long a line may be.

    Raises:
        AnswerError: A line is not what the protocol says, or too long.
    """
    lines = Lines(limit_bytes)
    async for chunk in chunks:
        for line in lines.feed(chunk):
            yield read_line(line)
    try:
        last = read_line(lines.rest()) if lines.rest() else None
    except AnswerError:
        last = None  # cut short: the server went away
    if last is not None:
        yield last


class Lines:
    """Takes bytes in, gives lines out, and keeps what has no end yet.

    Args:
        limit_bytes: How long a line may be.
    """

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._parts: list[bytes] = []
        self._held_bytes = 0

    def feed(self, chunk: bytes) -> list[bytes]:
        """Gives the lines that end in these bytes, without their ends; empty ones are left out.

        Raises:
            AnswerError: A line is longer than the limit.
        """
        *ended, rest = chunk.split(b"\n")
        if ended:
            ended[0] = b"".join([*self._parts, ended[0]])
            self._parts, self._held_bytes = [], 0
        if rest:
            self._parts.append(rest)
            self._held_bytes += len(rest)
        if self._held_bytes > self._limit_bytes:
            raise AnswerError(f"a line of the answer is longer than {self._limit_bytes} bytes")
        return [line for line in ended if line.strip()]

    def rest(self) -> bytes:
        """Gives what came behind the last end of a line."""
        return b"".join(self._parts).strip()
