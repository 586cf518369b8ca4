"""Containers of an image by buildah, in a store of their own that is removed afterwards.

`--isolation chroot` needs no namespaces and no control groups, and `vfs`, which is taken where the
system has no overlay file system, nothing at all: this works wherever tests run as root.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

NAME = "served"
_READ_ONLY = """
mkdir -p "$1/proc" "$1/dev"
mount --bind "$1" "$1"
mount -t proc proc "$1/proc"
mount -t tmpfs tmpfs "$1/tmp"
mount --bind /dev "$1/dev"
mount -o remount,bind,ro "$1"
shift
exec "$@"
"""


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
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, text=True, start_new_session=True
        )
        try:
            assert process.stdout is not None
            yield json.loads(process.stdout.readline())
            for server in _started_by(process.pid):
                os.kill(server, signal.SIGTERM)
            assert process.wait(20) == 0
        finally:
            with suppress(ProcessLookupError):  # all have ended
                os.killpg(process.pid, signal.SIGKILL)
            process.communicate()

    @contextmanager
    def alone(self, words: Sequence[str]) -> Iterator[tuple[dict[str, str], int]]:
        """Runs a server as the first process, on a file system that is read only but for /tmp.

        Gives what it says once it answers, and its process; it has to be ended in the block.
        """
        configuration = self.configuration()
        user = f"--userspec={configuration['User']}"
        command = ["unshare", "--mount", "--pid", "--fork", "sh", "-euc", _READ_ONLY, "sh"]
        command += [str(self.root()), "env", "-i", *configuration["Env"]]
        command += ["/usr/sbin/chroot", user, str(self.root()), *words]
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, text=True, start_new_session=True
        ) as process:
            try:
                assert process.stdout is not None
                told = json.loads(process.stdout.readline())
                (server,) = _children(process.pid)
                yield told, server
                assert process.wait(20) == 0
            finally:
                with suppress(ProcessLookupError):  # all have ended
                    os.killpg(process.pid, signal.SIGKILL)

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


def _started_by(process: int) -> list[int]:
    """What buildah started: it starts itself anew several times before."""
    words = Path(f"/proc/{process}/cmdline").read_bytes().partition(b"\0")[0]
    if b"buildah" not in words:
        return [process]
    return [found for each in _children(process) for found in _started_by(each)]


def _children(process: int) -> list[int]:
    below: list[int] = []
    for task in Path(f"/proc/{process}/task").glob("*/children"):
        below += [int(each) for each in task.read_text().split()]
    return below


def files_of(root: Path) -> dict[str, tuple[int, int]]:
    """Every file below a folder, with when it changed and how large it is."""
    found = {}
    for path in sorted(root.rglob("*")):
        if path.is_file() and not path.is_symlink():
            about = path.stat()
            found[str(path.relative_to(root))] = (about.st_mtime_ns, about.st_size)
    return found
