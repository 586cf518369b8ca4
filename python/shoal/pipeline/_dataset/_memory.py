"""The allocator of the records of a run.

mimalloc, where Arrow allocates unless told otherwise, gives large buffers back to the system as
soon as they are free, and each epoch pays for its pages again; jemalloc keeps them for the next.
Whoever chose an allocator, by Arrow's variable or by its call, keeps it.

Source: "Memory Pools" in Arrow's C++ documentation, `ARROW_DEFAULT_MEMORY_POOL`.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

GIVES_BACK = "mimalloc"
KEEPS = "jemalloc"
CHOICE = "ARROW_DEFAULT_MEMORY_POOL"


@contextmanager
def kept_memory() -> Iterator[None]:
    """Allocate from the pool that keeps its pages, inside the block."""
    import pyarrow as pa

    before = pa.default_memory_pool()
    is_chosen = CHOICE in os.environ or before.backend_name != GIVES_BACK
    if is_chosen or KEEPS not in pa.supported_memory_backends():
        yield
        return
    pa.set_memory_pool(pa.jemalloc_memory_pool())
    try:
        yield
    finally:
        pa.set_memory_pool(before)
