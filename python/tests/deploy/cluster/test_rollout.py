"""A new version comes up or is rolled back; what is deleted is gone with all that came of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from lightkube.resources.apps_v1 import Deployment
from lightkube.resources.core_v1 import ConfigMap, Pod, Service
from lightkube.resources.discovery_v1 import EndpointSlice

from shoal import deploy
from shoal.deploy._cluster._rollout import Patience
from shoal.errors import ClusterLacksError, DeployError, InvalidRequestError, RolloutError
from tests.deploy.cluster.samples import NAME, limit, metadata, objects, service
from tests.services import until
from tests.services.kubernetes._kubelet import NO_IMAGE, READY, Fate

if TYPE_CHECKING:
    from tests.services.kubernetes._control_plane import ControlPlane

pytest_plugins = ["tests.services.kubernetes.fixtures"]

QUICK = deploy.Clock(deploy.SYSTEM_CLOCK.now, lambda _: deploy.SYSTEM_CLOCK.wait(0.05))
# Ten times as fast: what is waited for by its clock, not by the cluster's.
FAST = deploy.Clock(lambda: deploy.SYSTEM_CLOCK.now() * 10, QUICK.wait)


def bad_image(pod: Pod) -> Fate:
    return NO_IMAGE if "bad" in str(pod.spec and pod.spec.containers[0].image) else READY


def apply(namespace: str, version: str = "v1", **settings: Any) -> None:
    deploy.apply(objects(version, **settings), name=NAME, namespace=namespace)


def wait(namespace: str, **how: Any) -> deploy.Rollout:
    return deploy.wait_for_rollout(NAME, namespace=namespace, **{"clock": QUICK, **how})


def images(cluster: ControlPlane, namespace: str) -> list[str]:
    """The images of Pods that are ready."""
    found = []
    for pod in cluster.client.list(Pod, namespace=namespace):
        assert pod.spec is not None
        conditions = (pod.status and pod.status.conditions) or []
        is_ending = pod.metadata is not None and pod.metadata.deletionTimestamp is not None
        if not is_ending and any(
            each.type == "Ready" and each.status == "True" for each in conditions
        ):
            found.append(str(pod.spec.containers[0].image))
    return sorted(found)


def test_a_deployment_comes_up_and_grows_from_one_to_three(
    cluster: ControlPlane, namespace: str
) -> None:
    apply(namespace)
    seen: list[deploy.Rollout] = []
    last = wait(namespace, progress=seen.append)
    assert (last.ready, last.desired, last.revision, last.is_done) == (1, 1, 1, True)
    assert seen[-1] == last
    assert len(set(map(str, seen))) == len(seen)
    deploy.scale(NAME, 3, namespace=namespace)
    assert wait(namespace).ready == 3
    nodes = {
        pod.spec and pod.spec.nodeName for pod in cluster.client.list(Pod, namespace=namespace)
    }
    assert len(nodes) > 1

    def reached() -> int:
        slices = cluster.client.list(EndpointSlice, namespace=namespace)
        return sum(len(each.endpoints or ()) for each in slices)

    until(lambda: reached() == 3, "the Service leads to all of them")


def test_a_bad_image_stops_the_rollout_while_the_old_version_serves(
    cluster: ControlPlane, namespace: str
) -> None:
    cluster.kubelet.decide(namespace, bad_image)
    apply(namespace, replicas=2)
    wait(namespace)
    apply(namespace, "bad", replicas=2, deadline_seconds=3)
    seen: list[deploy.Rollout] = []
    with pytest.raises(RolloutError, match=r"revision 2, did not come up") as caught:
        wait(namespace, progress=seen.append)
    assert "0 of 2 ready; one Pod: ImagePullBackOff: Back-off pulling image" in str(caught.value)
    assert "shoal deploy rollback iris" in str(caught.value.hint)
    assert any(each.troubles and each.failure is None for each in seen)
    assert images(cluster, namespace) == ["registry.test/iris:v1"] * 2


@pytest.mark.parametrize("replicas", [1, 2])
def test_a_version_that_does_not_come_up_is_rolled_back(
    cluster: ControlPlane, namespace: str, replicas: int
) -> None:
    cluster.kubelet.decide(namespace, bad_image)
    apply(namespace, replicas=replicas)
    wait(namespace)
    apply(namespace, "bad", replicas=replicas, deadline_seconds=3, options="config-2")
    with pytest.raises(RolloutError, match=r"rolled back to revision 1, \d of \d ready"):
        wait(namespace, roll_back=True)
    found = deploy.status(NAME, namespace=namespace)
    assert found.images == ("registry.test/iris:v1",)
    assert found.rollout.is_done
    assert [each.number for each in found.revisions] == [2, 3]
    until(lambda: len(images(cluster, namespace)) == replicas, "the old version is left")
    assert images(cluster, namespace) == ["registry.test/iris:v1"] * replicas


def state(failure: str | None = None, ready: int = 0, *troubles: deploy.Trouble) -> deploy.Rollout:
    return deploy.Rollout("iris", 2, 2, 1, ready, 1, troubles, failure=failure)


def test_a_failure_that_is_there_at_first_may_be_the_earlier_versions() -> None:
    patience = Patience(60.0, 100.0)
    assert patience.judged(state("given up"), 100.0).failure is None
    assert patience.judged(state("given up"), 104.9).failure is None
    assert patience.judged(state("given up"), 105.0).failure == "given up"
    patience = Patience(60.0, 100.0)
    assert patience.judged(state("given up"), 100.0).failure is None
    assert patience.judged(state(), 100.5).failure is None
    assert patience.judged(state("given up"), 101.0).failure == "given up"


def test_pods_that_are_refused_for_a_moment_are_no_failure() -> None:
    refused = deploy.Trouble("FailedCreate", "exceeded quota", 0)
    patience = Patience(60.0, 0.0)
    assert patience.judged(state(None, 0, refused), 0.5).failure is None
    assert patience.judged(state(None, 1), 4.0).failure is None
    assert patience.judged(state(None, 1, refused), 8.0).failure is None
    failed = patience.judged(state(None, 1, refused), 9.0)
    assert failed.failure == "the cluster makes no Pods for it"


def test_a_cluster_that_says_nothing_any_more_is_not_waited_for() -> None:
    patience = Patience(60.0, 0.0)
    assert patience.judged(state(), 0.0).failure is None
    assert patience.judged(state(None, 1), 50.0).failure is None
    assert patience.judged(state(None, 1), 109.0).failure is None
    assert patience.judged(state(None, 1), 110.0).failure == "nothing has changed for 60 seconds"


def test_the_next_version_after_a_rollback_is_applied_without_conflict(
    cluster: ControlPlane, namespace: str
) -> None:
    for version, options in (("v1", "config-1"), ("v2", "config-2")):
        apply(namespace, version, options=options)
        wait(namespace)
    back = deploy.rollback(NAME, namespace=namespace)
    assert (back.before, back.revision) == (2, 1)
    wait(namespace)
    found = cluster.client.get(Deployment, NAME, namespace=namespace)
    assert "iris-config-1" in str(found.spec)
    assert "iris-config-2" not in str(found.spec)
    applied = deploy.apply(objects("v3", options="config-3"), name=NAME, namespace=namespace)
    assert not applied.kept
    wait(namespace)
    assert images(cluster, namespace) == ["registry.test/iris:v3"]
    found = cluster.client.get(Deployment, NAME, namespace=namespace)
    assert "iris-config-1" not in str(found.spec)


def test_without_an_earlier_version_nothing_is_rolled_back(
    cluster: ControlPlane, namespace: str
) -> None:
    cluster.kubelet.decide(namespace, bad_image)
    apply(namespace, "bad", deadline_seconds=3)
    with pytest.raises(RolloutError, match="not rolled back: iris has no earlier revision"):
        wait(namespace, roll_back=True)
    with pytest.raises(DeployError, match="no revision 7 to go back to, kept are: none"):
        deploy.rollback(NAME, namespace=namespace, revision=7)


def test_a_quota_on_pods_ends_the_rollout_with_what_is_used_up(
    cluster: ControlPlane, namespace: str
) -> None:
    limit(cluster, namespace, pods="1")
    apply(namespace, replicas=2)
    with pytest.raises(
        RolloutError, match=r"no Pod: FailedCreate: .*exceeded quota: few"
    ) as caught:
        wait(namespace, clock=FAST)
    assert "larger quota" in str(caught.value.hint)


def test_a_rollout_that_is_paused_is_told(cluster: ControlPlane, namespace: str) -> None:
    apply(namespace)
    wait(namespace)
    patch = {"spec": {"paused": True}}
    cluster.client.patch(Deployment, NAME, patch, namespace=namespace)
    apply(namespace, "v2")
    with pytest.raises(RolloutError, match="it is paused"):
        wait(namespace, clock=FAST)


def test_the_status_tells_what_is_there(namespace: str) -> None:
    apply(namespace, replicas=2)
    wait(namespace)
    found = deploy.status(NAME, namespace=namespace)
    assert found.objects == (
        "ConfigMap iris-config-1",
        "Service iris",
        "ServiceAccount iris",
        "Deployment iris",
    )
    assert found.autoscaler is None
    assert (found.rollout.ready, found.rollout.troubles) == (2, ())


def test_what_is_not_there_is_told(namespace: str) -> None:
    for ask in (deploy.status, deploy.rollback, deploy.wait_for_rollout):
        with pytest.raises(ClusterLacksError, match=f"no deployment iris in namespace {namespace}"):
            ask(NAME, namespace=namespace)
    with pytest.raises(ClusterLacksError, match="nothing of deployment iris"):
        deploy.delete(NAME, namespace=namespace)
    with pytest.raises(InvalidRequestError, match="replicas is -1"):
        deploy.scale(NAME, -1, namespace=namespace)


def test_a_deployment_is_stopped_by_no_replicas(cluster: ControlPlane, namespace: str) -> None:
    apply(namespace)
    deploy.scale(NAME, 0, namespace=namespace)
    assert wait(namespace).desired == 0
    assert images(cluster, namespace) == []


def test_delete_leaves_nothing(cluster: ControlPlane, namespace: str) -> None:
    theirs = Service(metadata=metadata("-theirs"), spec=service().spec)
    cluster.client.create(theirs, namespace=namespace, field_manager="ops")
    apply(namespace, replicas=2)
    wait(namespace)
    told: list[str] = []
    gone = deploy.delete(NAME, namespace=namespace, progress=told.append, clock=QUICK)
    assert tuple(told) == gone.objects
    assert set(gone.objects) >= {"Deployment iris", "Service iris", "ConfigMap iris-config-1"}
    assert not list(cluster.client.list(Pod, namespace=namespace))
    assert not list(cluster.client.list(Deployment, namespace=namespace))
    configmaps = cluster.client.list(ConfigMap, namespace=namespace)
    assert [each.metadata and each.metadata.name for each in configmaps] == ["kube-root-ca.crt"]
    services = cluster.client.list(Service, namespace=namespace)
    assert [each.metadata and each.metadata.name for each in services] == ["iris-theirs"]


def test_what_does_not_go_away_is_named(cluster: ControlPlane, namespace: str) -> None:
    held = objects()
    held[2].metadata.finalizers = ["shoal.test/held"]
    deploy.apply(held, name=NAME, namespace=namespace)
    moments = iter(range(0, 10_000, 50))
    hurried = deploy.Clock(lambda: float(next(moments)), QUICK.wait)
    with pytest.raises(DeployError, match=r"there still is .*ConfigMap iris-config-1"):
        deploy.delete(NAME, namespace=namespace, clock=hurried)
    free = {"metadata": {"finalizers": None}}
    cluster.client.patch(ConfigMap, f"{NAME}-config-1", free, namespace=namespace)
    deploy.delete(NAME, namespace=namespace, clock=QUICK)
