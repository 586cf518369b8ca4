"""Who owns which fields of an object, as the API server keeps it.

- What is owned is a tree: `f:NAME` is a field, `k:{...}` the entry of a list with these keys,
  `v:...` a value of a set, `.` the thing itself. A leaf owns all below it.
- `owned` is what would be applied to change nothing.

Source: kubernetes.io/docs/reference/using-api/server-side-apply; structured-merge-diff, FieldsV1.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import msgspec

from shoal.deploy._cluster._kinds import MANAGER

if TYPE_CHECKING:
    from collections.abc import Iterator

REPLICAS = ("f:spec", "f:replicas")


class Owner(msgspec.Struct, frozen=True):
    """One who owns fields.

    Attributes:
        manager: The name that the program gave itself.
        is_ours: Whether it is what this program has applied.
    """

    manager: str
    is_ours: bool


def owners(content: dict[str, Any], path: tuple[str, ...]) -> tuple[Owner, ...]:
    """Who owns a field of an object."""
    return tuple(
        Owner(str(entry.get("manager")), _is_ours(entry))
        for entry in _entries(content)
        if _holds(entry.get("fieldsV1") or {}, path)
    )


def managers(content: dict[str, Any]) -> set[str]:
    """All who own something of an object."""
    return {str(entry.get("manager")) for entry in _entries(content)}


def is_ours(content: dict[str, Any]) -> bool:
    """Whether this program has applied an object."""
    return any(map(_is_ours, _entries(content)))


def owned(content: dict[str, Any]) -> dict[str, Any]:
    """What this program has applied of an object, with its kind and its name."""
    trees = [each["fieldsV1"] for each in _entries(content) if _is_ours(each)]
    found: dict[str, Any] = _extract(content, trees[0]) if trees else {}
    metadata = {**found.get("metadata", {}), "name": content["metadata"]["name"]}
    metadata["namespace"] = content["metadata"]["namespace"]
    kind = {key: content[key] for key in ("apiVersion", "kind")}
    return {**kind, **found, "metadata": metadata}


def _entries(content: dict[str, Any]) -> list[dict[str, Any]]:
    entries: list[dict[str, Any]] = content["metadata"].get("managedFields") or []
    return entries


def _is_ours(entry: dict[str, Any]) -> bool:
    return entry.get("manager") == MANAGER and entry.get("operation") == "Apply"


def _holds(tree: dict[str, Any], path: tuple[str, ...]) -> bool:
    for step in path:
        if step not in tree:
            return False
        tree = tree[step]
    return True


def _extract(value: Any, tree: dict[str, Any]) -> Any:
    """The part of a value that a tree names."""
    below = [step for step in tree if step != "."]
    if not below:
        return value
    if isinstance(value, dict):
        names = [step.removeprefix("f:") for step in below]
        return {
            name: _extract(value[name], tree[step])
            for name, step in zip(names, below, strict=True)
            if name in value
        }
    return list(_entries_of(value, tree, below))


def _entries_of(value: list[Any], tree: dict[str, Any], below: list[str]) -> Iterator[Any]:
    """Entries of a list, in its own order: those whose keys or whose value the tree names."""
    wanted = [(json.loads(step[2:]), tree[step]) for step in below]
    for entry in value:
        for keys, subtree in wanted:
            if isinstance(entry, dict) and isinstance(keys, dict):
                if keys.items() <= entry.items():
                    yield _extract(entry, subtree)
            elif entry == keys:
                yield entry
