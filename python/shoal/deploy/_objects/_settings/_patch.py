"""Patches: how a user overrides any field of any object.

A file of YAML, each document one patch, of one of two forms:

    kind: Deployment                 # which objects; metadata.name narrows it to one
    metadata: {name: digits}
    spec:                            # what is merged into them
      template: {spec: {nodeSelector: {pool: serving}}}

    target: {kind: Service, name: digits-headless}
    operations: [{op: add, path: /metadata/annotations/team, value: vision}]

- Merging: RFC 7396 (null removes), except that items of lists which have a `name` are merged with
  the item of that name, as Kubernetes does with containers, ports and variables; mounts of volumes
  with the one of that `mountPath`.
- Operations: RFC 6902.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from shoal.deploy._objects._settings._file import read_limited
from shoal.errors import ConfigurationError, RequirementError

if TYPE_CHECKING:
    from pathlib import Path


class Operation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One operation of RFC 6902.

    Attributes:
        op: What is done.
        path: Where, as a JSON pointer (RFC 6901).
        value: What is added, put in the place, or expected.
        source: Where from, for `move` and `copy`; `from` in the file.
    """

    op: Literal["add", "remove", "replace", "move", "copy", "test"]
    path: str
    value: Any = None
    source: str | None = msgspec.field(default=None, name="from")


class PatchTarget(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which objects are changed.

    Attributes:
        kind: Their kind.
        name: Only the one of this name.
    """

    kind: str
    name: str | None = None


class Patch(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A change to what is rendered: either merged, or done step by step.

    Attributes:
        target: Which objects are changed.
        merge: What is merged into them.
        operations: What is done with them.
        origin: The file it comes from, for messages.
    """

    target: PatchTarget
    merge: dict[str, Any] | None = None
    operations: tuple[Operation, ...] = ()
    origin: str = "a patch"

    def __post_init__(self) -> None:
        """Refuses a patch that is of both forms or of none.

        Raises:
            ConfigurationError: see the message.
        """
        if (self.merge is None) == (not self.operations):
            message = f"{self.origin}: a patch has something to merge or operations, one of both"
            raise ConfigurationError(message)


def read_patches(path: Path) -> tuple[Patch, ...]:
    """Reads the patches of a file.

    Raises:
        PathError: there is no such file.
        ConfigurationError: it holds something else.
        RequirementError: the extra `deploy` is not installed.
    """
    try:
        import yaml  # type: ignore[import-untyped]  # ships no types
    except ImportError as error:
        message = f"reading {path} needs PyYAML, which is not installed"
        raise RequirementError(message, hint="pip install 'shoal[deploy]'") from error
    text = read_limited(path)
    try:
        documents = list(yaml.safe_load_all(text))
    except (yaml.YAMLError, RecursionError) as error:
        message = f"{path} is not YAML"
        raise ConfigurationError(message) from error
    return tuple(_patch(each, str(path)) for each in documents if each is not None)


def _patch(document: Any, origin: str) -> Patch:
    if not isinstance(document, Mapping):
        message = f"{origin}: a patch is an object, not {type(document).__name__}"
        raise ConfigurationError(message)
    try:
        if "target" in document:
            return msgspec.convert({**document, "origin": origin}, Patch)
        metadata = document.get("metadata") or {}
        target = {"kind": document.get("kind"), "name": metadata.get("name")}
        merge = {key: value for key, value in document.items() if key not in {"apiVersion", "kind"}}
        return Patch(target=msgspec.convert(target, PatchTarget), merge=merge, origin=origin)
    except (msgspec.ValidationError, AttributeError) as error:
        message = f"{origin}: {error}"
        hint = "A patch has `kind` and what is merged, or `target` and `operations`."
        raise ConfigurationError(message, hint=hint) from error
