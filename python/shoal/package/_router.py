"""Seals routers: packages that say which model answers each record of a task, and hold no model.

A router is as content-addressed as a model: what its routes say is its digest. Which models are
served beside it is looked at when a task comes, not here.
"""

from __future__ import annotations

import re
import tomllib
from os import PathLike, fspath
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shoal.errors import InvalidRequestError, PathError, RouterCycleError
from shoal.package import _names
from shoal.package._package import Package, open
from shoal.package._write import write_layout
from shoal.runtime import Route as _Route
from shoal.runtime import RouterDescription, read_any_description, read_routes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

FORMAT = 1
LIMIT_BYTES = 1 << 20
DOTS_LIMIT = 64

# Of longer parts there is no room for many; to look for their ends from each place would take long.
_PART = r"(?:\"(?:[^\"\\\n]|\\.){0,256}\"|'[^'\n]{0,256}'|[\w-]{1,256})"
_DOTTED = re.compile(rf"(?<![\w-])(?:{_PART}[ \t]*\.[ \t]*){{{DOTS_LIMIT}}}")


def route(
    routes: Sequence[Mapping[str, Any] | _Route] | str | PathLike[str],
    *,
    name: str,
    version: str,
    output: str | PathLike[str],
) -> Package:
    """Seals a router: each record of a task goes to the first route whose rule it meets.

        route(
            [
                {"model": "words", "when": {"column": "value", "is": "text"}},
                {"model": "numbers", "rename": {"value": "x"}},
            ],
            name="mixed", version="1", output="packages/mixed",
        )

    Args:
        routes: The routes in their order, each an object with `model`, and with `version`, `when`
            and `rename` where they matter; or a TOML file that has them as `[[routes]]`. What a
            rule may say stands in `protocol.md`, "Routers".
        name: The router's name, by which tasks are sent to it.
        version: The router's version.
        output: A directory that is not there yet, or empty, or holds this very package.

    Returns:
        The package, opened from disk.

    Raises:
        InvalidRequestError: a name, the version or a route is of no use; the message says where.
        RouterCycleError: a route leads back to the router itself.
        PathError: there is no file.
        StorageError: the package cannot be written; nothing half-written stays.
    """
    _names.check_names(name, version)
    given = _read(Path(fspath(routes))) if isinstance(routes, str | PathLike) else list(routes)
    checked = read_routes(given)
    for number, each in enumerate(checked):
        _check_target(each, f"routes[{number}]", (name, version))
    description = RouterDescription(format=FORMAT, name=name, version=version, routes=checked)
    target = Path(output).absolute()
    write_layout(target, description, {}, read=read_any_description)
    return open(target)


def _check_target(each: _Route, place: str, router: tuple[str, str]) -> None:
    """A route leads to what can be a package, and not back."""
    name, version = router
    if not _names.is_name(each.model):
        message = f"{place} leads to {each.model!r}, which cannot name a package"
        raise InvalidRequestError(message)
    if each.version is not None and not _names.is_version(each.version):
        message = f"{place} leads to version {each.version!r}, which cannot be one"
        raise InvalidRequestError(message)
    if each.model == name and each.version in (None, version):
        message = f"{place} leads back to the router {name} {version} itself"
        raise RouterCycleError(message, hint="Let it lead to a model.")
    if len(set(each.rename.values())) < len(each.rename):
        message = f"{place} renames two columns to one name: {sorted(each.rename.values())}"
        raise InvalidRequestError(message)


def _read(path: Path) -> object:
    """The routes of a TOML file."""
    try:
        text = path.read_bytes()
    except OSError as error:
        raise PathError(f"{path} cannot be read: {error.strerror or error}") from error
    if len(text) > LIMIT_BYTES:
        raise InvalidRequestError(f"{path} has {len(text)} bytes, at most {LIMIT_BYTES} are read")
    try:
        found = tomllib.loads(_without_long_keys(text.decode()))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidRequestError(f"{path} is not TOML: {error}") from error
    if list(found) != ["routes"]:
        message = f"{path} has {', '.join(found) or 'nothing'}, expected routes only"
        raise InvalidRequestError(message, hint="Write each one as a table [[routes]].")
    return found["routes"]


def _without_long_keys(text: str) -> str:
    """The text, which has no key of so many parts that reading it takes their square."""
    long = _DOTTED.search(text)
    if long is not None:
        line = text.count("\n", 0, long.start()) + 1
        message = f"line {line} has a key of more than {DOTS_LIMIT} parts"
        raise InvalidRequestError(message, hint="Nest no deeper than rules may lie in each other.")
    return text
