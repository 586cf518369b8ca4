"""The server's memory: no huge pages are asked for, and none forbidden to models."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.end_to_end.driver import serving

if TYPE_CHECKING:
    from tests.end_to_end.models import Sealed

ASKED_FOR = " hg"  # Linux, Documentation/filesystems/proc.rst: VmFlags of /proc/PID/smaps


def flags(process: int) -> list[str]:
    lines = Path(f"/proc/{process}/smaps").read_text("ascii").splitlines()
    return [line for line in lines if line.startswith("VmFlags")]


@pytest.mark.parametrize("is_asked_for", [False, True])
def test_huge_pages_are_asked_for_by_request_only_and_never_forbidden(
    digits: Sealed, *, is_asked_for: bool
) -> None:
    settings = {"MIMALLOC_ALLOW_THP": "1"} if is_asked_for else {}
    with serving(digits.path, arguments=(), **settings) as served:
        process = served.process.pid
        assert any(ASKED_FOR in line for line in flags(process)) == is_asked_for
        assert "\nTHP_enabled:\t1\n" in Path(f"/proc/{process}/status").read_text("ascii")
