"""The client of JavaScript: installed and compiled where what it is made of has changed."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

CLIENT = Path(__file__).parents[3] / "clients" / "javascript"
PACKAGES = CLIENT / "node_modules" / ".made-of"
COMPILED = CLIENT / "build" / ".made-of"
MADE = {"node_modules", "build", "dist"}


def run(*command: str, **environment: str) -> None:
    """Runs a command of the client's; what it printed is told when it fails."""
    answer = subprocess.run(
        command,
        cwd=CLIENT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.returncode == 0, f"{' '.join(command)}\n{answer.stdout}\n{answer.stderr}"


def make(npm: str) -> None:
    """Installs and compiles the client, unless that was done; one process after the other."""
    with (CLIENT / "package.json").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        listed = [CLIENT / "package.json", CLIENT / "package-lock.json"]
        _unless_made(PACKAGES, listed, lambda: _install(npm))
        _unless_made(COMPILED, _sources(), lambda: _compile(npm))


def _install(npm: str) -> None:
    run(npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund")


def _compile(npm: str) -> None:
    for made in ("build", "dist"):
        shutil.rmtree(CLIENT / made, ignore_errors=True)
    run(npm, "run", "build")


def _digest_of(paths: Iterable[Path]) -> str:
    """What files hold, as a digest."""
    digest = hashlib.sha256()
    for path in sorted(paths):
        digest.update(str(path).encode() + path.read_bytes())
    return digest.hexdigest()


def _unless_made(mark: Path, of: Iterable[Path], make: Callable[[], None]) -> None:
    """Makes something, unless it was made of the same."""
    digest = _digest_of(of)
    if not mark.exists() or mark.read_text("utf-8") != digest:
        make()
        mark.write_text(digest, "utf-8")


def _sources() -> Iterable[Path]:
    """The files of the client that are not made."""
    for path in CLIENT.iterdir():
        if path.name not in MADE:
            yield from [path] if path.is_file() else filter(Path.is_file, path.rglob("*"))
