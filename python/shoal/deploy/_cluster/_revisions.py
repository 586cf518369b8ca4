"""Earlier versions of a deployment, and the way back to one.

- The cluster keeps the template of each version; going back applies an earlier one, as `apply`
  would have. It becomes the newest version: going back twice ends where it began.
- Only the template goes back, and what the Deployment says of it in labels and notes; replicas and
  all other objects stay.

Source: kubernetes.io/docs/concepts/workloads/controllers/deployment (rolling back a deployment).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import msgspec

from shoal.deploy._cluster._fields import owned
from shoal.deploy._cluster._kinds import DEPLOYMENT, REPLICA_SET, Item
from shoal.errors import DeployError

if TYPE_CHECKING:
    from shoal.deploy._cluster._connection import Connection

Content: TypeAlias = dict[str, Any]

REVISION = "deployment.kubernetes.io/revision"
HASH_LABEL = "pod-template-hash"
NOTES = "shoal.io/"


class Revision(msgspec.Struct, frozen=True):
    """A version that a deployment had, or has.

    Attributes:
        number: Counts up with each change of the template.
        images: What its containers and its mounted packages are.
        created: When it was first there.
    """

    number: int
    images: tuple[str, ...]
    created: str


def revisions_of(connection: Connection, deployment: Content) -> list[Content]:
    """The ReplicaSets of a Deployment, oldest version first."""
    labels = deployment["spec"]["selector"].get("matchLabels")
    uid = deployment["metadata"]["uid"]
    found = [
        each
        for each in connection.find(REPLICA_SET, labels)
        if uid in {owner["uid"] for owner in each["metadata"].get("ownerReferences") or ()}
    ]
    return sorted(found, key=number_of)


def number_of(content: Content) -> int:
    """The number of a version; 0 where the cluster has not numbered it yet."""
    return int((content["metadata"].get("annotations") or {}).get(REVISION, 0))


def described(replica_set: Content) -> Revision:
    """A version in words."""
    images = images_of(replica_set["spec"]["template"]["spec"])
    created = str(replica_set["metadata"].get("creationTimestamp", ""))
    return Revision(number_of(replica_set), images, created)


def images_of(pod: Content) -> tuple[str, ...]:
    """The images that a Pod runs and mounts."""
    runs = [
        each["image"] for key in ("initContainers", "containers") for each in pod.get(key) or ()
    ]
    mounts = [each["image"]["reference"] for each in pod.get("volumes") or () if "image" in each]
    return tuple(dict.fromkeys(runs + mounts))


def go_back(connection: Connection, deployment: Content, number: int | None) -> int:
    """Makes an earlier version the newest one.

    Args:
        connection: The cluster.
        deployment: The Deployment as it is.
        number: Which version; None for the one before.

    Returns:
        The number that the version had.

    Raises:
        DeployError: there is no such version.
    """
    earlier = _chosen(deployment, revisions_of(connection, deployment), number)
    content = owned(deployment)
    content["spec"] = {**content.get("spec", {}), "template": _template(earlier)}
    noted = {key: note for key, note in _notes(content).items() if not key.startswith(NOTES)}
    noted |= {key: note for key, note in _notes(earlier).items() if key.startswith(NOTES)}
    shared = _template(earlier)["metadata"].get("labels") or {}
    labels = content["metadata"].get("labels") or {}
    labels = {key: shared.get(key, label) for key, label in labels.items()}
    content["metadata"] = {**content["metadata"], "labels": labels, "annotations": noted}
    connection.apply(Item(DEPLOYMENT, deployment["metadata"]["name"], content), force=True)
    return number_of(earlier)


def _chosen(deployment: Content, revisions: list[Content], number: int | None) -> Content:
    name, current = deployment["metadata"]["name"], number_of(deployment)
    there = {number_of(each): each for each in revisions if number_of(each) not in {0, current}}
    if number is None:
        number = max((each for each in there if each < current), default=0)
    if number in there:
        return there[number]
    asked = f"no revision {number}" if number else "no earlier revision"
    kept = ", ".join(map(str, sorted(there))) or "none"
    raise DeployError(f"{name} has {asked} to go back to, kept are: {kept}")


def _template(replica_set: Content) -> Content:
    """The template as it was applied, without the mark that the controller sets."""
    template: Content = replica_set["spec"]["template"]
    metadata = {
        key: value for key, value in template["metadata"].items() if key != "creationTimestamp"
    }
    labels = metadata.get("labels") or {}
    metadata["labels"] = {key: label for key, label in labels.items() if key != HASH_LABEL}
    return {**template, "metadata": metadata}


def _notes(content: Content) -> dict[str, str]:
    notes: dict[str, str] = content["metadata"].get("annotations") or {}
    return notes
