"""What is wrong with Pods, as the cluster says it: the same trouble of many Pods once."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, TypeAlias

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

Content: TypeAlias = dict[str, Any]

BEGINNING = {"ContainerCreating", "PodInitializing"}


class Trouble(msgspec.Struct, frozen=True):
    """What is wrong with Pods.

    Attributes:
        reason: One word of the cluster, such as `ImagePullBackOff`.
        message: What it says about it.
        pods: How many Pods have it; 0 where none could be made.
    """

    reason: str
    message: str
    pods: int

    def __str__(self) -> str:
        where = f"{self.pods} Pods" if self.pods > 1 else "one Pod" if self.pods else "no Pod"
        return f"{where}: {self.reason}: {self.message}"


def told_once(found: Iterable[Iterable[tuple[str, str]]]) -> tuple[Trouble, ...]:
    """The troubles of many Pods, each with the number of those that have it."""
    counts = Counter(each for troubles in found for each in set(troubles))
    return tuple(Trouble(*each, pods=count) for each, count in sorted(counts.items()))


def troubles_of(pod: Content) -> Iterator[tuple[str, str]]:
    """What is wrong with one Pod: a word and a sentence each."""
    status = pod.get("status") or {}
    for condition in status.get("conditions") or ():
        if condition["type"] == "PodScheduled" and condition["status"] == "False":
            yield condition.get("reason", "Unschedulable"), condition.get("message", "")
    for key in ("initContainerStatuses", "containerStatuses"):
        for container in status.get(key) or ():
            yield from _troubles_in(container)


def _troubles_in(container: Content) -> Iterator[tuple[str, str]]:
    """Why a container waits, and what it last ended with."""
    waiting = container.get("state", {}).get("waiting") or {}
    if waiting and waiting.get("reason") not in BEGINNING:
        yield waiting.get("reason", "Waiting"), waiting.get("message", "")
    for key in ("state", "lastState"):
        ended = container.get(key, {}).get("terminated") or {}
        if ended.get("exitCode"):
            words = ended.get("message") or f"{container['name']} ended with {ended['exitCode']}"
            yield ended.get("reason", "Error"), words
