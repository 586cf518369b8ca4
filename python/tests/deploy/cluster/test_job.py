"""A training in the cluster is followed to its end; the same call follows the same one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from lightkube.resources.batch_v1 import Job

from shoal import deploy
from shoal.errors import ConfigurationError, RolloutError
from tests.deploy.cluster.samples import NAME, account, job, limit, options_map
from tests.services.kubernetes._kubelet import FAILED, READY, SUCCEEDED, Fate

if TYPE_CHECKING:
    from lightkube.resources.core_v1 import Pod

    from tests.services.kubernetes._control_plane import ControlPlane

pytest_plugins = ["tests.services.kubernetes.fixtures"]

QUICK = deploy.Clock(deploy.SYSTEM_CLOCK.now, lambda _: deploy.SYSTEM_CLOCK.wait(0.05))
# Ten times as fast: what is waited for by its clock, not by the cluster's.
FAST = deploy.Clock(lambda: deploy.SYSTEM_CLOCK.now() * 10, QUICK.wait)


def run(namespace: str, options: str = "training-1", **how: Any) -> deploy.JobState:
    made = [job(options), options_map(options), account()]
    return deploy.run_job(made, name=NAME, namespace=namespace, **{"clock": QUICK, **how})


def test_a_job_is_followed_to_its_end(cluster: ControlPlane, namespace: str) -> None:
    fates = [READY]
    cluster.kubelet.decide(namespace, lambda pod: fates[0])

    def on_progress(state: deploy.JobState) -> None:
        if state.stage == "server":
            fates[0] = SUCCEEDED

    last = run(namespace, progress=on_progress)
    assert (last.name, last.tries, last.is_done) == ("iris-training-1", 1, True)
    again = run(namespace)
    assert again == last
    assert len(list(cluster.client.list(Job, namespace=namespace))) == 1


def test_a_job_that_fails_is_told_with_why(cluster: ControlPlane, namespace: str) -> None:
    cluster.kubelet.decide(namespace, lambda pod: FAILED)
    expected = r"iris-training-1 failed: BackoffLimitExceeded: .*Error: server ended with 1"
    with pytest.raises(RolloutError, match=expected) as caught:
        run(namespace)
    assert "kubectl logs" in str(caught.value.hint)


def test_a_job_without_room_for_its_pods_is_told(cluster: ControlPlane, namespace: str) -> None:
    limit(cluster, namespace, pods="0")
    with pytest.raises(RolloutError, match=r"makes no Pods for it; no Pod: .*exceeded quota"):
        run(namespace, clock=FAST)


def test_another_training_leaves_the_one_that_runs(cluster: ControlPlane, namespace: str) -> None:
    def judge(pod: Pod) -> Fate:
        assert pod.metadata is not None
        return READY if "training-1" in str(pod.metadata.name) else SUCCEEDED

    cluster.kubelet.decide(namespace, judge)
    first = [job(), options_map("training-1"), account()]
    deploy.apply(first, name=NAME, namespace=namespace)
    run(namespace, "training-2")
    names = {str(each.metadata and each.metadata.name) for each in _jobs(cluster, namespace)}
    assert names == {"iris-training-1", "iris-training-2"}


def test_objects_without_a_job_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="0 Jobs"):
        deploy.run_job([account()], name=NAME, namespace="any")


def _jobs(cluster: ControlPlane, namespace: str) -> list[Job]:
    return list(cluster.client.list(Job, namespace=namespace))
