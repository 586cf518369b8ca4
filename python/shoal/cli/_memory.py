"""The memory of a process stays small and flat: its allocators ask the system for no huge pages.

mimalloc, the allocator of the native core, asks for them once, when the core is loaded. A page of
2 MiB in which a few KiB are used is resident as a whole, and the system makes such pages at any
time later: memory then rises in steps for half an hour. Requests are small, and gain nothing.

The allocator's own way to ask for none forbids them to the whole process and its children, where a
large model may gain by them; so that is taken back at once, and the system's setting counts again.
"""

from __future__ import annotations

import ctypes
import os
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

VARIABLE = "MIMALLOC_ALLOW_THP"
# Source: Linux, include/uapi/linux/prctl.h.
PR_SET_THP_DISABLE = 41
PR_GET_THP_DISABLE = 42

# Arrow reads it when it is loaded. Source: arrow.apache.org/docs/cpp/env_vars.html.
ARROW_POOL = "ARROW_DEFAULT_MEMORY_POOL"


@contextmanager
def sparing_memory() -> Iterator[None]:
    """Load Arrow and the core inside: they return what they do not use, at no loss of speed."""
    has_chosen = ARROW_POOL in os.environ
    os.environ.setdefault(ARROW_POOL, "system")
    try:
        with without_huge_pages():
            yield
    finally:
        if not has_chosen:
            del os.environ[ARROW_POOL]


@contextmanager
def without_huge_pages() -> Iterator[None]:
    """Load the core inside; who has set the allocator's variable has decided otherwise."""
    if sys.platform != "linux" or VARIABLE in os.environ:
        yield
        return
    libc = ctypes.CDLL(None)
    are_forbidden = libc.prctl(PR_GET_THP_DISABLE, 0, 0, 0, 0)
    os.environ[VARIABLE] = "0"
    try:
        yield
    finally:
        del os.environ[VARIABLE]
        libc.prctl(PR_SET_THP_DISABLE, are_forbidden, 0, 0, 0)
