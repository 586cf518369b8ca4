"""Replicas follow how long records wait; what an autoscaler decides is never overwritten."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from lightkube.resources.apps_v1 import Deployment

from shoal import deploy
from shoal.errors import DeployError
from tests.deploy.cluster.samples import METRIC, NAME, autoscaler, metadata, objects
from tests.services import until
from tests.services.kubernetes._metrics import Metric

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.services.kubernetes._control_plane import ControlPlane

pytest_plugins = ["tests.services.kubernetes.fixtures"]


def replicas(cluster: ControlPlane, namespace: str) -> int:
    found = cluster.client.get(Deployment, NAME, namespace=namespace)
    assert found.spec is not None
    return int(found.spec.replicas or 0)


def apply(namespace: str, *more: Any, **settings: Any) -> deploy.Applied:
    return deploy.apply(objects("v1", *more, **settings), name=NAME, namespace=namespace)


def test_replicas_follow_the_queue_wait_and_no_apply_sets_them_back(
    cluster: ControlPlane, namespace: str
) -> None:
    queue_wait = Metric(cluster.client, METRIC)
    queue_wait.say(namespace, "100m", {})
    apply(namespace, autoscaler(), replicas=None)
    deploy.wait_for_rollout(NAME, namespace=namespace)
    queue_wait.say(namespace, "400m", {})
    until(lambda: replicas(cluster, namespace) == 4, "four times the wait, four replicas", 40)
    again = apply(namespace, autoscaler(), replicas=2)
    assert again.kept == (
        "Deployment iris keeps 4 replicas, not 2: HorizontalPodAutoscaler iris scales it",
    )
    assert replicas(cluster, namespace) == 4
    with pytest.raises(DeployError, match="between 1 and 6 replicas"):
        deploy.scale(NAME, 2, namespace=namespace)
    found = deploy.status(NAME, namespace=namespace).autoscaler
    assert str(found) == "HorizontalPodAutoscaler iris"
    queue_wait.say(namespace, "10m", {})
    until(lambda: replicas(cluster, namespace) == 1, "hardly any wait, one replica", 40)


def test_an_autoscaler_that_comes_later_takes_the_replicas_over_without_a_drop(
    cluster: ControlPlane, namespace: str
) -> None:
    apply(namespace, replicas=3)
    applied = apply(namespace, autoscaler(least=3), replicas=None)
    assert replicas(cluster, namespace) == 3
    assert [each.name for each in applied.changes if each.action == "changed"] == []
    apply(namespace, replicas=None)
    assert replicas(cluster, namespace) == 3


def test_an_autoscaler_that_goes_leaves_the_replicas_that_are_wanted(
    cluster: ControlPlane, namespace: str
) -> None:
    apply(namespace, autoscaler(least=4), replicas=None)
    until(lambda: replicas(cluster, namespace) == 4, "the least replicas of the autoscaler", 40)
    applied = apply(namespace, replicas=2)
    assert applied.kept == ()
    changes = {each.kind: each for each in applied.changes if each.action != "unchanged"}
    assert changes["HorizontalPodAutoscaler"].action == "deleted"
    assert "+  replicas: 2" in changes["Deployment"].difference
    assert replicas(cluster, namespace) == 2
    apply(namespace, replicas=3)
    assert replicas(cluster, namespace) == 3


def test_a_scaled_object_owns_the_replicas_too(
    cluster: ControlPlane, namespace: str, definitions: Callable[[str], None]
) -> None:
    from lightkube.generic_resource import create_namespaced_resource

    definitions("keda")
    kind = create_namespaced_resource("keda.sh", "v1alpha1", "ScaledObject", "scaledobjects")
    trigger = {
        "type": "prometheus",
        "metadata": {"serverAddress": "http://prometheus:9090", "query": "q", "threshold": "1"},
    }
    spec = {"scaleTargetRef": {"name": NAME}, "maxReplicaCount": 5, "triggers": [trigger]}
    apply(namespace, kind(metadata=metadata(), spec=spec), replicas=None)
    with pytest.raises(DeployError, match="ScaledObject iris, between 0 and 5 replicas"):
        deploy.scale(NAME, 2, namespace=namespace)
