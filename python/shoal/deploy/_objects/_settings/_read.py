"""Settings from a TOML file and from the options of a command; an option wins.

- Paths of patches are those of the caller's directory, as on a command line.
- A key that is not known is refused by its name, and one that is missing with its option.
- Tags are looked up where that is asked for, wherever they stand.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

import msgspec

from shoal.deploy._objects._settings._deployment import (
    Autoscaling,
    Canary,
    Deployment,
    Monitoring,
    Route,
)
from shoal.deploy._objects._settings._file import read_limited
from shoal.deploy._objects._settings._patch import Patch, read_patches
from shoal.deploy._objects._settings._references import SCHEME, read_reference, reference_to
from shoal.deploy._objects._settings._training import TrainingJob
from shoal.errors import ConfigurationError, PathError

if TYPE_CHECKING:
    from collections.abc import Mapping

S = TypeVar("S", bound=msgspec.Struct)
Resolve: TypeAlias = Callable[[str], str]

_FIELD = re.compile(r"(required|unknown) field `(\w+)`")
_OPTIONS = {
    "image": "--image",
    "package": "PACKAGE",
    "name": "--name",
    "max_replicas": "--max-replicas",
    "gateway": "--gateway",
    "push_to": "--push-to",
}


def read_deployment(
    path: Path | str | None,
    options: Mapping[str, Any] | None = None,
    *,
    package: str | None = None,
    registry: str | None = None,
    resolve: Resolve | None = None,
) -> Deployment:
    """Reads what is deployed.

    Args:
        path: A TOML file of settings; None where options say it all.
        options: Settings that win over those of the file, by their names, with a dot for one
            of a table: `{"replicas": 3, "route.gateway": "public"}`. None is not given. Patches
            are paths of files here, too; they come after those of the file.
        package: What `find_package` takes; it names the deployment, if nothing else does.
        registry: The same.
        resolve: What gives the reference by digest for one by a tag, such as `resolve_reference`;
            None refuses tags.

    Raises:
        PathError: a file is not there.
        ConfigurationError: a setting is not known, missing, or cannot be used.
    """
    settings = {} if path is None else read_toml(Path(path))
    files = settings.pop("patches", [])
    for field, value in (options or {}).items():
        if field == "patches":
            files = [*_texts(files), *(value or ())]
        elif value is not None:
            put(settings, field, value)
    if package is not None and package.startswith(SCHEME) and resolve is not None:
        package = resolve(package)
    if package is not None:
        name, settings["package"] = find_package(package, registry)
        settings.setdefault("name", name)
    if "namespace" not in settings:
        settings["namespace"] = ""  # refused with how to give one
    _look_up(settings, resolve)
    patches = tuple(patch for file in _texts(files) for patch in read_patches(Path(file)))
    return _with(settings, patches)


def find_package(package: str, registry: str | None = None) -> tuple[str, str]:
    """The name and the reference of what a user calls a package.

    Args:
        package: A reference `oci://HOST/NAME@sha256:...`, or the directory of a package.
        registry: Where the package of a directory was pushed: `oci://HOST/NAME`.

    Raises:
        ConfigurationError: it is no reference by digest, or a directory and nobody says where it
            was pushed.
        CorruptPackageError: the directory holds no package.
    """
    if package.startswith(SCHEME):
        return _label(read_reference(package, "package").path.rpartition("/")[2]), package
    if not Path(package).exists():
        message = f"there is nothing at {package}"
        hint = f"A package in a registry is {SCHEME}HOST/NAME@sha256:..."
        raise PathError(message, hint=hint)
    if registry is None:
        message = f"{package} lies here, where no cluster finds it"
        hint = "Push it, and say where it is with --registry oci://HOST/NAME."
        raise ConfigurationError(message, hint=hint)
    from shoal.package import identify

    found = identify(package)
    return _label(found.name), reference_to(registry, found.digest).url


def read_training_job(
    configuration: Path | str,
    options: Mapping[str, Any],
    settings: Path | str | None = None,
    *,
    resolve: Resolve | None = None,
) -> TrainingJob:
    """Reads what is trained in the cluster.

    Args:
        configuration: The configuration of `shoal train`, which must be one.
        options: Settings that win over those of the file, by their names; None is not given.
        settings: A TOML file of settings; None where options say it all.
        resolve: The same as of `read_deployment`.

    Raises:
        PathError: a file is not there.
        ConfigurationError: a setting is not known, missing, or cannot be used.
    """
    from shoal.train import read_configuration

    name = read_configuration(Path(configuration)).name
    asked = {} if settings is None else read_toml(Path(settings))
    given = {field: value for field, value in options.items() if value is not None}
    known = {"name": _label(f"{name}-train"), "namespace": ""}
    text = Path(configuration).read_text(encoding="utf-8")
    together = {**known, **asked, **given, "configuration": text}
    _look_up(together, resolve)
    return converted(together, TrainingJob)


def read_toml(path: Path) -> dict[str, Any]:
    """Reads a file of TOML.

    Raises:
        PathError: there is none.
        ConfigurationError: it is something else, or longer than a mebibyte.
    """
    text = read_limited(path)
    try:
        return tomllib.loads(text.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        message = f"{path} is not TOML: {error}"
        raise ConfigurationError(message) from error


def put(settings: dict[str, Any], field: str, value: Any) -> None:
    """Sets a field, also one of a table: `route.gateway`.

    Raises:
        ConfigurationError: the table is something else.
    """
    table, dot, key = field.partition(".")
    if not dot:
        settings[field] = value
        return
    inner = settings.setdefault(table, {})
    if not isinstance(inner, dict):
        message = f"{table} is {type(inner).__name__}, expected a table"
        raise ConfigurationError(message)
    put(inner, key, value)


def converted(settings: Mapping[str, Any], kind: type[S]) -> S:
    """Settings as what they are settings of.

    Raises:
        ConfigurationError: a setting is not known, missing, or of another type.
    """
    try:
        return msgspec.convert(settings, kind)
    except msgspec.ValidationError as error:
        words = {
            "Object contains": "the settings contain",
            "Object missing": "the settings lack the",
        }
        message = f"{error}".replace("$.", "")
        for theirs, ours in words.items():
            message = message.replace(theirs, ours, 1)
        raise ConfigurationError(message, hint=_remedy(message)) from error


def _remedy(message: str) -> str | None:
    """How to give the field that is missing, or what the one that is not known may mean."""
    found = _FIELD.search(message)
    if found is None:
        return None
    if found[1] == "required":
        option = _OPTIONS.get(found[2])
        return f"Give it in a file of --settings{f', or by {option}' if option else ''}."
    near = get_close_matches(found[2], _known_fields(), 1)
    return f"Is {near[0]} meant?" if near else None


def _known_fields() -> list[str]:
    kinds = (Deployment, Autoscaling, Route, Canary, Monitoring, TrainingJob)
    return [name for kind in kinds for name in kind.__struct_fields__]


def _look_up(settings: dict[str, Any], resolve: Resolve | None) -> None:
    """Puts digests in the place of tags."""
    if resolve is None:
        return
    held = (settings, "package"), (settings, "image"), (settings.get("canary"), "package")
    for holder, field in held:
        if isinstance(holder, dict) and isinstance(holder.get(field), str):
            holder[field] = resolve(holder[field])


def _label(name: str) -> str:
    """The name of a package as one of an object."""
    return re.sub(r"[._-]+", "-", name)


def _with(settings: dict[str, Any], patches: tuple[Patch, ...]) -> Deployment:
    return msgspec.structs.replace(converted(settings, Deployment), patches=patches)


def _texts(files: Any) -> list[str]:
    if not isinstance(files, list) or not all(isinstance(each, str) for each in files):
        message = "patches is expected to be a list of files"
        raise ConfigurationError(message)
    return files
