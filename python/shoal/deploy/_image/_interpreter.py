"""Which Python a base has, and whether Shoal runs on it; read from its files, nothing is run.

- The interpreter is the first `python3` on the base's own PATH, as its links lead on to it.
- Needed are CPython 3.11 or later with its whole standard library, glibc (not musl) as recent as
  all shared libraries ask for, and the runtime library of C++.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn

from shoal.deploy._image._platforms import WHEELS_GLIBC
from shoal.errors import ConfigurationError

if TYPE_CHECKING:
    from shoal.deploy._image._tree import Tree

PYTHON_AT_LEAST = (3, 11)
GLIBC_FILE = "libc.so.6"

_NAME = re.compile(r"python3\.(\d{1,3})")
_GLIBC_RELEASE = re.compile(rb"release version 2\.(\d{1,3})")
# Debian's python3-minimal, for one, is an interpreter without these.
_STANDARD_LIBRARY = ("ctypes", "email", "encodings", "importlib", "json", "urllib")
_LIBRARIES = ("libstdc++.so.6", "libgcc_s.so.1")


@dataclass(frozen=True)
class Interpreter:
    """The Python of a base.

    Attributes:
        path: Where it lies.
        version: Its version, as far as wheels depend on it.
        glibc: The version of glibc beside it.
    """

    path: str
    version: tuple[int, int]
    glibc: tuple[int, int]

    @property
    def name(self) -> str:
        """Its version as text."""
        return ".".join(map(str, self.version))


def find_interpreter(tree: Tree, search_path: str, glibc: tuple[int, int] | None) -> Interpreter:
    """The Python of a base.

    Args:
        tree: What the base holds.
        search_path: Its PATH.
        glibc: The version of its glibc, or None where it has none.

    Raises:
        ConfigurationError: it has none that Shoal runs on.
    """
    path, version = _python(tree, search_path)
    if version < PYTHON_AT_LEAST:
        found, least = (".".join(map(str, each)) for each in (version, PYTHON_AT_LEAST))
        _refuse(f"the base has Python {found} at {path}, expected {least} or later")
    _check_standard_library(tree, path, version)
    if glibc is None:
        _refuse("the base has no glibc, which the wheels of Python's libraries need")
    check_glibc(glibc, WHEELS_GLIBC, "wheels")
    for name in _LIBRARIES:
        if not any(path in tree for path in tree.named(name)):
            _refuse(f"the base lacks the library {name}")
    return Interpreter(path, version, glibc)


def glibc_of(library: bytes) -> tuple[int, int] | None:
    """The version of glibc that the file of the C library states of itself."""
    found = _GLIBC_RELEASE.search(library)
    return None if found is None else (2, int(found[1]))


def check_glibc(found: tuple[int, int], needed: tuple[int, int], what: str) -> None:
    """Refuses a base whose glibc is too old.

    Raises:
        ConfigurationError: it is.
    """
    if found < needed:
        have, need = (".".join(map(str, each)) for each in (found, needed))
        _refuse(f"the base has glibc {have}, expected {need} or later for {what}")


def _python(tree: Tree, search_path: str) -> tuple[str, tuple[int, int]]:
    for folder in search_path.split(":"):
        if (place := tree.resolved(f"{folder}/python3")) is not None:
            name = place.rpartition("/")[2]
            if match := _NAME.fullmatch(name):
                return f"{folder.rstrip('/')}/python3", (3, int(match[1]))
            _refuse(f"the base's {folder}/python3 is {place}, whose version its name does not say")
    return _refuse(f"the base has no python3 on its PATH, {search_path}")


def _check_standard_library(tree: Tree, path: str, version: tuple[int, int]) -> None:
    place = tree.resolved(path) or path
    library = f"{place.rpartition('/')[0]}/../lib/python{version[0]}.{version[1]}"
    for name in _STANDARD_LIBRARY:
        if f"{library}/{name}/__init__.py" not in tree:
            _refuse(f"the Python of the base, {path}, lacks {name} of the standard library")


def _refuse(message: str) -> NoReturn:
    hint = "Take a base with a whole Python 3.11 or later and glibc, such as Debian's python3."
    raise ConfigurationError(message, hint=hint)
