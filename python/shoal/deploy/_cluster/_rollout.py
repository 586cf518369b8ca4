"""How far a new version of a deployment has come up, and when it has failed.

- Done: the cluster has seen the change, every Pod is of the new version and ready, none is left of
  the old one.
- Failed: the cluster gave up (`ProgressDeadlineExceeded`), refuses to make Pods for
  `REFUSED_SECONDS`, or says nothing for long after it should have given up.
- What is wrong with Pods is told as the cluster says it, the same trouble of many Pods once.
- `judge` and `Patience` decide from what was read; `wait_for_rollout` reads, and passes the time.

Source: kubernetes.io/docs/concepts/workloads/controllers/deployment (deployment status).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

import msgspec

from shoal.deploy._cluster._clock import LOOK_SECONDS, SYSTEM_CLOCK, Clock
from shoal.deploy._cluster._connection import Connection, connected
from shoal.deploy._cluster._inventory import recorded
from shoal.deploy._cluster._kinds import DEPLOYMENT, POD
from shoal.deploy._cluster._revisions import HASH_LABEL, go_back, number_of, revisions_of
from shoal.deploy._cluster._troubles import Trouble, told_once, troubles_of
from shoal.errors import ClusterLacksError, DeployError, RolloutError

Content: TypeAlias = dict[str, Any]

REFUSED_SECONDS = 5.0
SILENT_SECONDS = 30.0
OLD_FAILURE_SECONDS = 5.0
DEFAULT_DEADLINE_SECONDS = 600


class Rollout(msgspec.Struct, frozen=True):
    """How far a deployment has come.

    Attributes:
        name: The deployment.
        revision: The number of the version that comes up.
        desired: How many Pods there should be.
        updated: How many are of the new version.
        ready: How many of the new version are ready.
        old: How many of earlier versions are still there.
        troubles: What is wrong with Pods of the new version.
        is_done: Whether all is as it should be.
        failure: Why it will not come up; None as long as it may.
    """

    name: str
    revision: int
    desired: int
    updated: int
    ready: int
    old: int
    troubles: tuple[Trouble, ...] = ()
    is_done: bool = False
    failure: str | None = None


Progress: TypeAlias = Callable[[Rollout], None]


def judge(deployment: Content, replica_sets: Iterable[Content], pods: Iterable[Content]) -> Rollout:
    """How far a Deployment has come.

    Args:
        deployment: The Deployment.
        replica_sets: Its revisions.
        pods: Its Pods, of all revisions.
    """
    status = deployment.get("status") or {}
    desired = deployment["spec"].get("replicas", 1)
    updated = status.get("updatedReplicas", 0)
    revision = number_of(deployment)
    newest = next((each for each in replica_sets if number_of(each) == revision), None)
    ready = ((newest or {}).get("status") or {}).get("readyReplicas", 0)
    conditions = {each["type"]: each for each in status.get("conditions") or ()}
    is_seen = status.get("observedGeneration", 0) >= deployment["metadata"]["generation"]
    old = status.get("replicas", 0) - updated
    refused = _refused(conditions) if is_seen else ()
    is_up = updated == desired and status.get("availableReplicas", 0) >= updated
    return Rollout(
        name=deployment["metadata"]["name"],
        revision=revision,
        desired=desired,
        updated=updated if is_seen else 0,
        ready=ready if is_seen else 0,
        old=old,
        troubles=(*refused, *_troubles(newest, pods)),
        is_done=is_seen and is_up and old == 0 and (ready >= desired or desired == 0),
        failure=_given_up(deployment, conditions) if is_seen else None,
    )


def wait_for_rollout(
    name: str,
    *,
    namespace: str | None = None,
    roll_back: bool = False,
    progress: Progress | None = None,
    clock: Clock = SYSTEM_CLOCK,
) -> Rollout:
    """Waits until a deployment is rolled out.

    Args:
        name: The deployment.
        namespace: Where it is; None for the namespace of the kubeconfig.
        roll_back: Whether to go back to the version before if this one does not come up.
        progress: What is told of each change.
        clock: The time that waiting takes.

    Returns:
        The last state.

    Raises:
        RolloutError: it does not come up; with `roll_back`, the version before is back.
        ClusterLacksError: there is no such deployment.
        ClusterUnavailableError: the cluster cannot be reached.
        ClusterAccessError: this user may not look at it.
    """
    with connected(namespace) as connection:
        last = _watched(connection, name, progress or (lambda _: None), clock)
        if last.failure is None:
            return last
        message, hint = _told(last), None
        if roll_back:
            message, hint = _after_going_back(connection, last, progress, clock)
        raise RolloutError(message, hint=hint or _remedy(last, connection.namespace))


def look(connection: Connection, name: str) -> Rollout:
    """How far a deployment has come at this moment."""
    deployment = find_deployment(connection, name)
    labels = deployment["spec"]["selector"].get("matchLabels")
    replica_sets = revisions_of(connection, deployment)
    return judge(deployment, replica_sets, connection.find(POD, labels))


def find_deployment(connection: Connection, name: str) -> Content:
    """A Deployment.

    Raises:
        ClusterLacksError: there is none of this name.
        DeployError: it is one that KServe looks after.
    """
    deployment = connection.get(DEPLOYMENT, name)
    if deployment is None:
        kinds = recorded(connection, name) or ()
        if any(each.kind == "InferenceService" for each in kinds):
            raise DeployError(
                f"{name} is an InferenceService: KServe makes its Deployment, and looks after it",
                hint=f"kubectl get inferenceservice {name} -n {connection.namespace}",
            )
        raise ClusterLacksError(
            f"there is no deployment {name} in namespace {connection.namespace}",
            hint="Is it another --namespace, or another context of the kubeconfig?",
        )
    return deployment


class Patience:
    """Decides from one look to the next whether a rollout has failed; time is told to it."""

    def __init__(self, patience_seconds: float, now: float) -> None:
        """Begins at a moment; `patience_seconds` is how long nothing may change."""
        self._patience_seconds = patience_seconds
        self._began_at = self._changed_at = self._refused_at = now
        self._before: Rollout | None = None
        self._old_failure: str | None = None

    def judged(self, state: Rollout, now: float) -> Rollout:
        """The state, with why it has failed."""
        if self._before is None:
            self._old_failure = state.failure
        if state != self._before:
            self._before, self._changed_at = state, now
        if all(each.pods for each in state.troubles):
            self._refused_at = now
        return msgspec.structs.replace(state, failure=self._failure(state, now))

    def _failure(self, state: Rollout, now: float) -> str | None:
        """Why it has failed. What is there at the first look may be the version before's."""
        if state.failure != self._old_failure:
            self._old_failure = None
        if state.failure is not None:
            is_old = self._old_failure is not None
            return None if is_old and now - self._began_at < OLD_FAILURE_SECONDS else state.failure
        if now - self._refused_at >= REFUSED_SECONDS:
            return "the cluster makes no Pods for it"
        if now - self._changed_at >= self._patience_seconds:
            return f"nothing has changed for {self._patience_seconds:.0f} seconds"
        return None


def _watched(connection: Connection, name: str, progress: Progress, clock: Clock) -> Rollout:
    """The state in which waiting ends; every change on the way is told."""
    deadline = find_deployment(connection, name)["spec"].get("progressDeadlineSeconds")
    patience = Patience((deadline or DEFAULT_DEADLINE_SECONDS) + SILENT_SECONDS, clock.now())
    before: Rollout | None = None
    while True:
        state = patience.judged(look(connection, name), clock.now())
        if state != before:
            progress(state)
            before = state
        if state.is_done or state.failure is not None:
            return state
        clock.wait(LOOK_SECONDS)


def _after_going_back(
    connection: Connection, failed: Rollout, progress: Progress | None, clock: Clock
) -> tuple[str, str | None]:
    """Goes back; the message says where that ended."""
    try:
        earlier = go_back(connection, find_deployment(connection, failed.name), None)
        state = _watched(connection, failed.name, progress or (lambda _: None), clock)
    except DeployError as error:
        return f"{_told(failed)}; it was not rolled back: {error}", error.hint
    if state.failure is not None:
        return f"{_told(failed)}; rolled back to revision {earlier}: {_told(state)}", None
    ready = f"{state.ready} of {state.desired} ready"
    return f"{_told(failed)}; rolled back to revision {earlier}, {ready}", None


def _told(state: Rollout) -> str:
    where = f"{state.name}, revision {state.revision}, did not come up"
    count = f"{state.ready} of {state.desired} ready"
    troubles = "; ".join(map(str, state.troubles))
    return f"{where}: {state.failure}, {count}{'; ' if troubles else ''}{troubles}"


def _remedy(state: Rollout, namespace: str) -> str:
    if any("quota" in each.message for each in state.troubles):
        return "Ask for a larger quota of the namespace, or for fewer replicas."
    if state.old:
        return f"The old version serves on: shoal deploy rollback {state.name} -n {namespace}"
    return f"kubectl describe deployment {state.name} -n {namespace}"


def _refused(conditions: dict[str, Content]) -> tuple[Trouble, ...]:
    """What the cluster says where it may not make Pods."""
    found = conditions.get("ReplicaFailure")
    if found is None or found["status"] != "True":
        return ()
    return (Trouble(found.get("reason", "ReplicaFailure"), found.get("message", ""), 0),)


def _given_up(deployment: Content, conditions: dict[str, Content]) -> str | None:
    found = conditions.get("Progressing") or {}
    if found.get("reason") == "ProgressDeadlineExceeded":
        seconds = deployment["spec"].get("progressDeadlineSeconds", DEFAULT_DEADLINE_SECONDS)
        return f"no progress within {seconds} seconds (ProgressDeadlineExceeded)"
    if deployment["spec"].get("paused"):
        return "it is paused"
    return None


def _troubles(newest: Content | None, pods: Iterable[Content]) -> tuple[Trouble, ...]:
    """What is wrong with Pods of the newest revision."""
    if newest is None:
        return ()
    mark = (newest["metadata"].get("labels") or {}).get(HASH_LABEL)
    return told_once(
        troubles_of(pod)
        for pod in pods
        if (pod["metadata"].get("labels") or {}).get(HASH_LABEL) == mark
    )
