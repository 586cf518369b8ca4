"""The kubelet of nodes that do not exist: what becomes of a Pod is what the test says.

- A Pod bound to a node gets the status that its namespace's judge gives it, every time it changes
  its mind; a namespace without a judge has Pods that run and are ready.
- A Pod that is being deleted is gone at once.
- Nodes report every few seconds, or the controllers would take their Pods away.

Source: kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle.
"""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import count
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import httpx2
import msgspec
from lightkube import ApiError
from lightkube.models.core_v1 import NodeSpec
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.operators import not_equal
from lightkube.resources.core_v1 import Node, Pod
from lightkube.types import PatchType

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from lightkube import Client

    Judge: TypeAlias = Callable[[Pod], "Fate | None"]

LOOKS_EVERY_SECONDS = 0.1
REPORTS_EVERY_SECONDS = 10.0
GONE = 404
CHANGED = 409
ON_A_NODE: Any = {"spec.nodeName": not_equal("")}
SIZE = {"cpu": "1k", "memory": "1Ti", "pods": "1M"}
POD_CONDITIONS = ("PodReadyToStartContainers", "Initialized", "ContainersReady", "Ready")


class Fate(msgspec.Struct, frozen=True):
    """What becomes of a Pod.

    Attributes:
        phase: As the API has it.
        is_ready: Whether it takes requests.
        reason: Why its containers wait, or have ended.
        message: The same in words.
        exit_code: What its containers ended with.
    """

    phase: Literal["Pending", "Running", "Succeeded", "Failed"]
    is_ready: bool = False
    reason: str = ""
    message: str = ""
    exit_code: int = 0


READY = Fate("Running", is_ready=True)
NOT_READY = Fate("Running")
NO_IMAGE = Fate("Pending", reason="ImagePullBackOff", message="Back-off pulling image: not found")
CRASHES = Fate("Running", reason="CrashLoopBackOff", message="back-off 10s restarting container")
SUCCEEDED = Fate("Succeeded", reason="Completed")
FAILED = Fate("Failed", reason="Error", exit_code=1)


class Kubelet:
    """Plays the kubelets of some nodes, on a thread of its own."""

    def __init__(self, client: Client, nodes: Iterable[str]) -> None:
        self._client, self._nodes = client, tuple(nodes)
        self._judges: dict[str, Judge] = {}
        self._given: dict[str, Fate] = {}
        self._numbers = count(2)
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)

    def start(self) -> None:
        """Begins to play."""
        self._thread.start()

    def stop(self) -> None:
        """Ends; the nodes stay as they are."""
        self._ending.set()
        if self._thread.is_alive():
            self._thread.join()
        self._client.close()

    def decide(self, namespace: str, judge: Judge) -> None:
        """From now on the judge says what becomes of the Pods of a namespace: None leaves one."""
        self._judges[namespace] = judge

    def _work(self) -> None:
        reported_at = -REPORTS_EVERY_SECONDS
        while not self._ending.wait(LOOKS_EVERY_SECONDS):
            try:
                if time.monotonic() - reported_at >= REPORTS_EVERY_SECONDS:
                    self._report()
                    reported_at = time.monotonic()
                for pod in self._client.list(Pod, namespace="*", fields=ON_A_NODE):
                    self._play(pod)
            except (ApiError, httpx2.HTTPError):
                continue  # a server that is busy or begins: the next look finds out

    def _report(self) -> None:
        for name in self._nodes:
            labels = {"kubernetes.io/hostname": name, "kubernetes.io/os": "linux"}
            labels["topology.kubernetes.io/zone"] = f"zone-{name}"
            node = Node(metadata=ObjectMeta(name=name, labels=labels), spec=NodeSpec())
            with _unless(CHANGED):
                self._client.create(node)
            ready = {"type": "Ready", "status": "True", "reason": "Reported"}
            status = {"capacity": SIZE, "allocatable": SIZE}
            conditions = [{**ready, "lastHeartbeatTime": _now()}]
            self._patch(Node.Status, name, {**status, "conditions": conditions})

    def _play(self, pod: Pod) -> None:
        assert pod.metadata is not None
        uid, namespace = str(pod.metadata.uid), str(pod.metadata.namespace)
        if pod.metadata.deletionTimestamp is not None:
            with _unless(GONE):
                self._client.delete(
                    Pod, str(pod.metadata.name), namespace=namespace, grace_period=0
                )
            return
        judge = self._judges.get(namespace)
        fate = READY if judge is None else judge(pod)
        if fate is not None and self._given.get(uid) != fate:
            status = _status(pod, fate, next(self._numbers))
            with _unless(GONE):
                self._patch(Pod.Status, str(pod.metadata.name), status, namespace=namespace)
                self._given[uid] = fate

    def _patch(self, kind: Any, name: str, status: dict[str, Any], **where: str) -> None:
        patch: Any = self._client.patch
        patch(kind, name, {"status": status}, patch_type=PatchType.MERGE, **where)


def _status(pod: Pod, fate: Fate, number: int) -> dict[str, Any]:
    """The status of a Pod; its address is its own."""
    assert pod.spec is not None
    address = f"10.1.{number >> 8 & 255}.{number & 255}"
    word = str(fate.is_ready)
    return {
        "phase": fate.phase,
        "startTime": _now(),
        "podIP": address,
        "podIPs": [{"ip": address}],
        "conditions": [
            {"type": each, "status": word, "lastTransitionTime": _now()} for each in POD_CONDITIONS
        ],
        "containerStatuses": [
            {
                "name": each.name,
                "image": each.image,
                "imageID": "",
                "ready": fate.is_ready,
                "restartCount": 0,
                "state": _state(fate),
            }
            for each in pod.spec.containers
        ],
    }


def _state(fate: Fate) -> dict[str, Any]:
    """The state of a container."""
    if fate.phase in {"Succeeded", "Failed"}:
        ended = {"exitCode": fate.exit_code, "startedAt": _now(), "finishedAt": _now()}
        return {"terminated": {"reason": fate.reason, **ended}}
    if fate.reason:
        return {"waiting": {"reason": fate.reason, "message": fate.message}}
    return {"running": {"startedAt": _now()}}


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@contextmanager
def _unless(code: int) -> Iterator[None]:
    """A refusal of this code is what another one, who was quicker, has caused."""
    try:
        yield
    except ApiError as error:
        if error.status.code != code:
            raise
