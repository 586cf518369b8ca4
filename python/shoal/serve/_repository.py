"""A folder whose subfolders are packages, and how the native server reads it.

- A package's name and version are its own; the names of the folders mean nothing. A folder whose
  name begins with a dot is passed over, so that a package can be copied in and then renamed.
- Listing reads what each package says of itself; opening verifies every digest, and who signed.
- The native server names what it was told by the listing, never a path.
"""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import msgspec

from shoal import package
from shoal.errors import CorruptPackageError, PathError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from shoal.runtime import Environment, Payload
    from shoal.serve._trust import Trust

Problem: TypeAlias = "tuple[str, str, str | None]"
Listed: TypeAlias = "tuple[str, str, str, str, Problem | None]"


class Repository(msgspec.Struct, frozen=True):
    """A folder to serve packages from: those in it when the server starts, later ones by name.

    Args:
        directory: the folder; each of its subfolders is a package.
    """

    directory: str | Path


class Keeper:
    """What the native server asks: which packages there are, and what runs one of them."""

    def __init__(self, directory: Path, *, trust: Trust, environment: Environment) -> None:
        self._directory = directory
        self._trust = trust
        self._environment = environment

    def packages(self) -> list[Listed]:
        """Every subfolder as (place, name, version, digest, problem), in the order of the places.

        Raises:
            PathError: the folder cannot be read.
        """
        try:
            places = sorted(
                each.name
                for each in self._directory.iterdir()
                if each.is_dir() and not each.name.startswith(".")
            )
        except OSError as error:
            message = f"the repository {self._directory} cannot be read: {error.strerror or error}"
            raise PathError(message) from error
        return [self._listed(place) for place in places]

    def _listed(self, place: str) -> Listed:
        try:
            found = package.identify(self._directory / place)
        except CorruptPackageError as error:
            return (place, place, "", "", (error.code, str(error), error.hint))
        return (place, found.name, found.version, found.digest, None)

    @contextmanager
    def open(self, place: str) -> Iterator[tuple[str, Payload]]:
        """The text of a package's description, and what runs it; a path only inside the context.

        Raises:
            PackageError: the package is not as it was sealed, or is not trusted, or cannot be run
                here.
        """
        opened = package.open(self._directory / place)
        with self._trust.payload(opened, self._environment) as payload:
            yield opened.description_text, payload
