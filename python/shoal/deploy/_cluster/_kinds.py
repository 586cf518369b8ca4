"""Objects of a cluster as plain JSON, whatever their kind.

- Objects come typed, from lightkube's models, and leave as JSON: what a newer API server adds to a
  kind is neither lost nor in the way.
- An object belongs to a deployment by the label `shoal.io/deployment`.

Source: kubernetes.io/docs/reference/using-api/api-concepts.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import msgspec
from lightkube.core.resource import ApiInfo, NamespacedResource, ResourceDef, api_info
from lightkube.generic_resource import GenericNamespacedResource

from shoal.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lightkube.core.resource import Resource

LABEL = "shoal.io/deployment"
MANAGER = "shoal"
VERBS = ["delete", "get", "list", "patch", "post", "put", "watch"]
# What others refer to comes before them; what scales something comes after it.
FIRST = ("ServiceAccount", "Role", "RoleBinding", "Secret", "ConfigMap", "Service")
LAST = ("HorizontalPodAutoscaler", "ScaledObject")


class Kind(msgspec.Struct, frozen=True, order=True):
    """A kind of object, and where the API server has it."""

    group: str
    version: str
    kind: str
    plural: str

    @property
    def api_version(self) -> str:
        """Group and version, as objects state them."""
        return f"{self.group}/{self.version}" if self.group else self.version

    def __str__(self) -> str:
        return self.kind


class Item(msgspec.Struct, frozen=True):
    """One object that is wanted: its kind, its name, and all of it as JSON."""

    kind: Kind
    name: str
    content: dict[str, Any]

    @property
    def identity(self) -> tuple[str, str, str]:
        """What tells it from all others of its namespace, in any version of the API."""
        return self.kind.group, self.kind.kind, self.name

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"


DEPLOYMENT = Kind("apps", "v1", "Deployment", "deployments")
REPLICA_SET = Kind("apps", "v1", "ReplicaSet", "replicasets")
POD = Kind("", "v1", "Pod", "pods")
CONFIG_MAP = Kind("", "v1", "ConfigMap", "configmaps")
JOB = Kind("batch", "v1", "Job", "jobs")
EVENT = Kind("", "v1", "Event", "events")
ENDPOINT_SLICE = Kind("discovery.k8s.io", "v1", "EndpointSlice", "endpointslices")
AUTOSCALER = Kind("autoscaling", "v2", "HorizontalPodAutoscaler", "horizontalpodautoscalers")
SCALED_OBJECT = Kind("keda.sh", "v1alpha1", "ScaledObject", "scaledobjects")


@cache
def resource(kind: Kind, action: str | None = None) -> Any:
    """The class by which lightkube finds a kind; its objects are dictionaries.

    Args:
        kind: The kind.
        action: A part of its objects that is written apart, such as `scale`.
    """
    found = ResourceDef(kind.group, kind.version, kind.kind)
    parent = found if action else None
    info = ApiInfo(found, kind.plural, VERBS, parent=parent, action=action)
    return type(kind.kind, (GenericNamespacedResource,), {"_api_info": info})


def read(objects: Iterable[Resource], name: str, namespace: str) -> tuple[Item, ...]:
    """Objects as they are applied, in the order in which they are.

    Args:
        objects: Typed objects of lightkube.
        name: The deployment they belong to.
        namespace: Where they are put.

    Raises:
        ConfigurationError: one does not carry the label, has no name, lies in another namespace, is
            of a kind that lies in none, or there twice.
    """
    items = [_item(each, name, namespace) for each in objects]
    if twice := sorted({str(each) for each in items if _count(items, each) > 1}):
        raise ConfigurationError(f"{', '.join(twice)}: more than one object of this kind and name")
    return tuple(sorted(items, key=_rank))


def _item(found: Resource, name: str, namespace: str) -> Item:
    info = api_info(found)
    stated = info.resource
    kind = Kind(stated.group, stated.version, stated.kind, info.plural)
    content = _plain(found)
    metadata = content.setdefault("metadata", {})
    where = f"{kind} {metadata.get('name')}"
    if not metadata.get("name"):
        raise ConfigurationError(f"{kind}: an object without a name")
    if not isinstance(found, NamespacedResource):
        raise ConfigurationError(f"{where}: this kind lies in no namespace, expected one that does")
    if (metadata.get("labels") or {}).get(LABEL) != name:
        raise ConfigurationError(f"{where} does not carry the label {LABEL}: {name}")
    if metadata.setdefault("namespace", namespace) != namespace:
        there = metadata["namespace"]
        raise ConfigurationError(f"{where} is for namespace {there}, expected {namespace}")
    content = {"apiVersion": kind.api_version, "kind": kind.kind, **content}
    return Item(kind, metadata["name"], content)


def _plain(found: Any) -> dict[str, Any]:
    """All of an object as JSON; parts that the API server writes are not among it."""
    plain: dict[str, Any] = msgspec.to_builtins(
        found if isinstance(found, msgspec.Struct) else dict(found)
    )
    plain.pop("status", None)
    return {key: value for key, value in plain.items() if value is not None}


def _count(items: list[Item], one: Item) -> int:
    return sum(each.identity == one.identity for each in items)


def _rank(item: Item) -> int:
    kind = item.kind.kind
    if kind in FIRST:
        return FIRST.index(kind) - len(FIRST)
    return 1 + LAST.index(kind) if kind in LAST else 0
