"""A deployment taken away, with everything that came of it.

- All objects go that carry its label and that this program has written; what others gave its label
  is left alone.
- It is done when the API server has none of them any more, nor any Pod of theirs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from shoal.deploy._cluster._clock import LOOK_SECONDS, SYSTEM_CLOCK, Clock
from shoal.deploy._cluster._connection import Connection, connected
from shoal.deploy._cluster._inventory import USUAL_KINDS, belonging, record_name, recorded
from shoal.deploy._cluster._kinds import CONFIG_MAP, ENDPOINT_SLICE, POD, REPLICA_SET, Item
from shoal.errors import ClusterLacksError, DeployError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from shoal.deploy._cluster._kinds import Kind

GONE_WITHIN_SECONDS = 120.0
MADE_BY_CONTROLLERS = (REPLICA_SET, POD, ENDPOINT_SLICE)  # what is made of others comes later


class Deleted(msgspec.Struct, frozen=True):
    """What `delete` has done.

    Attributes:
        name: The deployment.
        namespace: Where it was.
        objects: What is gone, such as `Service iris`.
    """

    name: str
    namespace: str
    objects: tuple[str, ...]


def delete(
    name: str,
    *,
    namespace: str | None = None,
    progress: Callable[[str], None] | None = None,
    clock: Clock = SYSTEM_CLOCK,
) -> Deleted:
    """Deletes a deployment, and waits until nothing of it is left.

    Args:
        name: The deployment.
        namespace: Where it is; None for the namespace of the kubeconfig.
        progress: What is told of each object that is being deleted.
        clock: The time that waiting takes.

    Raises:
        ClusterLacksError: there is nothing of this name.
        DeployError: something of it does not go away.
        ClusterUnavailableError: the cluster cannot be reached.
        ClusterAccessError: this user may not do that.
    """
    with connected(namespace) as connection:
        record = recorded(connection, name)
        kinds = record or USUAL_KINDS
        found = _found(connection, name, kinds)
        if not found and record is None:
            raise ClusterLacksError(
                f"there is nothing of deployment {name} in namespace {connection.namespace}",
                hint="Is it another --namespace? What kubectl or Helm has applied is theirs to "
                "delete.",
            )
        for item in found:
            connection.delete(item.kind, item.name)
            if progress is not None:
                progress(str(item))
        _wait(connection, name, kinds, clock)
        # The record goes last: until then another call finds what one that was killed has left.
        connection.delete(CONFIG_MAP, record_name(name))
        return Deleted(name, connection.namespace, tuple(map(str, found)))


def _found(connection: Connection, name: str, kinds: Iterable[Kind]) -> list[Item]:
    found = [item for item, _ in belonging(connection, name, kinds)]
    return [each for each in found if each.name != record_name(name)]


def _wait(connection: Connection, name: str, kinds: Iterable[Kind], clock: Clock) -> None:
    """Waits until nothing is left."""
    ends_at = clock.now() + GONE_WITHIN_SECONDS
    while left := _left(connection, name, kinds):
        if clock.now() > ends_at:
            raise DeployError(
                f"after {GONE_WITHIN_SECONDS:.0f} seconds there still is {', '.join(left)}",
                hint="Something holds it: see its finalizers, and whether its node answers.",
            )
        clock.wait(LOOK_SECONDS)


def _left(connection: Connection, name: str, kinds: Iterable[Kind]) -> list[str]:
    """What is left of it: its objects, and what controllers made of them."""
    left = list(map(str, _found(connection, name, kinds)))
    strangers = _strangers(connection, name, kinds)
    for kind in MADE_BY_CONTROLLERS:
        for made in connection.of(name, kind):
            title = made["metadata"]["name"]
            owners = {each["name"] for each in made["metadata"].get("ownerReferences") or ()}
            if not owners or owners & strangers:
                strangers.add(title)
            else:
                left.append(f"{kind} {title}")
    return left


def _strangers(connection: Connection, name: str, kinds: Iterable[Kind]) -> set[str]:
    """Names of objects to which others gave the label."""
    ours = {(item.kind, item.name) for item, _ in belonging(connection, name, kinds)}
    return {
        each["metadata"]["name"]
        for kind in kinds
        for each in connection.of(name, kind)
        if (kind, each["metadata"]["name"]) not in ours
    }
