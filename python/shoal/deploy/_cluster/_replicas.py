"""Who decides how many replicas there are, and what is left to whom.

- Where an autoscaler names a Deployment as its target, it decides; nothing here sets its number.
- Where someone else has set the number, a person or another program, it stays as it is. What an
  autoscaler has left behind that is gone, or goes with what is applied, is nobody's number.
- A number that this program set is kept until another takes the field: if it were left out before,
  the API server would fall back to one replica.

Source: kubernetes.io/docs/reference/using-api/server-side-apply (transferring ownership).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from shoal.deploy._cluster._fields import REPLICAS, owners
from shoal.deploy._cluster._kinds import AUTOSCALER, DEPLOYMENT, MANAGER, SCALED_OBJECT, Item

if TYPE_CHECKING:
    from collections.abc import Iterable

    from shoal.deploy._cluster._connection import Connection


SCALING = f"{MANAGER}-scale"
# In whose name autoscalers set the number: those of Kubernetes, and KEDA where it is 0 or 1.
SCALERS = frozenset({"kube-controller-manager", "keda", "keda-operator"})


class Autoscaler(msgspec.Struct, frozen=True):
    """What scales a Deployment.

    Attributes:
        kind: HorizontalPodAutoscaler or ScaledObject.
        name: Its name.
        least: The fewest replicas it leaves.
        most: The most replicas it makes.
    """

    kind: str
    name: str
    least: int
    most: int

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"


class Settled(NamedTuple):
    """A Deployment with the replicas that may be set.

    Attributes:
        item: What to apply.
        note: Where that differs from what is wanted, why.
        taken: The number to set once no autoscaler is left; None where none was left behind.
    """

    item: Item
    note: str | None = None
    taken: int | None = None


def autoscaler_of(name: str, contents: Iterable[dict[str, Any]]) -> Autoscaler | None:
    """The one of some autoscalers whose target is the Deployment of a name."""
    for content in contents:
        spec = content.get("spec") or {}
        target = spec.get("scaleTargetRef") or {}
        if target.get("name") == name and target.get("kind", "Deployment") == "Deployment":
            least = spec.get("minReplicas", spec.get("minReplicaCount"))
            most = spec.get("maxReplicas", spec.get("maxReplicaCount", 100))
            default = 0 if content["kind"] == SCALED_OBJECT.kind else 1
            title = content["metadata"]["name"]
            return Autoscaler(content["kind"], title, default if least is None else least, most)
    return None


def find_autoscaler(
    connection: Connection, name: str, items: Iterable[Item] = (), going: Iterable[Item] = ()
) -> Autoscaler | None:
    """What scales a Deployment: among objects that are wanted, or stay in the cluster."""
    kinds = SCALED_OBJECT, AUTOSCALER
    wanted = [each.content for each in items if each.kind.kind in {kind.kind for kind in kinds}]
    found = autoscaler_of(name, wanted)
    for kind in kinds:
        gone = {each.name for each in going if each.kind.kind == kind.kind}
        there = [each for each in connection.find(kind) if each["metadata"]["name"] not in gone]
        found = found or autoscaler_of(name, there)
    return found


def settle(
    item: Item, live: dict[str, Any] | None, autoscaler: Autoscaler | None, *, force: bool
) -> Settled:
    """A Deployment with the replicas that may be set.

    Args:
        item: The Deployment as it is wanted.
        live: As it is in the cluster; None where there is none yet.
        autoscaler: What scales it.
        force: Whether the number may be taken from another, other than an autoscaler.
    """
    if item.kind.kind != DEPLOYMENT.kind or live is None:
        return Settled(item)
    wanted = item.content["spec"].get("replicas")
    current = live["spec"].get("replicas", 1)
    owning = owners(live, REPLICAS)
    others = [each.manager for each in owning if not each.is_ours]
    is_ours_alone = bool(owning) and not others
    if autoscaler is not None or (wanted is None and is_ours_alone):
        settled = _with(item, current if is_ours_alone else None)
        reason = f"{autoscaler} scales it"
    elif others and wanted != current and not force:
        settled, reason = _with(item, None), f"{_named(others)} has set it"
        if SCALERS.issuperset(others):
            return Settled(settled, taken=wanted)
    else:
        return Settled(item)
    if wanted is None or wanted == current:
        return Settled(settled)
    return Settled(settled, f"{item} keeps {current} replicas, not {wanted}: {reason}")


def _named(managers: list[str]) -> str:
    """Who has set something, as a person knows them."""
    return ", ".join("`shoal deploy scale`" if each == SCALING else each for each in managers)


def _with(item: Item, replicas: int | None) -> Item:
    spec = {key: value for key, value in item.content["spec"].items() if key != "replicas"}
    if replicas is not None:
        spec["replicas"] = replicas
    return Item(item.kind, item.name, {**item.content, "spec": spec})
