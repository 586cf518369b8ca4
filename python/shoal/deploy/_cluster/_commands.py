"""A deployment that is there: looked at, scaled, taken back to an earlier version.

- Where an autoscaler decides on the replicas, scaling is refused, with what decides.
"""

from __future__ import annotations

import msgspec

from shoal.deploy._cluster._connection import connected
from shoal.deploy._cluster._inventory import (
    USUAL_KINDS,
    belonging,
    check_no_canary,
    record_name,
    recorded,
)
from shoal.deploy._cluster._kinds import DEPLOYMENT
from shoal.deploy._cluster._replicas import SCALING, Autoscaler, find_autoscaler
from shoal.deploy._cluster._revisions import Revision, described, go_back, images_of, revisions_of
from shoal.deploy._cluster._rollout import Rollout, find_deployment, look
from shoal.errors import DeployError, InvalidRequestError


class Status(msgspec.Struct, frozen=True):
    """A deployment as it is in the cluster.

    Attributes:
        name: The deployment.
        namespace: Where it is.
        rollout: How far its version has come, and what is wrong with it.
        images: What it runs and mounts.
        autoscaler: What decides on its replicas; None where nobody does.
        revisions: Versions that can be gone back to, and the present one, oldest first.
        objects: All objects of it, such as `Service iris`.
    """

    name: str
    namespace: str
    rollout: Rollout
    images: tuple[str, ...]
    autoscaler: Autoscaler | None
    revisions: tuple[Revision, ...]
    objects: tuple[str, ...]


class Scaled(msgspec.Struct, frozen=True):
    """What `scale` has done.

    Attributes:
        name: The deployment.
        namespace: Where it is.
        before: The replicas there should have been.
        replicas: The replicas there should be.
    """

    name: str
    namespace: str
    before: int
    replicas: int


class RolledBack(msgspec.Struct, frozen=True):
    """What `rollback` has done.

    Attributes:
        name: The deployment.
        namespace: Where it is.
        before: The number of the version it had.
        revision: The number that the version had which it has now.
    """

    name: str
    namespace: str
    before: int
    revision: int


def status(name: str, *, namespace: str | None = None) -> Status:
    """Looks at a deployment.

    Args:
        name: The deployment.
        namespace: Where it is; None for the namespace of the kubeconfig.

    Raises:
        ClusterLacksError: there is no such deployment.
        ClusterUnavailableError: the cluster cannot be reached.
        ClusterAccessError: this user may not look at it.
    """
    with connected(namespace) as connection:
        deployment = find_deployment(connection, name)
        kinds = recorded(connection, name) or USUAL_KINDS
        objects = [item for item, _ in belonging(connection, name, kinds)]
        return Status(
            name=name,
            namespace=connection.namespace,
            rollout=look(connection, name),
            images=images_of(deployment["spec"]["template"]["spec"]),
            autoscaler=find_autoscaler(connection, name),
            revisions=tuple(map(described, revisions_of(connection, deployment))),
            objects=tuple(str(each) for each in objects if each.name != record_name(name)),
        )


def scale(name: str, replicas: int, *, namespace: str | None = None) -> Scaled:
    """Sets how many replicas a deployment has; `apply` keeps the number from then on.

    Args:
        name: The deployment.
        replicas: How many; none stops it.
        namespace: Where it is; None for the namespace of the kubeconfig.

    Raises:
        InvalidRequestError: the number is below zero.
        DeployError: an autoscaler decides on it.
        ClusterLacksError: there is no such deployment.
        ClusterUnavailableError: the cluster cannot be reached.
        ClusterAccessError: this user may not do that.
    """
    if replicas < 0:
        raise InvalidRequestError(f"replicas is {replicas}, expected 0 or more")
    with connected(namespace) as connection:
        deployment = find_deployment(connection, name)
        if found := find_autoscaler(connection, name):
            raise DeployError(
                f"{name} is scaled by {found}, between {found.least} and {found.most} replicas",
                hint="Deploy it anew with other limits, or without the autoscaler.",
            )
        connection.scale(DEPLOYMENT, name, replicas, manager=SCALING)
        before = deployment["spec"].get("replicas", 1)
        return Scaled(name, connection.namespace, before, replicas)


def rollback(name: str, *, namespace: str | None = None, revision: int | None = None) -> RolledBack:
    """Takes a deployment back to an earlier version; `wait_for_rollout` waits for it.

    Args:
        name: The deployment.
        namespace: Where it is; None for the namespace of the kubeconfig.
        revision: Which version; None for the one before.

    Raises:
        DeployError: there is no such version.
        ClusterConflictError: a canary is under way.
        ClusterLacksError: there is no such deployment.
        ClusterUnavailableError: the cluster cannot be reached.
        ClusterAccessError: this user may not do that.
    """
    with connected(namespace) as connection:
        deployment = find_deployment(connection, name)
        check_no_canary(connection, name)
        before = look(connection, name).revision
        earlier = go_back(connection, deployment, revision)
        return RolledBack(name, connection.namespace, before, earlier)


def cluster_version() -> str:
    """The version of Kubernetes that the cluster has, such as `1.36`: what to render for.

    Raises:
        ClusterUnavailableError: the cluster cannot be reached.
        ConfigurationError: the kubeconfig cannot be used.
    """
    with connected(None) as connection:
        return ".".join(map(str, connection.version()))
