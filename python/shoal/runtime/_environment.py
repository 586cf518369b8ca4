"""Environments from a package's lock: made by uv, kept by the digest of what they are made from.

- A lock is a `requirements.txt` with a hash for every file of every distribution, the indirect
  ones too. Only wheels are taken: building one would run code, and fetch tools, that no hash
  speaks for.
- The cache is `$XDG_CACHE_HOME/shoal/environments`. An environment is made beside its place and
  moved there when it is whole, so two servers may make the same one; once made, it needs no
  network.
- An environment holds what the lock lists and nothing of Shoal. A worker finds Shoal and the three
  libraries that it needs (msgspec, numpy, pyarrow) behind them, linked from this process's own
  environment: where the lock has one of the three, the lock's is used.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Final

from shoal.errors import RequirementError, StorageError

if TYPE_CHECKING:
    from collections.abc import Iterable

_OWN_DISTRIBUTIONS: Final = ("msgspec", "numpy", "pyarrow")
_UV_LIMIT_S: Final = 1800
_SHOWN_CHARACTERS: Final = 600


def lock_requirements(requirements: Iterable[str]) -> bytes:
    """The hashed lock of some requirements, with all that they require, for this interpreter.

    Uses the network, unless uv's settings (such as UV_FIND_LINKS and UV_OFFLINE) say otherwise.

    Raises:
        RequirementError: uv is not installed, or finds no set of wheels.
    """
    text = "".join(f"{requirement}\n" for requirement in requirements).encode()
    options = ["--generate-hashes", "--no-header", "--no-annotate", "--only-binary", ":all:"]
    command = ["pip", "compile", "--quiet", "--python", sys.executable, *options, "-"]
    return _uv(command, "the requirements cannot be locked", given=text)


def interpreter(lock: bytes) -> Path:
    """The Python of an environment that holds exactly what a lock lists; made when it is not there.

    Raises:
        RequirementError: the lock has no hashes, uv is not installed, or it finds no such wheels.
        StorageError: the cache cannot be written.
    """
    if lock.strip() and b"--hash=" not in lock:
        message = "the package has no lock with hashes, which worker_environment=locked needs"
        hint = "Seal it with Settings(lock=True), or serve it with worker_environment=current."
        raise RequirementError(message, hint=hint)
    place = _cache() / _digest(lock)
    if not place.exists():
        try:
            _make(lock, place)
        except OSError as error:
            message = f"the environment {place} cannot be written: {error.strerror or error}"
            raise StorageError(message) from error
    return place / "bin" / "python"


def link_own_modules(directory: Path) -> Path:
    """Fills a directory with links to Shoal and what it needs in a worker."""
    directory.mkdir()
    (directory / "shoal").symlink_to(Path(__file__).parents[1])
    for name in _OWN_DISTRIBUTIONS:
        distribution = metadata.distribution(name)
        for top in sorted({file.parts[0] for file in distribution.files or ()} - {".."}):
            found = Path(str(distribution.locate_file(top)))
            if top != "__pycache__" and found.exists():
                (directory / top).symlink_to(found)
    return directory


def _cache() -> Path:
    base = os.environ.get("XDG_CACHE_HOME")
    return Path(base) if base else Path.home() / ".cache"


def _digest(lock: bytes) -> Path:
    """Where an environment lies in the cache: by its lock and the interpreter it is for."""
    made_from = b"\0".join((lock, sys.version.encode(), sys.base_prefix.encode()))
    return Path("shoal", "environments", hashlib.sha256(made_from).hexdigest())


def _make(lock: bytes, place: Path) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(prefix=".making-", dir=place.parent))
    try:
        environment, file = staging / "environment", staging / "requirements.txt"
        file.write_bytes(lock)
        failure = "the environment of the package's lock cannot be made"
        python = ["--python", sys.executable]
        _uv(["venv", "--quiet", "--relocatable", *python, str(environment)], failure)
        exact = ["--require-hashes", "--only-binary", ":all:", "--allow-empty-requirements"]
        target = ["--python", str(environment / "bin" / "python")]
        _uv(["pip", "sync", "--quiet", *exact, *target, str(file)], failure)
        _move(environment, place)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _move(environment: Path, place: Path) -> None:
    try:
        environment.rename(place)
    except OSError:
        if not place.exists():  # else another process has made it meanwhile: the same content
            raise


def _uv(arguments: list[str], failure: str, *, given: bytes = b"") -> bytes:
    program = shutil.which("uv")
    if program is None:
        message = f"{failure}: the program uv is not installed"
        raise RequirementError(message, hint="pip install uv")
    command = [program, *arguments]
    try:
        answer = subprocess.run(  # noqa: S603 - uv, found on the PATH, and no shell
            command, input=given, capture_output=True, check=False, timeout=_UV_LIMIT_S
        )
    except subprocess.TimeoutExpired as error:
        message = f"{failure}: uv had not ended after {_UV_LIMIT_S} s"
        raise RequirementError(message) from error
    if answer.returncode != 0:
        said = " ".join(answer.stderr.decode(errors="replace").split())
        hint = "A locked environment takes wheels whose hashes the lock lists, and nothing else."
        raise RequirementError(f"{failure}: {said[-_SHOWN_CHARACTERS:]}", hint=hint)
    return answer.stdout
