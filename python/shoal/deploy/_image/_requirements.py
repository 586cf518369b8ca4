"""What an image needs to be installed: by name, version and hash.

- `serving.txt` is Shoal's own set, from its `uv.lock`: what a server of ONNX packages imports, and
  numpy and pyarrow besides, which workers of Python packages need.
- A Python package brings a lock of its own. What both list is taken in the package's version, as
  pip would; Shoal must be able to run with it.
- Every requirement has hashes. One without is refused, not fetched.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib import metadata, resources
from typing import TYPE_CHECKING, Literal

from shoal.errors import RequirementError

if TYPE_CHECKING:
    from collections.abc import Iterable

Size = Literal["onnx", "python"]

FOR_WORKERS = frozenset({"numpy", "pyarrow"})
"""What only the workers of Python packages import."""

_LINE = re.compile(
    r"(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*)==(?P<version>[A-Za-z0-9.!+_-]+)"
    r"(?:\s*;\s*(?P<marker>[^#\\]*?))?(?P<hashes>(?:\s+--hash=\S+)*)\s*"
)
_HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})(?=\s|$)")
_BOUND = re.compile(r"(>=|<=|==|!=|<|>)\s*([0-9.]+)")
_WORD = re.compile(r"[-_.]+")


@dataclass(frozen=True)
class Locked:
    """One line of a lock.

    Attributes:
        name: The distribution, as indexes spell it.
        version: The version.
        marker: Where the line holds; "" where it always does.
        hashes: The digests that its files may have.
    """

    name: str
    version: str
    marker: str
    hashes: frozenset[str]

    def line(self) -> str:
        """The requirement, without hashes."""
        return f"{self.name}=={self.version}" + (f" ; {self.marker}" if self.marker else "")


def serving(size: Size) -> tuple[Locked, ...]:
    """Shoal's own set for packages of a runtime."""
    text = resources.files("shoal.deploy._image").joinpath("serving.txt").read_text("utf-8")
    every = read_lock(text, "serving.txt")
    return tuple(each for each in every if size == "python" or each.name not in FOR_WORKERS)


def read_lock(text: str, what: str) -> tuple[Locked, ...]:
    """The lines of a lock.

    Raises:
        RequirementError: a line is not NAME==VERSION with hashes.
    """
    lines = (line.strip() for line in text.replace("\\\n", " ").splitlines())
    return tuple(_locked(line, what) for line in lines if line and not line.startswith("#"))


def together(own: Iterable[Locked], package: tuple[Locked, ...]) -> tuple[Locked, ...]:
    """Shoal's own set without what the lock of a package lists.

    Raises:
        RequirementError: Shoal does not run with a version that the package's lock lists.
    """
    bounds = _bounds()
    for each in package:
        if not meets(each.version, bounds.get(each.name, "")):
            message = f"the package's lock has {each.name} {each.version}"
            message = f"{message}, Shoal needs {each.name}{bounds[each.name]}"
            raise RequirementError(message, hint="Seal the package anew beside this Shoal.")
    names = {each.name for each in package}
    return tuple(each for each in own if each.name not in names)


def meets(version: str, bounds: str) -> bool:
    """Whether a version is within bounds such as `>=1.31,<1.32`."""
    found = _release(version)
    checks = {
        ">=": found.__ge__,
        "<=": found.__le__,
        "<": found.__lt__,
        ">": found.__gt__,
        "==": found.__eq__,
        "!=": found.__ne__,
    }
    return all(checks[sign](_release(bound)) for sign, bound in _BOUND.findall(bounds))


def normal_name(name: str) -> str:
    """The name of a distribution as indexes spell it."""
    return _WORD.sub("-", name).lower()


def _locked(line: str, what: str) -> Locked:
    match = _LINE.fullmatch(line)
    hashes = frozenset(_HASH.findall(match["hashes"])) if match else frozenset()
    if match is None or not hashes:
        message = f"{what} has the line {line[:100]!r}, expected NAME==VERSION with sha256 hashes"
        hint = "Seal the package with a lock: shoal package build --lock."
        raise RequirementError(message, hint=hint)
    return Locked(normal_name(match["name"]), match["version"], match["marker"] or "", hashes)


def _bounds() -> dict[str, str]:
    """What Shoal requires of its libraries, by name."""
    found = {}
    for each in metadata.requires("shoal") or []:
        name = re.split(r"[^A-Za-z0-9._-]", each, maxsplit=1)[0]
        if "extra ==" not in each:
            found[normal_name(name)] = each[len(name) :].partition(";")[0].strip()
    return found


def _release(version: str) -> tuple[int, ...]:
    digits = re.match(r"[0-9]+(?:\.[0-9]+)*", version.rpartition("!")[2])
    numbers = [int(each) for each in digits[0].split(".")] if digits else [0]
    while len(numbers) > 1 and numbers[-1] == 0:
        numbers.pop()
    return tuple(numbers)
