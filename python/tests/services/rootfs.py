"""Debian as a root file system, made by mmdebstrap once for all runs and kept in `target/`.

The command is the one of docs/guides/images.md: the same bytes each time, as a test there holds.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from tools import blocks

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parents[3]
GUIDE = ROOT / "docs" / "guides" / "images.md"
KEPT = ROOT / "target" / "rootfs"
WAIT_SECONDS = 300


def command() -> str:
    """The command of the guide, which makes `rootfs.tar`."""
    found = [
        each.text
        for each in blocks.blocks_of(GUIDE.read_text("utf-8"))
        if "mmdebstrap --variant" in each.text
    ]
    return found[0].replace("$ ", "")


def debian(program: Callable[[str], str]) -> Path:
    """The tar, made if it is not there."""
    program("mmdebstrap")
    words = command()
    place = KEPT / f"{hashlib.sha256(words.encode()).hexdigest()[:16]}.tar"
    if not place.exists():
        KEPT.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=".making-", dir=KEPT))
        try:
            # The programs of Debian's own administration lie in sbin.
            path = f"{os.environ['PATH']}:/usr/sbin:/sbin"
            environment = {**os.environ, "PATH": path}
            subprocess.run(
                ["bash", "-euc", words],
                cwd=folder,
                env=environment,
                check=True,
                capture_output=True,
                timeout=WAIT_SECONDS,
            )
            with suppress(OSError):  # another run was quicker
                (folder / "rootfs.tar").rename(place)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    return place
