"""Compares what a package requires with what is installed, by name and exact version.

Nothing is imported and nothing is installed; only the metadata of distributions is read.
"""

from __future__ import annotations

import re
from importlib import metadata

from shoal.errors import RequirementError

_LOCKED = re.compile(r"([A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?)==([A-Za-z0-9.!+_-]+)")


def locked(requirement: str) -> tuple[str, str]:
    """The name and the version of a requirement `NAME==VERSION`.

    Raises:
        RequirementError: the requirement is not of that form.
    """
    match = _LOCKED.fullmatch(requirement)
    if match is None:
        message = f"{requirement!r} is not a locked requirement"
        raise RequirementError(message, hint="Write NAME==VERSION.")
    return match[1], match[2]


def check_requirements(requirements: tuple[str, ...]) -> None:
    """Refuses an environment that lacks a requirement or has it in another version.

    Raises:
        RequirementError: naming every requirement that is not met.
    """
    unmet = [text for requirement in requirements if (text := _unmet(requirement))]
    if unmet:
        message = f"the environment does not meet the package's requirements: {'; '.join(unmet)}"
        hint = f"pip install {' '.join(requirements)}"
        raise RequirementError(message, hint=hint)


def _unmet(requirement: str) -> str | None:
    name, version = locked(requirement)
    try:
        installed = metadata.version(name)
    except metadata.PackageNotFoundError:
        return f"{requirement} (not installed)"
    return None if installed == version else f"{requirement} (installed: {installed})"
