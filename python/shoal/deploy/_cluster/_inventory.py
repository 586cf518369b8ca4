"""What a deployment has in the cluster: the kinds of its objects are on record there.

- The record is a ConfigMap beside the objects. It is written before anything of a new kind is
  made, so that what a killed run has made is found by the next one.
- A canary that is under way is remembered in a ConfigMap of its own; while it is there, nothing but
  the canary changes what the deployment has.
- An object counts as the deployment's if it carries the label, has no controller that made it, and
  this program has written to it: a label alone, which others may copy, is not enough.

Source: the ApplySet of kubectl, KEP-3659, which does the same for its own label.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from shoal.deploy._cluster._fields import managers
from shoal.deploy._cluster._kinds import (
    AUTOSCALER,
    CONFIG_MAP,
    DEPLOYMENT,
    JOB,
    LABEL,
    MANAGER,
    SCALED_OBJECT,
    Item,
    Kind,
)
from shoal.errors import ClusterConflictError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from shoal.deploy._cluster._connection import Connection

CANARY_LABEL = "shoal.io/canary-of"

# Where there is no record, these are looked through.
USUAL_KINDS = (
    AUTOSCALER,
    CONFIG_MAP,
    DEPLOYMENT,
    JOB,
    SCALED_OBJECT,
    Kind("", "v1", "Secret", "secrets"),
    Kind("", "v1", "Service", "services"),
    Kind("", "v1", "ServiceAccount", "serviceaccounts"),
    Kind("networking.k8s.io", "v1", "NetworkPolicy", "networkpolicies"),
    Kind("policy", "v1", "PodDisruptionBudget", "poddisruptionbudgets"),
)


def record_name(name: str) -> str:
    """The name of the ConfigMap that holds the record of a deployment."""
    return f"shoal-{name}"


def canary_state_name(name: str) -> str:
    """The name of the ConfigMap in which a canary of a deployment is remembered."""
    return f"{name}-canary-state"


def check_no_canary(connection: Connection, name: str) -> None:
    """Refuses to go on while a canary of the deployment is under way.

    Raises:
        ClusterConflictError: one is.
    """
    found = connection.get(CONFIG_MAP, canary_state_name(name))
    if found is None or (found["metadata"].get("labels") or {}).get(CANARY_LABEL) != name:
        return
    message = f"a canary of {name} is under way, and changes it by itself"
    again = f"shoal deploy canary {name} -n {connection.namespace}"
    hint = f"Wait until it has ended: `{again}` goes on with it. Or call it off: `{again} --abort`."
    raise ClusterConflictError(message, hint=hint)


def recorded(connection: Connection, name: str) -> set[Kind] | None:
    """The kinds of which a deployment has, or had, objects; None where there is no record."""
    found = connection.get(CONFIG_MAP, record_name(name))
    if found is None or (found["metadata"].get("labels") or {}).get(LABEL) != name:
        return None
    lines = str((found.get("data") or {}).get("kinds", "")).splitlines()
    return {_kind(line) for line in lines}


def record(name: str, namespace: str, kinds: Iterable[Kind]) -> Item:
    """The record, as an object to apply."""
    lines = "\n".join(_line(each) for each in sorted(kinds))
    content = {
        "apiVersion": CONFIG_MAP.api_version,
        "kind": CONFIG_MAP.kind,
        "metadata": {
            "name": record_name(name),
            "namespace": namespace,
            "labels": {LABEL: name, "app.kubernetes.io/managed-by": MANAGER},
        },
        "data": {"kinds": lines},
    }
    return Item(CONFIG_MAP, record_name(name), content)


def belonging(
    connection: Connection, name: str, kinds: Iterable[Kind]
) -> Iterator[tuple[Item, dict[str, Any]]]:
    """The deployment's objects of some kinds, and each as it is in the cluster."""
    for kind in sorted(kinds):
        for content in connection.of(name, kind):
            if _belongs(content):
                yield Item(kind, content["metadata"]["name"], content), content


def _belongs(content: dict[str, Any]) -> bool:
    owned = content["metadata"].get("ownerReferences") or []
    has_controller = any(each.get("controller") for each in owned)
    return not has_controller and any(map(_is_ours, managers(content)))


def _is_ours(manager: str) -> bool:
    return manager == MANAGER or manager.startswith(f"{MANAGER}-")


def _line(kind: Kind) -> str:
    return f"{kind.api_version} {kind.kind} {kind.plural}"


def _kind(line: str) -> Kind:
    api_version, kind, plural = line.split()
    group, _, version = api_version.rpartition("/")
    return Kind(group, version, kind, plural)
