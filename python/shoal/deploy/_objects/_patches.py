"""Patches applied to objects: see the settings for their form.

- A patch that no object matches is refused, and so is a field that a kind of Kubernetes does not
  have: neither is passed over in silence.
- An object stays what it is: patches change neither kind, name, namespace nor the label by which
  the deployment finds it.
"""

from __future__ import annotations

import copy
import re
from typing import TYPE_CHECKING, Any

import msgspec

from shoal.deploy._objects._labels import DEPLOYMENT
from shoal.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from shoal.deploy._objects._settings._patch import Operation, Patch

# By what Kubernetes knows the items of a list: a volume may be mounted at several paths.
_KEYS = ("mountPath", "name")
_INDEX = re.compile(r"0|[1-9]\d{0,5}")


def patched(objects: Iterable[Any], patches: Iterable[Patch]) -> tuple[Any, ...]:
    """Objects as the user wants them.

    Raises:
        ConfigurationError: a patch matches nothing, or cannot be applied.
    """
    result = tuple(objects)
    for patch in patches:
        matched = [_matches(each, patch) for each in result]
        if not any(matched):
            raise _nothing(patch, result)
        result = tuple(
            _changed(each, patch) if is_matched else each
            for each, is_matched in zip(result, matched, strict=True)
        )
    return result


def merged(target: Any, patch: Any) -> Any:
    """One value merged into another (RFC 7396), items of lists by what they are known by.

    Source: RFC 7396, section 2.
    """
    if isinstance(patch, dict):
        base = dict(target) if isinstance(target, dict) else {}
        for key, value in patch.items():
            if value is None:
                base.pop(key, None)
            else:
                base[key] = merged(base.get(key), value)
        return base
    if isinstance(patch, list) and isinstance(target, list):
        for key in _KEYS:
            if _all_have(key, [*patch, *target]):
                return _merged_items(target, patch, key)
    return patch


def operated(document: Any, operation: Operation) -> Any:
    """A document after one operation of RFC 6902.

    Raises:
        ConfigurationError: what it names is not there, or is not what it expects.
    """
    path = _pointer(operation.path)
    if operation.op in {"move", "copy"}:
        source = _pointer(operation.source or "")
        value = copy.deepcopy(_at(document, source))
        if operation.op == "move":
            document = _removed(document, source)
        return _added(document, path, value)
    if operation.op == "add":
        return _added(document, path, operation.value)
    if (found := _at(document, path)) != operation.value and operation.op == "test":
        message = f"{operation.path} is {found!r}, expected {operation.value!r}"
        raise ConfigurationError(message)
    if operation.op == "test":
        return document
    document = _removed(document, path)
    return document if operation.op == "remove" else _added(document, path, operation.value)


def _matches(found: Any, patch: Patch) -> bool:
    is_named = patch.target.name in {None, found.metadata.name}
    return bool(found.kind == patch.target.kind and is_named)


def _nothing(patch: Patch, objects: tuple[Any, ...]) -> ConfigurationError:
    wanted = " ".join(filter(None, [patch.target.kind, patch.target.name]))
    message = f"{patch.origin}: there is no {wanted} to patch"
    known = ", ".join(f"{each.kind} {each.metadata.name}" for each in objects)
    return ConfigurationError(message, hint=f"Rendered are: {known}.")


def _changed(found: Any, patch: Patch) -> Any:
    content = copy.deepcopy(found.to_dict())
    try:
        if patch.merge is not None:
            content = merged(content, patch.merge)
        for operation in patch.operations:
            content = operated(content, operation)
    except ConfigurationError as error:
        message = f"{patch.origin}: {found.kind} {found.metadata.name}: {error}"
        raise ConfigurationError(message) from error
    return _as_object(found, content, patch)


def _as_object(found: Any, content: Any, patch: Patch) -> Any:
    where = f"{patch.origin}: {found.kind} {found.metadata.name}"
    if not isinstance(content, dict) or _identity(content) != _identity(found.to_dict()):
        message = f"{where}: a patch changes neither name, namespace nor the label {DEPLOYMENT}"
        raise ConfigurationError(message)
    try:
        made = type(found).from_dict(content)
    except msgspec.ValidationError as error:
        message = f"{where}: {error}".replace(" - at `$.", " - at `")
        raise ConfigurationError(message) from error
    if lost := _lost(content, made.to_dict()):
        message = f"{where} has no field {lost}"
        raise ConfigurationError(message, hint="Is it spelt as in the API of Kubernetes?")
    return made


def _identity(content: dict[str, Any]) -> tuple[Any, ...]:
    stated = content.get("metadata")
    if not isinstance(stated, dict):
        return ()
    labels = stated.get("labels")
    label = labels.get(DEPLOYMENT) if isinstance(labels, dict) else None
    return (content.get("kind"), stated.get("name"), stated.get("namespace"), label)


def _lost(before: Any, after: Any, path: str = "") -> str | None:
    """The first field that a typed object did not take."""
    if isinstance(before, dict) and isinstance(after, dict):
        for key, value in before.items():
            if key not in after and value is not None:
                return f"{path}{key}"
            if found := _lost(value, after.get(key), f"{path}{key}."):
                return found
    if isinstance(before, list) and isinstance(after, list):
        for number, (one, other) in enumerate(zip(before, after, strict=True)):
            if found := _lost(one, other, f"{path}{number}."):
                return found
    return None


def _all_have(key: str, items: list[Any]) -> bool:
    return bool(items) and all(isinstance(each, dict) and key in each for each in items)


def _merged_items(target: list[Any], patch: list[Any], key: str) -> list[Any]:
    changes = {each[key]: each for each in patch}
    known = {each[key] for each in target}
    kept = [merged(each, changes.get(each[key], {})) for each in target]
    return kept + [merged(None, each) for each in patch if each[key] not in known]


def _pointer(text: str) -> list[str]:
    """The steps of a JSON pointer. Source: RFC 6901, section 4."""
    if text and not text.startswith("/"):
        message = f"{text!r} is no JSON pointer, expected / first"
        raise ConfigurationError(message)
    return [step.replace("~1", "/").replace("~0", "~") for step in text.split("/")[1:]]


def _step(document: Any, step: str) -> Any:
    if isinstance(document, dict) and step in document:
        return document[step]
    if isinstance(document, list) and _INDEX.fullmatch(step) and int(step) < len(document):
        return document[int(step)]
    message = f"there is nothing at {step!r} of what the path names"
    raise ConfigurationError(message)


def _at(document: Any, path: list[str]) -> Any:
    for step in path:
        document = _step(document, step)
    return document


def _added(document: Any, path: list[str], value: Any) -> Any:
    if not path:
        return value
    parent, last = _at(document, path[:-1]), path[-1]
    if isinstance(parent, dict):
        parent[last] = value
    elif isinstance(parent, list) and last == "-":
        parent.append(value)
    elif isinstance(parent, list) and _INDEX.fullmatch(last) and int(last) <= len(parent):
        parent.insert(int(last), value)
    else:
        message = f"nothing can be added at {last!r} of what the path names"
        raise ConfigurationError(message)
    return document


def _removed(document: Any, path: list[str]) -> Any:
    if not path:
        return None
    parent, last = _at(document, path[:-1]), path[-1]
    _step(parent, last)
    if isinstance(parent, dict):
        del parent[last]
    else:
        del parent[int(last)]
    return document
