"""What an image can be made for: the names of OCI, of wheels and of ELF for one processor."""

from __future__ import annotations

import platform
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from shoal.errors import ConfigurationError, CorruptPackageError

if TYPE_CHECKING:
    from collections.abc import Iterable

_ELF_MAGIC = b"\x7fELF"
_ELF_MACHINE = slice(18, 20)
_GLIBC = re.compile(rb"GLIBC_2\.(\d{1,3})\b")


@dataclass(frozen=True)
class Platform:
    """Linux on one processor.

    Attributes:
        architecture: Its name in OCI.
        machine: Its name in wheels, and what the system calls it.
        elf: Its number in the head of a shared library.
    """

    architecture: str
    machine: str
    elf: int

    @property
    def name(self) -> str:
        """How users name it."""
        return f"linux/{self.architecture}"

    @property
    def wheels(self) -> str:
        """The wheels that uv may choose: those for glibc 2.28 or older, as ONNX Runtime's are."""
        return f"{self.machine}-manylinux_2_28"


PLATFORMS = (Platform("amd64", "x86_64", 62), Platform("arm64", "aarch64", 183))
WHEELS_GLIBC = (2, 28)


def read_platforms(names: Iterable[str]) -> tuple[Platform, ...]:
    """The platforms of these names, in the order of their names; this machine's if there is none.

    Raises:
        ConfigurationError: no image can be made for one of them.
    """
    wanted = set(names) or {this_platform().name}
    known = {each.name: each for each in PLATFORMS}
    if other := sorted(wanted - set(known)):
        message = f"no image can be made for {other[0]!r}, expected {' or '.join(known)}"
        raise ConfigurationError(message)
    return tuple(known[name] for name in sorted(wanted))


def this_platform() -> Platform:
    """The platform of this machine's processor.

    Raises:
        ConfigurationError: no image can be made for it.
    """
    for each in PLATFORMS:
        if platform.machine().lower() in {each.machine, each.architecture}:
            return each
    message = f"no image can be made for this machine's processor, {platform.machine()}"
    raise ConfigurationError(message, hint="Say --platform linux/amd64 or linux/arm64.")


def platform_of(library: bytes, what: str) -> Platform:
    """The platform that a shared library is for.

    Raises:
        CorruptPackageError: it is no library of Linux on a known processor.
    """
    machine = int.from_bytes(library[_ELF_MACHINE], "little")
    for each in PLATFORMS:
        if library.startswith(_ELF_MAGIC) and machine == each.elf:
            return each
    message = f"{what} is no shared library of Linux for {' or '.join(p.name for p in PLATFORMS)}"
    raise CorruptPackageError(message)


def glibc_needed(library: bytes) -> tuple[int, int]:
    """The version of glibc that a shared library asks for."""
    return 2, max((int(each) for each in _GLIBC.findall(library)), default=0)
