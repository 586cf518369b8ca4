"""Containers of an image by buildah, in a store of their own that is removed afterwards.

`--isolation chroot` needs no namespaces and no control groups, and `vfs`, which is taken where the
system has no overlay file system, nothing at all: this works wherever tests run as root.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

NAME = "served"


class Container:
    """A container that was made of an image."""

    def __init__(self, program: str, store: Path) -> None:
        self._command = [program, "--root", str(store / "root"), "--runroot", str(store / "run")]
        # `vfs` copies the whole file system for every layer: it works everywhere, and slowly.
        overlay = [*self._command, "--storage-driver", "overlay"]
        is_able = subprocess.run([*overlay, "info"], capture_output=True, check=False)
        self._command += ["--storage-driver", "vfs" if is_able.returncode else "overlay"]

    def make(self, image: str) -> None:
        self._run("from", "--quiet", "--pull-never", "--name", NAME, image)

    def remove(self) -> None:
        self._run("rm", "--all")
        self._run("rmi", "--all", "--force")

    def configuration(self) -> Any:
        """What the image says of how it is run."""
        return json.loads(self._run("inspect", NAME))["OCIv1"]["config"]

    def root(self) -> Path:
        """Where its file system lies."""
        return Path(self._run("mount", NAME).strip())

    def run(self, *words: str) -> str:
        """Runs a command in it, and gives what it printed."""
        return self._run("run", "--isolation", "chroot", NAME, "--", *words)

    def answered(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Runs a command in it, which may fail."""
        command = [*self._command, "run", "--isolation", "chroot", NAME, "--", *words]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    @contextmanager
    def serving(self, words: Sequence[str]) -> Iterator[dict[str, str]]:
        """Runs a server in it: what it says once it answers; SIGTERM at the end of the block."""
        command = [*self._command, "run", "--isolation", "chroot", NAME, "--", *words]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            try:
                assert process.stdout is not None
                yield json.loads(process.stdout.readline())
            finally:
                for server in _youngest(process.pid):
                    os.kill(server, signal.SIGTERM)
                process.wait(20)
        assert process.returncode == 0

    def _run(self, *words: str) -> str:
        answer = subprocess.run(
            [*self._command, *words], capture_output=True, text=True, check=False
        )
        assert answer.returncode == 0, answer.stderr
        return answer.stdout


@contextmanager
def container(program: Callable[[str], str], image: Path, store: Path) -> Iterator[Container]:
    """A container of the image in an OCI layout."""
    made = Container(program("buildah"), store)
    made.make(f"oci:{image}")
    try:
        yield made
    finally:
        made.remove()


def _youngest(process: int) -> list[int]:
    """The processes below a process that have none below them: buildah starts itself anew."""
    below: list[int] = []
    for task in Path(f"/proc/{process}/task").glob("*/children"):
        below += [int(each) for each in task.read_text().split()]
    return [found for each in below for found in _youngest(each)] or [process]


def files_of(root: Path) -> dict[str, tuple[int, int]]:
    """Every file below a folder, with when it changed and how large it is."""
    found = {}
    for path in sorted(root.rglob("*")):
        if path.is_file() and not path.is_symlink():
            about = path.stat()
            found[str(path.relative_to(root))] = (about.st_mtime_ns, about.st_size)
    return found
