"""The commands of the guide work, word for word."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from tests.services import rootfs
from tools import blocks

if TYPE_CHECKING:
    from collections.abc import Callable

    from shoal.package import Package

FROM_DISK = ("shoal image base rootfs.tar", "shoal image build digits --base base")


def commands() -> list[str]:
    """The commands that need neither a network nor a daemon."""
    found = [
        line.removeprefix("$ ")
        for block in blocks.blocks_of(rootfs.GUIDE.read_text("utf-8"))
        for line in block.text.splitlines()
        if line.startswith("$ ")
    ]
    return sorted({each for each in found if each.startswith(FROM_DISK)})


def shoal(words: str, folder: Path) -> subprocess.CompletedProcess[str]:
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    return subprocess.run(
        [sys.executable, "-m", "shoal.cli", *words.split()],
        cwd=folder,
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_commands_of_the_guide_make_an_image(
    program: Callable[[str], str], double: Package, tmp_path: Path
) -> None:
    (tmp_path / "rootfs.tar").symlink_to(rootfs.debian(program))
    (tmp_path / "digits").symlink_to(double.path)
    base, build = sorted(commands(), key=lambda words: "build" in words)
    answer = shoal(base.removeprefix("shoal "), tmp_path)
    assert answer.returncode == 0, answer.stderr
    assert "Python 3.11" in answer.stdout
    answer = shoal(build.removeprefix("shoal "), tmp_path)
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.startswith("image         image\ndigest        sha256:")


def test_json_is_one_object_also_for_an_error(base: Path, tmp_path: Path) -> None:
    words = f"image build --base {base} --platform linux/amd64 --json --output"
    answer = shoal(f"{words} {tmp_path / 'image'}", tmp_path)
    made = json.loads(answer.stdout)
    assert (answer.returncode, answer.stderr) == (0, "")
    assert made["output"] == str(tmp_path / "image")
    assert made["platforms"][0]["platform"] == "linux/amd64"
    answer = shoal(f"{words} {tmp_path / 'image'}", tmp_path)
    assert (answer.returncode, answer.stdout) == (1, "")
    assert json.loads(answer.stderr)["code"] == "storage_failed"


def test_without_a_base_the_words_were_wrong(tmp_path: Path) -> None:
    answer = shoal("image build --output image", tmp_path)
    assert answer.returncode == 2
    assert "--base" in answer.stderr
    assert list(tmp_path.iterdir()) == []
