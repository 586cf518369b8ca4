"""Wheels for another platform, installed by uv into a folder; nothing of them is run.

- uv says which wheel of a requirement the platform and its Python take; its hash must be one that
  the lock lists, and then only a file of that hash is installed.
- What is installed is listed by the wheels themselves (RECORD). A path of two wheels with other
  bytes is refused, and so is one that leads out of the folder: nothing else of this machine gets
  into an image. Programs, compiled files and what an installer notes are left out.
- Of libraries that Shoal brings along itself, what serving never reads is left out as well.

Source: binary distribution format, https://packaging.python.org/specifications/binary-distribution-format/;
pylock.toml, https://packaging.python.org/specifications/pylock-toml/.
"""

from __future__ import annotations

import csv
import shutil
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from shoal.deploy._image._layer import Entry
from shoal.deploy._image._requirements import normal_name
from shoal.errors import CorruptPackageError, RequirementError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from shoal.deploy._image._interpreter import Interpreter
    from shoal.deploy._image._platforms import Platform
    from shoal.deploy._image._requirements import Locked

_UV_LIMIT_S = 1800
_SHOWN_CHARACTERS = 600
# The server loads ONNX Runtime's shared library; the Python module around it is twice as large.
_KEPT_OF = {
    "onnxruntime": (
        "onnxruntime/capi/libonnxruntime.so*",
        "onnxruntime/LICENSE",
        "onnxruntime/ThirdPartyNotices.txt",
        "*.dist-info/*",
    ),
}
_LEFT_OUT = ("*/tests/*", "*/test/*", "pyarrow/include/*", "pyarrow/src/*", "numpy/*/include/*")
_NEVER = (
    *("../*", "*.pyc", "*/__pycache__/*"),
    *("*.dist-info/INSTALLER", "*.dist-info/RECORD", "*.dist-info/REQUESTED"),
    *("*.dist-info/direct_url.json", "*.dist-info/uv_*.json", "*.dist-info/sboms/*"),
)


@dataclass(frozen=True)
class Wheel:
    """A wheel that is installed.

    Attributes:
        name: Its distribution.
        version: Its version.
        sha256: The hash of its file.
    """

    name: str
    version: str
    sha256: str


def choose_wheels(
    locked: Sequence[Locked], platform: Platform, interpreter: Interpreter
) -> tuple[Wheel, ...]:
    """The wheels that the requirements mean for a platform and its Python; uses uv.

    Raises:
        RequirementError: uv is not installed or finds none, or the lock lists another hash.
    """
    if not locked:
        return ()
    given = "".join(f"{each.line()}\n" for each in locked).encode()
    form = ["--no-deps", "--no-header", "--format", "pylock.toml", "--only-binary", ":all:"]
    words = ["pip", "compile", "--quiet", *form, *_target(platform, interpreter), "-"]
    answer = _uv(words, f"there are no wheels for {_told(platform, interpreter)}", given=given)
    hashes: dict[tuple[str, str], frozenset[str]] = {}
    for each in locked:
        key = (each.name, each.version)
        hashes[key] = hashes.get(key, frozenset()) | each.hashes
    packages = tomllib.loads(answer.decode()).get("packages", [])
    return tuple(_wheel(each, hashes) for each in packages)


def install_wheels(
    wheels: Sequence[Wheel], platform: Platform, interpreter: Interpreter, folder: Path
) -> None:
    """Installs wheels, and what they require not unless it is among them; uses uv.

    Raises:
        RequirementError: uv is not installed, or cannot have these wheels.
    """
    lock = folder.with_name("wheels.txt")
    lines = [f"{each.name}=={each.version} --hash=sha256:{each.sha256}\n" for each in wheels]
    lock.write_text("".join(lines), encoding="utf-8")
    exact = ["--require-hashes", "--no-deps", "--only-binary", ":all:", "--link-mode", "copy"]
    target = ["--target", str(folder), *_target(platform, interpreter)]
    words = ["pip", "install", "--quiet", *exact, *target, "-r", str(lock)]
    _uv(words, f"the wheels for {_told(platform, interpreter)} cannot be installed")


def installed_files(folder: Path, *, is_own: bool) -> dict[str, Entry]:
    """What wheels brought to a folder, by path.

    Args:
        folder: The folder.
        is_own: Whether these are Shoal's libraries, of which only what serving reads is taken.

    Raises:
        CorruptPackageError: two wheels bring other bytes under one path, a file is missing, or a
            path leads out of the folder.
    """
    found: dict[str, Entry] = {}
    said: dict[str, tuple[str, str]] = {}
    for record in sorted(folder.glob("*.dist-info/RECORD")):
        name = normal_name(record.parent.name.partition("-")[0])
        for path, hashed in _listed(record):
            if _is_taken(name, path, is_own=is_own):
                _check_once(said, path, name, hashed)
                found[path] = _entry(folder, path)
    return found


def _wheel(package: Mapping[str, Any], hashes: Mapping[tuple[str, str], frozenset[str]]) -> Wheel:
    name, version = normal_name(package["name"]), package.get("version", "")
    found = [each["hashes"]["sha256"] for each in package.get("wheels", ())]
    if len(found) != 1 or found[0] not in hashes.get((name, version), frozenset()):
        message = f"the wheel of {name} {version} has not a hash that the lock lists"
        hint = "Does the package index offer other files than the one the lock was made from?"
        raise RequirementError(message, hint=hint)
    return Wheel(name, version, found[0])


def _target(platform: Platform, interpreter: Interpreter) -> list[str]:
    # This interpreter only answers for uv: without one named, uv looks for one of that version.
    here = ["--python", sys.executable]
    return [*here, "--python-platform", platform.wheels, "--python-version", interpreter.name]


def _told(platform: Platform, interpreter: Interpreter) -> str:
    return f"{platform.name} and Python {interpreter.name}"


def _listed(record: Path) -> Iterable[tuple[str, str]]:
    with record.open(encoding="utf-8", newline="") as file:
        yield from ((row[0], row[1]) for row in csv.reader(file) if len(row) > 1)


def _is_taken(name: str, path: str, *, is_own: bool) -> bool:
    if _matches(path, _NEVER) or path.startswith(("bin/", "/")):
        return False
    if not is_own:
        return True
    return _matches(path, _KEPT_OF.get(name, ("*",))) and not _matches(path, _LEFT_OUT)


def _matches(path: str, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(path, pattern) for pattern in patterns)


def _check_once(said: dict[str, tuple[str, str]], path: str, name: str, hashed: str) -> None:
    before = said.setdefault(path, (name, hashed))
    if before[1] != hashed:
        message = f"{before[0]} and {name} both bring the file {path}, with other bytes"
        raise CorruptPackageError(message)


def _entry(folder: Path, path: str) -> Entry:
    place = folder / path
    is_inside = place.resolve() == folder.resolve() / path
    if not is_inside or not place.is_file():
        message = f"a wheel lists {path}, which it did not bring as a plain file"
        raise CorruptPackageError(message)
    return Entry(place)


def _uv(words: list[str], failure: str, *, given: bytes = b"") -> bytes:
    program = shutil.which("uv")
    if program is None:
        message = f"{failure}: the program uv is not installed"
        raise RequirementError(message, hint="pip install uv")
    try:
        answer = subprocess.run(  # noqa: S603 - uv, found on the PATH, and no shell
            [program, *words], input=given, capture_output=True, check=False, timeout=_UV_LIMIT_S
        )
    except subprocess.TimeoutExpired as error:
        message = f"{failure}: uv had not ended after {_UV_LIMIT_S} s"
        raise RequirementError(message) from error
    if answer.returncode != 0:
        said = " ".join(answer.stderr.decode(errors="replace").split())
        hint = "An image takes wheels whose hashes a lock lists, and nothing else."
        raise RequirementError(f"{failure}: {said[-_SHOWN_CHARACTERS:]}", hint=hint)
    return answer.stdout
