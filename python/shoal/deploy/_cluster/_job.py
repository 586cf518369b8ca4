"""A training in the cluster: its Job is made, followed to its end, and reported.

- The Job's name says what it does: the same call again follows the one that is there, and makes
  none. Who stops following does not stop it.
- It has failed when the cluster says so; that it cannot make Pods for it is told as a trouble, and
  ends the following after `REFUSED_SECONDS`.

Source: kubernetes.io/docs/concepts/workloads/controllers/job (terminal conditions).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

import msgspec

from shoal.deploy._cluster._apply import apply
from shoal.deploy._cluster._clock import LOOK_SECONDS, SYSTEM_CLOCK, Clock
from shoal.deploy._cluster._connection import Connection, connected
from shoal.deploy._cluster._kinds import JOB, POD
from shoal.deploy._cluster._troubles import Trouble, told_once, troubles_of
from shoal.errors import ClusterLacksError, ConfigurationError, RolloutError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lightkube.core.resource import Resource

Content: TypeAlias = dict[str, Any]

REFUSED_SECONDS = 5.0
JOB_LABEL = "batch.kubernetes.io/job-name"
MISSING_PODS = "FailedCreate"


class JobState(msgspec.Struct, frozen=True):
    """How far a Job has come.

    Attributes:
        name: The Job.
        namespace: Where it is.
        stage: The container that runs; empty where none does.
        tries: How many Pods it has had.
        troubles: What is wrong with its Pods.
        is_done: Whether it has ended well.
        failure: Why it has ended otherwise; None as long as it may not.
    """

    name: str
    namespace: str
    stage: str
    tries: int
    troubles: tuple[Trouble, ...] = ()
    is_done: bool = False
    failure: str | None = None


JobProgress: TypeAlias = Callable[[JobState], None]


def run_job(
    objects: Iterable[Resource],
    *,
    name: str,
    namespace: str | None = None,
    progress: JobProgress | None = None,
    clock: Clock = SYSTEM_CLOCK,
) -> JobState:
    """Makes a Job, unless it is there, and follows it to its end.

    Args:
        objects: The Job and what it needs, as `render_job` gives them.
        name: What its objects carry as `shoal.io/deployment`.
        namespace: Where it runs; None for the namespace of the kubeconfig.
        progress: What is told of each change.
        clock: The time that waiting takes.

    Returns:
        The last state: it has ended well.

    Raises:
        RolloutError: it has failed.
        ConfigurationError: there is not one Job among the objects.
        ClusterUnavailableError: the cluster cannot be reached; the Job goes on.
        ClusterAccessError: this user may not do that, or the cluster's policy refuses it.
        ClusterConflictError: another manager owns a field, or an object has the name.
        ClusterLacksError: the namespace, a version or the quota is not there.
        DeployError: an object is not valid.
    """
    made = tuple(objects)
    jobs = [str(each.metadata.name) for each in made if type(each).__name__ == JOB.kind]  # type: ignore[attr-defined]  # each kind has it
    if len(jobs) != 1:
        raise ConfigurationError(f"there are {len(jobs)} Jobs among the objects, expected one")
    apply(made, name=name, namespace=namespace)
    with connected(namespace) as connection:
        last = _followed(connection, jobs[0], progress or (lambda _: None), clock)
    if last.failure is None:
        return last
    troubles = "".join(f"; {each}" for each in last.troubles)
    raise RolloutError(
        f"Job {last.name} failed: {last.failure}{troubles}",
        hint=f"Its words: kubectl logs -n {last.namespace} --all-containers -l "
        f"{JOB_LABEL}={last.name}; to try again, shoal deploy delete {name} first.",
    )


def judge_job(job: Content, pods: Iterable[Content]) -> JobState:
    """How far a Job has come.

    Args:
        job: The Job.
        pods: Its Pods.
    """
    status = job.get("status") or {}
    held = {
        each["type"]: each for each in status.get("conditions") or () if each["status"] == "True"
    }
    failed = held.get("Failed")
    reason = f"{failed.get('reason')}: {failed.get('message')}" if failed else None
    counts = [status.get(key) or 0 for key in ("active", "succeeded", "failed")]
    seen = tuple(pods)
    return JobState(
        name=job["metadata"]["name"],
        namespace=job["metadata"]["namespace"],
        stage="" if failed or "Complete" in held else _stage(seen),
        tries=sum(counts),
        troubles=told_once(troubles_of(each) for each in seen),
        is_done="Complete" in held,
        failure=reason,
    )


def _followed(connection: Connection, name: str, progress: JobProgress, clock: Clock) -> JobState:
    before: JobState | None = None
    refused_at = clock.now()
    while True:
        state = _look(connection, name)
        if state != before:
            progress(state)
            before = state
        if state.is_done or state.failure is not None:
            return state
        if all(each.pods for each in state.troubles):
            refused_at = clock.now()
        if clock.now() - refused_at >= REFUSED_SECONDS:
            return msgspec.structs.replace(state, failure="the cluster makes no Pods for it")
        clock.wait(LOOK_SECONDS)


def _look(connection: Connection, name: str) -> JobState:
    job = connection.get(JOB, name)
    if job is None:
        raise ClusterLacksError(
            f"Job {name} is gone from namespace {connection.namespace}",
            hint="Someone has deleted it, or it had ended long ago.",
        )
    state = judge_job(job, connection.find(POD, {JOB_LABEL: name}))
    if state.tries or state.is_done or state.failure:
        return state
    complaints = connection.warnings(JOB, name)
    refused = [each.get("message", "") for each in complaints if each["reason"] == MISSING_PODS]
    if refused:
        return msgspec.structs.replace(state, troubles=(Trouble(MISSING_PODS, refused[-1], 0),))
    return state


def _stage(pods: tuple[Content, ...]) -> str:
    """The container that runs in the latest Pod."""
    for pod in sorted(pods, key=lambda each: each["metadata"]["creationTimestamp"], reverse=True):
        status = pod.get("status") or {}
        for key in ("initContainerStatuses", "containerStatuses"):
            for container in status.get(key) or ():
                if container.get("state", {}).get("running"):
                    return str(container["name"])
    return ""
