"""The options of the server: a ConfigMap whose name says what it holds.

- The name ends in a hash of the content, so a changed option is a new ConfigMap and thereby a
  rollout, and a rollback finds the old one. It is immutable.
- Each option is a variable of the container, and its argument refers to the variable.
- What follows from the memory of a replica is set, unless it is said: bodies in flight take a
  quarter of it at most. So is the notice of a drain: for five seconds a replica that ends still
  takes requests, until everybody has heard that it is not ready any more.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

import msgspec
from lightkube.resources.core_v1 import ConfigMap

from shoal.deploy._objects._labels import COMPONENT as COMPONENT_LABEL
from shoal.deploy._objects._labels import DEPLOYMENT, metadata
from shoal.deploy._objects._settings._quantities import quantity
from shoal.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from shoal.deploy._objects._settings._deployment import Deployment

COMPONENT = "configuration"

# What follows from something else that is asked for, or names a file that no container has.
_OWNED = {
    "threads": "cpu",
    "workers": "cpu",
    "cores": "cpu",
    "log_format": "log_format",
    **dict.fromkeys(("profile_cache", "trace_file", "admin", "admin_token_file"), "a patch"),
    **dict.fromkeys(("tls_certificate", "tls_key", "api_keys", "require_signed"), "a patch"),
    **dict.fromkeys(("allow_origin", "try_page"), "a patch"),
}
_BODIES_LIMIT_BYTES = 512 * 2**20
_BODY_LIMIT_BYTES = 64 * 2**20
_DRAIN_NOTICE_MS = 5_000
_HASH_DIGITS = 10


def options_of(asked: Deployment) -> dict[str, str]:
    """The options of the server, as texts, by their names.

    Raises:
        ConfigurationError: one is not known, of another type, or not for the user to set.
    """
    given = asked.server
    if given:
        _check(given)
    bodies = min(_BODIES_LIMIT_BYTES, int(quantity(asked.memory, "memory")) // 4)
    bodies = int(given.get("bodies_in_flight_limit_bytes", bodies))
    sizes: dict[str, Any] = {
        "bodies_in_flight_limit_bytes": bodies,
        "body_limit_bytes": min(_BODY_LIMIT_BYTES, bodies),
        "drain_notice_ms": _DRAIN_NOTICE_MS,
    }
    return {name: f"{value}" for name, value in sorted({**sizes, **given}.items())}


def variable(option: str) -> str:
    """The variable of a container that has an option."""
    return f"SHOAL_{option.upper()}"


def argument(option: str) -> tuple[str, str]:
    """How the server is told an option that is in a variable."""
    return f"--{option.replace('_', '-')}", f"$({variable(option)})"


def options_name(asked: Deployment) -> str:
    """What the ConfigMap is called."""
    return f"{asked.name}{_suffix(_data(asked))}"


def options_map(asked: Deployment) -> Any:
    """The ConfigMap."""
    data = _data(asked)
    return ConfigMap(metadata=metadata(asked, COMPONENT, _suffix(data)), data=data, immutable=True)


def renamed(objects: Sequence[Any]) -> tuple[Any, ...]:
    """Objects in which the options, if a patch changed them, have the name that says so."""
    for each in objects:
        stated = each.metadata.labels or {}
        if each.kind == "ConfigMap" and stated.get(COMPONENT_LABEL) == COMPONENT:
            before = str(each.metadata.name)
            after = f"{stated[DEPLOYMENT]}{_suffix(each.data or {})}"
            return tuple(objects) if before == after else _with_name(objects, before, after)
    return tuple(objects)


def _with_name(objects: Sequence[Any], before: str, after: str) -> tuple[Any, ...]:
    return tuple(type(each).from_dict(_replaced(each.to_dict(), before, after)) for each in objects)


def _replaced(value: Any, before: str, after: str) -> Any:
    if isinstance(value, dict):
        return {key: _replaced(each, before, after) for key, each in value.items()}
    if isinstance(value, list):
        return [_replaced(each, before, after) for each in value]
    return after if value == before else value


def hash_of(data: Mapping[str, str]) -> str:
    """What a name says of a content."""
    text = json.dumps(data, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:_HASH_DIGITS]


def _data(asked: Deployment) -> dict[str, str]:
    return {variable(name): value for name, value in options_of(asked).items()}


def _suffix(data: Mapping[str, str]) -> str:
    return f"-config-{hash_of(data)}"


def _check(given: Mapping[str, Any]) -> None:
    from typing import get_type_hints

    from shoal.serve import Options

    kinds = get_type_hints(Options)
    for name, value in given.items():
        if name in _OWNED:
            message = f"server.{name} is not set here"
            raise ConfigurationError(message, hint=_remedy(name))
        if name not in kinds:
            message = f"server.{name} is no option of the server"
            raise ConfigurationError(message, hint="See the options of `shoal serve`.")
        try:
            msgspec.convert(value, kinds[name])
        except msgspec.ValidationError as error:
            message = f"server.{name} is {value!r}: {error}"
            raise ConfigurationError(message) from error


def _remedy(name: str) -> str:
    owner = _OWNED[name]
    if owner == "cpu":
        return "It follows from `cpu`."
    return "The log is always JSON." if owner == name else "Mount what it names, by a patch."
