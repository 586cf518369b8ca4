"""Groups of many senders, made durable together: while one fsync runs, others gather for the next.

- `store` returns when its group is durable.
- A group with a key is stored once, as long as the key is among the last `REMEMBERED_KEYS`: who
  sends it again is told what the first was told. The keys are notes in the log itself, so they
  are remembered as long as their groups lie there.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from shoal.errors import ShoalError
from shoal.source._received._segments import Group, encoded

if TYPE_CHECKING:
    from shoal.source._received._segments import Segments

REMEMBERED_KEYS = 10_000


class _Waiting(NamedTuple):
    """A group that is not durable yet."""

    group: Group
    size_bytes: int
    is_done: asyncio.Future[int]


class GroupCommit:
    """Stores groups for the senders of one event loop."""

    def __init__(self, log: Segments) -> None:
        """Takes a log, and remembers its keys."""
        self._log = log
        noted = log.notes(REMEMBERED_KEYS)[-REMEMBERED_KEYS:]
        self._keys = OrderedDict((each.note, each.rows) for each in noted)
        self._waiting: list[_Waiting] = []
        self._writer: asyncio.Task[None] | None = None

    async def store(self, group: Group) -> int:
        """Stores a group.

        Args:
            group: Its note is its key, or nothing.

        Returns:
            How many records it has; where its key is known, how many the first one had.

        Raises:
            BusyError: the log is full.
            SourceError: the disk refuses.
        """
        is_done: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Waiting(group, len(encoded(group)), is_done))
        if self._writer is None:
            self._writer = asyncio.create_task(self._write())
        return await is_done

    async def _write(self) -> None:
        """Makes durable what waits, until nothing does."""
        try:
            while some := self._taken():
                await self._append(some)
        finally:
            self._writer = None

    def _taken(self) -> list[_Waiting]:
        """What is appended next: as much as may be at once."""
        size_bytes, count = 0, 0
        for each in self._waiting:
            size_bytes += each.size_bytes
            if count and size_bytes > self._log.append_bytes:
                break
            count += 1
        some, self._waiting = self._waiting[:count], self._waiting[count:]
        return some

    async def _append(self, some: list[_Waiting]) -> None:
        new = self._new(some)
        try:
            await asyncio.to_thread(self._log.append, *new)
            self._remember(new)
            for each in some:
                rows = len(each.group.records)
                _tell(each, self._keys.get(each.group.note, rows))
        except ShoalError as error:
            for each in some:
                _tell(each, type(error)(str(error), hint=error.hint))
        finally:
            for each in some:
                each.is_done.cancel()  # does nothing where an answer was given

    def _new(self, some: list[_Waiting]) -> list[Group]:
        """Those whose key is not known, each once."""
        found: list[Group] = []
        keys: set[bytes] = set()
        for each in some:
            note = each.group.note
            if note not in keys and note not in self._keys:
                found.append(each.group)
            if note:
                keys.add(note)
        return found

    def _remember(self, groups: list[Group]) -> None:
        for group in groups:
            if group.note and group.records:
                self._keys[group.note] = len(group.records)
        while len(self._keys) > REMEMBERED_KEYS:
            self._keys.popitem(last=False)


def _tell(waiting: _Waiting, answer: int | Exception) -> None:
    """Answers a sender, if it is still there."""
    if waiting.is_done.done():
        return
    if isinstance(answer, Exception):
        waiting.is_done.set_exception(answer)
    else:
        waiting.is_done.set_result(answer)


def key(text: str) -> bytes:
    """A key as the note of a group."""
    return msgspec.json.encode(text)
