"""Random texts, whole columns at a time."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Random = np.random.Generator

LETTERS, SPACE = (ord("a"), ord("z") + 1), ord(" ")
SHORTEST = 3
# One in so many characters of a name is a space.
SPACE_EVERY = 13


def words(random: Random, rows: int, below: int) -> pa.Array:
    """Texts of 3 up to `below` characters, of letters and now and then a space between them."""
    lengths = random.integers(SHORTEST, below, rows)
    ends = np.cumsum(lengths)
    data = random.integers(*LETTERS, int(ends[-1]) if rows else 0, np.uint8)
    is_space = random.random(len(data), np.float32) < 1 / SPACE_EVERY
    is_space[ends - 1] = is_space[ends - lengths] = False
    data[is_space] = SPACE
    return _texts(lengths, data)


def filling(random: Random, taken: NDArray[np.int64], average: int) -> pa.Array:
    """Texts by which records that take so many bytes reach an average size, give or take 20 %."""
    left = np.maximum(average - taken, 0)
    spread = np.round(left * 0.2).astype(np.int64)
    lengths = left - spread + (random.random(len(left)) * 2 * spread).astype(np.int64)
    return _texts(lengths, random.integers(*LETTERS, int(lengths.sum()), np.uint8))


def chosen(random: Random, rows: int, among: Sequence[str]) -> pa.Array:
    """One of these for each row, all equally likely."""
    return pa.array(among).take(pa.array(random.integers(0, len(among), rows)))


def identities(random: Random, count: int) -> list[str]:
    """Random UUIDs."""
    return [str(uuid.UUID(bytes=random.bytes(16), version=4)) for _ in range(count)]


def lengths_of(*texts: pa.Array) -> NDArray[np.int64]:
    """How many bytes the texts of each row take together."""
    total: NDArray[np.int64] = np.zeros(len(texts[0]), np.int64)
    for each in texts:
        total += np.diff(_offsets(each))
    return total


def _offsets(texts: pa.Array) -> NDArray[np.int32]:
    return np.frombuffer(texts.buffers()[1], np.int32)[texts.offset : texts.offset + len(texts) + 1]


def _texts(lengths: NDArray[np.int64], data: NDArray[np.uint8]) -> pa.Array:
    offsets = np.zeros(len(lengths) + 1, np.int32)
    np.cumsum(lengths, out=offsets[1:])
    return pa.StringArray.from_buffers(len(lengths), pa.py_buffer(offsets), pa.py_buffer(data))
